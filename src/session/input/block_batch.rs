//! Packets in the form of pcapng blocks: copies, or in the memory into which a stream was read.

use super::queued_packet::{PacketContent, QueuedPacket, Taken, Verdict};
use crate::peer::PEER_BUFFER_LEN;
use crate::session::pending::PendingWrite;

/// Bytes after which a batch of copies is full: large enough for a cheap write, small enough for the CPU cache.
const BATCH_LEN: usize = 128 * 1024;
/// Written batches and buffers kept for reuse, for all sources together.
const MAX_SPARE: usize = 16;

/// Packets and their blocks.
#[derive(Default)]
pub(super) struct BlockBatch {
    bytes: Vec<u8>,
    /// Each with the offset of its block.
    packets: Vec<(QueuedPacket, usize)>,
    /// The next packet to write.
    next: usize,
    is_of_peer: bool,
}

/// Memory for reuse.
#[derive(Default)]
pub(in crate::session) struct SpareBatches {
    batches: Vec<BlockBatch>,
    peer_buffers: Vec<Vec<u8>>,
}

impl BlockBatch {
    /// The memory of a stream, and its packets.
    pub(super) fn of_peer(bytes: Vec<u8>, packets: Vec<(QueuedPacket, usize)>) -> Self {
        Self { bytes, packets, next: 0, is_of_peer: true }
    }

    /// Whether copies can be added.
    pub(super) fn has_room(&self) -> bool {
        !self.is_of_peer && self.bytes.len() < BATCH_LEN
    }

    /// Adds a packet, whose block `append` writes.
    pub(super) fn push(&mut self, packet: QueuedPacket, append: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        append(&mut self.bytes);
        debug_assert_eq!(self.bytes.len() - begin, packet.block_len() as usize);
        self.packets.push((packet, begin));
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The next packet.
    pub(super) fn head(&self) -> Option<QueuedPacket> {
        self.packets.get(self.next).map(|(packet, _)| *packet)
    }

    /// The packets not taken yet.
    pub(super) fn packets(&self) -> impl Iterator<Item = QueuedPacket> {
        self.packets[self.next..].iter().map(|(packet, _)| *packet)
    }

    /// See [`super::queue::PacketQueue::take`].
    pub(super) fn take(
        &mut self,
        (queue, batch): (usize, usize),
        until: u64,
        pending: &mut PendingWrite,
        decide: &mut impl FnMut(QueuedPacket, PacketContent<'_>) -> Verdict,
    ) -> Taken {
        // Blocks that follow each other are written as one piece.
        let mut run = 0..0;
        let mut taken = Taken::All;
        let Self { bytes, packets, next, .. } = self;
        while let Some((packet, begin)) = packets.get(*next).filter(|(packet, _)| packet.time <= until) {
            if pending.is_full_with(run.len()) {
                taken = Taken::Full;
                break;
            }
            let block = *begin..begin + packet.block_len() as usize;
            match decide(*packet, PacketContent::Block(&bytes[block.clone()])) {
                Verdict::Stop => {
                    taken = Taken::Stopped;
                    break;
                }
                Verdict::Skip => {}
                Verdict::Write => {
                    pending.packets += 1;
                    pending.captured += u64::from(packet.captured);
                    if run.end == block.start {
                        run.end = block.end;
                    } else {
                        pending.add_queued(queue, batch, std::mem::replace(&mut run, block));
                    }
                }
            }
            *next += 1;
        }
        pending.add_queued(queue, batch, run);
        taken
    }
}

impl SpareBatches {
    /// An empty batch for copies.
    pub(super) fn take(&mut self) -> BlockBatch {
        self.batches.pop().unwrap_or_default()
    }

    /// A buffer for a stream.
    pub(super) fn take_peer_buffer(&mut self) -> Vec<u8> {
        self.peer_buffers.pop().unwrap_or_else(|| vec![0; PEER_BUFFER_LEN])
    }

    /// Takes a batch back that has been written.
    pub(super) fn put(&mut self, mut batch: BlockBatch) {
        if batch.is_of_peer {
            if self.peer_buffers.len() < MAX_SPARE {
                self.peer_buffers.push(batch.bytes);
            }
            return;
        }
        batch.bytes.clear();
        batch.packets.clear();
        batch.next = 0;
        // A batch that has grown for a few large packets is not worth its memory.
        if self.batches.len() < MAX_SPARE && batch.bytes.capacity() <= 4 * BATCH_LEN {
            self.batches.push(batch);
        }
    }
}
