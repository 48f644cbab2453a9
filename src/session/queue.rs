//! Packets that were read from a source and wait to be written, as they will stand in the stream.

use std::collections::VecDeque;
use std::ops::Range;

use crate::pcapng;

/// A clock that goes back further than this was set back, in nanoseconds; less is two processors
/// that differ.
pub(super) const SET_BACK: u64 = 1_000_000_000;
/// Bytes of a batch: large enough to make a write cheap, small enough to stay in a cache.
const BATCH: usize = 128 * 1024;
/// Written batches kept to be filled again, for all sources together.
const MOST_SPARE: usize = 16;

/// Packets of one source, in order of time.
#[derive(Default)]
pub(super) struct Queue {
    /// The last one is being filled.
    batches: VecDeque<Batch>,
}

/// Written batches, to be filled again.
#[derive(Default)]
pub(super) struct Spare(Vec<Batch>);

/// Blocks of packets, one after the other.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    /// The next packet to be written, and where it begins in `bytes`.
    next: usize,
    next_byte: usize,
}

/// A packet in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Where it stands in the order of time: its own time, or a little later where the clock of
    /// another processor is behind. Nanoseconds since the epoch.
    pub(super) time: u64,
    /// Captured bytes.
    pub(super) captured: u32,
    /// Number of its interface block.
    pub(super) interface: u32,
}

/// What becomes of a packet whose turn it is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Write,
    /// It goes, and is not written.
    LeaveOut,
    /// It stays, and so do those behind it.
    Wait,
}

/// Packets that follow each other both in the order of time and in a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) queue: usize,
    batch: usize,
    bytes: Range<usize>,
    pub(super) packets: u64,
    /// Captured bytes of these packets.
    pub(super) captured: u64,
}

impl Queue {
    /// The batch that packets read now are added to.
    pub(super) fn batch(&mut self, spare: &mut Spare) -> &mut Batch {
        if self.batches.back().is_none_or(|batch| batch.bytes.len() >= BATCH) {
            self.batches.push_back(spare.0.pop().unwrap_or_default());
        }
        let last = self.batches.len() - 1;
        &mut self.batches[last]
    }

    /// The packets that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Packet> {
        self.batches.iter().flat_map(|batch| &batch.packets[batch.next..])
    }

    /// The next packet to be written.
    pub(super) fn head(&self) -> Option<&Packet> {
        self.batches.iter().find_map(|batch| batch.packets.get(batch.next))
    }

    /// The bytes of a run of this queue.
    pub(super) fn bytes(&self, run: &Run) -> &[u8] {
        &self.batches[run.batch].bytes[run.bytes.clone()]
    }

    /// Makes room where the packets taken out stood.
    pub(super) fn forget_taken(&mut self, spare: &mut Spare) {
        while self.batches.front().is_some_and(|batch| batch.next == batch.packets.len()) {
            let Some(mut batch) = self.batches.pop_front() else { break };
            batch.bytes.clear();
            batch.packets.clear();
            (batch.next, batch.next_byte) = (0, 0);
            // One that has grown for a few large packets is not worth its memory.
            if spare.0.len() < MOST_SPARE && batch.bytes.capacity() <= 4 * BATCH {
                spare.0.push(batch);
            }
        }
    }

    /// Takes the packets up to `until` out of the first batch that has any, until `turn`, which is given each
    /// with its block, has one wait or leaves one out behind others. False with them when one waits.
    pub(super) fn take(
        &mut self,
        until: u64,
        turn: &mut impl FnMut(Packet, &[u8]) -> Turn,
    ) -> Option<(Run, bool)> {
        let number = self.batches.iter().position(|batch| batch.next < batch.packets.len())?;
        let batch = &mut self.batches[number];
        let begin = batch.next_byte;
        let mut run = Run { queue: 0, batch: number, bytes: begin..begin, packets: 0, captured: 0 };
        let mut admitted = true;
        for packet in batch.packets[batch.next..].iter().take_while(|packet| packet.time <= until) {
            let end = batch.next_byte + packet.block() as usize;
            let turn = turn(*packet, &batch.bytes[batch.next_byte..end]);
            if turn == Turn::Wait {
                admitted = false;
                break;
            }
            batch.next += 1;
            batch.next_byte = end;
            if turn == Turn::Write {
                run.packets += 1;
                run.captured += u64::from(packet.captured);
                run.bytes.end = end;
            } else if run.packets == 0 {
                run.bytes = end..end;
            } else {
                break;
            }
        }
        Some((run, admitted))
    }
}

impl Packet {
    /// Bytes of its block.
    pub(super) fn block(self) -> u32 {
        u32::try_from(pcapng::packet_block_length(self.captured as usize)).unwrap_or(u32::MAX)
    }
}

impl Batch {
    /// Adds the packet whose block is made by `append`: where it stands in the order of time, the
    /// number of its interface, and how many bytes of it were captured. Returns the bytes of the block.
    pub(super) fn push(
        &mut self,
        time: u64,
        interface: u32,
        captured: usize,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let before = self.bytes.len();
        append(&mut self.bytes);
        let block = self.bytes.len() - before;
        debug_assert_eq!(block, pcapng::packet_block_length(captured));
        self.packets.push(Packet { time, captured: u32::try_from(captured).unwrap_or(u32::MAX), interface });
        block
    }
}
