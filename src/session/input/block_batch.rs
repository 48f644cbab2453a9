//! Packets in the form of pcapng blocks: copies, or in the memory into which a stream was read.

use super::queued_packet::{PacketContent, QueuedPacket, Taken, Verdict};
use crate::peer::{self, PeerBuffer};
use crate::session::pending::PendingWrite;

/// Bytes after which a batch of copies is full: large enough for a cheap write, small enough for the CPU cache.
const BATCH_LEN: usize = 128 * 1024;
/// Written batches and buffers kept for reuse, for all sources together.
const MAX_SPARE: usize = 16;

/// Packets and their blocks.
#[derive(Default)]
pub(super) struct BlockBatch {
    copies: Vec<u8>,
    /// The memory of a stream; there are no copies then.
    peer_buffer: Option<PeerBuffer>,
    /// Whether some of that has been lent.
    pub(super) is_lent: bool,
    /// Each with the offset of its block.
    packets: Vec<(QueuedPacket, usize)>,
    /// The next packet to write.
    next: usize,
}

/// Memory for reuse.
#[derive(Default)]
pub(in crate::session) struct SpareBatches {
    batches: Vec<BlockBatch>,
    peer_buffers: Vec<PeerBuffer>,
}

impl BlockBatch {
    /// The memory of a stream, and its packets.
    pub(super) fn of_peer(buffer: PeerBuffer, packets: Vec<(QueuedPacket, usize)>) -> Self {
        Self { peer_buffer: Some(buffer), packets, ..Self::default() }
    }

    pub(super) fn is_of_peer(&self) -> bool {
        self.peer_buffer.is_some()
    }

    /// Whether copies can be added.
    pub(super) fn has_room(&self) -> bool {
        !self.is_of_peer() && self.copies.len() < BATCH_LEN
    }

    /// Adds a packet, whose block `append` writes.
    pub(super) fn push(&mut self, packet: QueuedPacket, append: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.copies.len();
        append(&mut self.copies);
        debug_assert_eq!(self.copies.len() - begin, packet.block_len() as usize);
        self.packets.push((packet, begin));
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.peer_buffer.as_deref().unwrap_or(&self.copies)
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
        let Self { copies, peer_buffer, packets, next, .. } = self;
        let bytes = peer_buffer.as_deref().unwrap_or(copies);
        while let Some((packet, begin)) = packets.get(*next).filter(|(packet, _)| packet.time <= until) {
            if pending.is_full() {
                return Taken::Full;
            }
            let block = *begin..begin + packet.block_len() as usize;
            match decide(*packet, PacketContent::Block(&bytes[block.clone()])) {
                Verdict::Stop => return Taken::Stopped,
                Verdict::Skip => {}
                Verdict::Write => {
                    pending.packets += 1;
                    pending.captured += u64::from(packet.captured);
                    pending.add_queued(queue, batch, block);
                }
            }
            *next += 1;
        }
        Taken::All
    }
}

impl SpareBatches {
    /// An empty batch for copies.
    pub(super) fn take(&mut self) -> BlockBatch {
        self.batches.pop().unwrap_or_default()
    }

    /// A buffer for a stream; `None` when memory is short.
    pub(super) fn take_peer_buffer(&mut self) -> Option<PeerBuffer> {
        self.peer_buffers.pop().or_else(|| peer::new_buffer().ok())
    }

    /// Takes buffers back that are not needed any more.
    pub(super) fn put_peer_buffers(&mut self, buffers: impl IntoIterator<Item = PeerBuffer>) {
        let room = MAX_SPARE.saturating_sub(self.peer_buffers.len());
        self.peer_buffers.extend(buffers.into_iter().take(room));
    }

    /// Takes a batch back that has been written. Returns its memory if that has been lent.
    pub(super) fn put(&mut self, mut batch: BlockBatch) -> Option<PeerBuffer> {
        if let Some(buffer) = batch.peer_buffer {
            if batch.is_lent {
                return Some(buffer);
            }
            self.put_peer_buffers([buffer]);
            return None;
        }
        batch.copies.clear();
        batch.packets.clear();
        batch.next = 0;
        // A batch that has grown for a few large packets is not worth its memory.
        if self.batches.len() < MAX_SPARE && batch.copies.capacity() <= 4 * BATCH_LEN {
            self.batches.push(batch);
        }
        None
    }
}
