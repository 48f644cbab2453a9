//! Packets read from one source and not written yet, already in the form of their pcapng blocks.

use std::collections::VecDeque;
use std::ops::Range;

use crate::pcapng;

/// Bytes after which a batch is full: large enough for a cheap write, small enough for the CPU cache.
const BATCH_LEN: usize = 128 * 1024;
/// Written batches kept for reuse, for all sources together.
const MAX_SPARE_BATCHES: usize = 16;

/// Packets of one source, in time order.
#[derive(Default)]
pub(in crate::session) struct PacketQueue {
    /// The last one is being filled.
    batches: VecDeque<PacketBatch>,
}

/// Written batches, for reuse.
#[derive(Default)]
pub(in crate::session) struct SpareBatches(Vec<PacketBatch>);

/// Packet blocks, one after the other.
#[derive(Default)]
pub(in crate::session) struct PacketBatch {
    bytes: Vec<u8>,
    packets: Vec<QueuedPacket>,
    /// The next packet to write, and its offset in `bytes`.
    next: usize,
    next_offset: usize,
}

/// A packet in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct QueuedPacket {
    /// Position in the time order, in nanoseconds since the epoch: the packet's time, or a little later where clocks of
    /// processors differ.
    pub(in crate::session) time: u64,
    /// Captured bytes.
    pub(in crate::session) captured: u32,
    /// Number of its interface block.
    pub(in crate::session) interface: u32,
}

/// What to do with the next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Verdict {
    /// Write it.
    Write,
    /// Remove it without writing it.
    Skip,
    /// Leave it and all later ones in the queue.
    Stop,
}

/// Packets that are contiguous both in time order and in a batch.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session) struct PacketRun {
    pub(super) queue: usize,
    batch: usize,
    bytes: Range<usize>,
    pub(in crate::session) packets: u64,
    /// Captured bytes of these packets.
    pub(in crate::session) captured: u64,
}

impl PacketQueue {
    /// The batch to append packets to.
    pub(super) fn batch(&mut self, spare: &mut SpareBatches) -> &mut PacketBatch {
        if self.batches.back().is_none_or(|batch| batch.bytes.len() >= BATCH_LEN) {
            self.batches.push_back(spare.0.pop().unwrap_or_default());
        }
        let last = self.batches.len() - 1;
        &mut self.batches[last]
    }

    /// The packets in the queue.
    pub(super) fn packets(&self) -> impl Iterator<Item = &QueuedPacket> {
        self.batches.iter().flat_map(|batch| &batch.packets[batch.next..])
    }

    /// The next packet to write.
    pub(super) fn head(&self) -> Option<&QueuedPacket> {
        self.batches.iter().find_map(|batch| batch.packets.get(batch.next))
    }

    /// The bytes of a run of this queue.
    pub(super) fn bytes(&self, run: &PacketRun) -> &[u8] {
        &self.batches[run.batch].bytes[run.bytes.clone()]
    }

    /// Frees the batches whose packets have all been taken.
    pub(super) fn recycle(&mut self, spare: &mut SpareBatches) {
        while self.batches.front().is_some_and(|batch| batch.next == batch.packets.len()) {
            let Some(mut batch) = self.batches.pop_front() else { break };
            batch.bytes.clear();
            batch.packets.clear();
            (batch.next, batch.next_offset) = (0, 0);
            // A batch that has grown for a few large packets is not worth its memory.
            if spare.0.len() < MAX_SPARE_BATCHES && batch.bytes.capacity() <= 4 * BATCH_LEN {
                spare.0.push(batch);
            }
        }
    }

    /// Takes packets up to the time `until` from the first batch that has any, until `decide`, called with each packet
    /// and its block, stops or skips one behind others. Also returns whether `decide` did not stop.
    pub(super) fn take_run(
        &mut self,
        until: u64,
        decide: &mut impl FnMut(QueuedPacket, &[u8]) -> Verdict,
    ) -> Option<(PacketRun, bool)> {
        let number = self.batches.iter().position(|batch| batch.next < batch.packets.len())?;
        let batch = &mut self.batches[number];
        let begin = batch.next_offset;
        let mut run = PacketRun { queue: 0, batch: number, bytes: begin..begin, packets: 0, captured: 0 };
        let mut goes_on = true;
        for packet in batch.packets[batch.next..].iter().take_while(|packet| packet.time <= until) {
            let end = batch.next_offset + packet.block_len() as usize;
            let verdict = decide(*packet, &batch.bytes[batch.next_offset..end]);
            if verdict == Verdict::Stop {
                goes_on = false;
                break;
            }
            batch.next += 1;
            batch.next_offset = end;
            if verdict == Verdict::Write {
                run.packets += 1;
                run.captured += u64::from(packet.captured);
                run.bytes.end = end;
            } else if run.packets == 0 {
                run.bytes = end..end;
            } else {
                break;
            }
        }
        Some((run, goes_on))
    }
}

impl QueuedPacket {
    /// Bytes of its block.
    pub(in crate::session) fn block_len(self) -> u32 {
        u32::try_from(pcapng::packet_block_length(self.captured as usize)).unwrap_or(u32::MAX)
    }
}

impl PacketBatch {
    /// Adds a packet, whose block `append` writes. Returns the bytes of the block.
    pub(super) fn push(
        &mut self,
        time: u64,
        interface: u32,
        captured: usize,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let before = self.bytes.len();
        append(&mut self.bytes);
        let block_len = self.bytes.len() - before;
        debug_assert_eq!(block_len, pcapng::packet_block_length(captured));
        let captured = u32::try_from(captured).unwrap_or(u32::MAX);
        self.packets.push(QueuedPacket { time, captured, interface });
        block_len
    }
}
