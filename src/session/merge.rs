//! Packets of several rings, brought into one order of time.
//!
//! Each ring hands its packets over in order, but in blocks: what one ring has handed over may be
//! younger than what another still keeps. A packet goes out once every other ring is known to
//! have nothing older: because it has handed over something younger, or because it was found
//! empty longer ago than it may keep a packet. Nothing is copied for that: what must wait, waits
//! in the kernel's rings and in batches that are ready to be written.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;

use crate::capture::{self, Ring};
use crate::pcapng;

/// Bytes of a batch: large enough to make a write cheap, small enough to stay in a cache.
const BATCH: usize = 128 * 1024;
/// Bytes in batches at which a ring is read no further.
const MOST_HELD: usize = 512 * 1024;
/// Packets read between two looks at the size of a batch; of 64 KiB each, 4 MiB.
const PACKETS_AT_ONCE: usize = 64;
/// Written batches kept to be filled again.
const MOST_SPARE: usize = 8;

/// A ring, and what was read from it and has not been written yet.
pub(super) struct Stage {
    pub(super) ring: Ring,
    /// Number of its interface block.
    pub(super) interface: u32,
    /// Batches in order of time; the last one is being filled.
    batches: VecDeque<Batch>,
    spare: Vec<Batch>,
    /// Bytes in all batches.
    held_bytes: usize,
    /// Time of the last packet read, nanoseconds since the epoch.
    last: u64,
    /// When it was last found empty, nanoseconds since the epoch.
    empty_at: Option<u64>,
    /// Why it gives nothing more.
    pub(super) ended: Option<capture::Ended>,
}

/// Packets as they will stand in the stream.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    /// The next packet to be written, and where it begins in `bytes`.
    next: usize,
    next_byte: usize,
}

/// A packet in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Nanoseconds since the epoch.
    pub(super) time: u64,
    /// Captured bytes.
    captured: u32,
    /// Bytes of its block.
    pub(super) block: u32,
}

/// Packets that follow each other both in the order of time and in a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) stage: usize,
    batch: usize,
    bytes: Range<usize>,
    pub(super) packets: u64,
    /// Captured bytes of these packets.
    pub(super) captured: u64,
}

impl Stage {
    pub(super) fn new(ring: Ring, interface: u32) -> Self {
        Self {
            ring,
            interface,
            batches: VecDeque::new(),
            spare: Vec::new(),
            held_bytes: 0,
            last: 0,
            empty_at: None,
            ended: None,
        }
    }

    /// Whether its ring may hold more than was read.
    pub(super) fn may_have_more(&self) -> bool {
        self.ended.is_none() && self.empty_at.is_none()
    }

    /// Reads until enough is held or the ring is empty. Returns the bytes added to batches.
    pub(super) fn fill(&mut self) -> usize {
        let before = self.held_bytes;
        self.empty_at = None;
        while self.held_bytes < MOST_HELD && self.ended.is_none() {
            if self.batches.back().is_none_or(|batch| batch.bytes.len() >= BATCH) {
                self.batches.push_back(self.spare.pop().unwrap_or_default());
            }
            let Some(batch) = self.batches.back_mut() else { break };
            let (asked_at, direction) = (capture::now(), self.ring.direction());
            let begin = batch.bytes.len();
            let outcome = self.ring.read(PACKETS_AT_ONCE, |time, length, data| {
                let before = batch.bytes.len();
                pcapng::append_packet(&mut batch.bytes, self.interface, direction, time, length, data);
                // The clock may be set back; the order of a ring stays as it is.
                self.last = self.last.max(time);
                batch.packets.push(Packet {
                    time: self.last,
                    captured: u32::try_from(data.len()).unwrap_or(u32::MAX),
                    block: u32::try_from(batch.bytes.len() - before).unwrap_or(u32::MAX),
                });
            });
            self.held_bytes += batch.bytes.len() - begin;
            match outcome {
                Ok(0) => {
                    self.empty_at = Some(asked_at);
                    break;
                }
                Ok(_) => {}
                Err(ended) => self.ended = Some(ended),
            }
        }
        self.held_bytes - before
    }

    /// The time up to which it has handed over everything; `keeps` is how long the kernel may
    /// keep a packet back, in nanoseconds.
    fn complete_until(&self, keeps: u64) -> u64 {
        match (&self.ended, self.empty_at) {
            (Some(_), _) => u64::MAX,
            (None, Some(at)) => self.last.max(at.saturating_sub(keeps)),
            (None, None) => self.last,
        }
    }

    /// Whether everything older than `time` has been handed over, as far as can be known now.
    pub(super) fn is_past(&self, time: u64) -> bool {
        self.ended.is_some() || self.empty_at.is_some() || self.last > time
    }

    /// How many packets wait to be written.
    pub(super) fn held(&self) -> usize {
        self.batches.iter().map(|batch| batch.packets.len() - batch.next).sum()
    }

    /// The next packet to be written.
    pub(super) fn head(&self) -> Option<&Packet> {
        self.batches.iter().find_map(|batch| batch.packets.get(batch.next))
    }

    /// The bytes of a run of this stage.
    pub(super) fn bytes(&self, run: &Run) -> &[u8] {
        &self.batches[run.batch].bytes[run.bytes.clone()]
    }

    /// Makes room where the packets taken out by [`runs`] stood.
    pub(super) fn forget_taken(&mut self) {
        while self.batches.front().is_some_and(|batch| batch.next == batch.packets.len()) {
            let Some(mut batch) = self.batches.pop_front() else { break };
            self.held_bytes -= batch.bytes.len();
            batch.clear();
            if self.spare.len() < MOST_SPARE {
                self.spare.push(batch);
            }
        }
    }

    /// Takes the packets up to `until` out of the first batch that has any, as long as `admit`
    /// allows. False with them when it did not.
    fn take(&mut self, until: u64, admit: &mut impl FnMut(Packet) -> bool) -> Option<(Run, bool)> {
        let number = self.batches.iter().position(|batch| batch.next < batch.packets.len())?;
        let batch = &mut self.batches[number];
        let begin = batch.next_byte;
        let mut run = Run { stage: 0, batch: number, bytes: begin..begin, packets: 0, captured: 0 };
        let mut admitted = true;
        for packet in batch.packets[batch.next..].iter().take_while(|packet| packet.time <= until) {
            admitted = admit(*packet);
            if !admitted {
                break;
            }
            run.packets += 1;
            run.captured += u64::from(packet.captured);
            run.bytes.end += packet.block as usize;
            batch.next += 1;
        }
        batch.next_byte = run.bytes.end;
        Some((run, admitted))
    }
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
        (self.next, self.next_byte) = (0, 0);
    }
}

/// The time up to which every stage has handed over everything.
pub(super) fn horizon(stages: &[Stage], keeps: u64) -> u64 {
    stages.iter().map(|stage| stage.complete_until(keeps)).min().unwrap_or(u64::MAX)
}

/// Takes packets up to `horizon` out of the stages, in order of time, as long as `admit` allows.
/// False with them when it did not.
pub(super) fn runs(
    stages: &mut [Stage],
    horizon: u64,
    mut admit: impl FnMut(Packet) -> bool,
) -> (Vec<Run>, bool) {
    let mut heads: BinaryHeap<Reverse<(u64, usize)>> = stages
        .iter()
        .enumerate()
        .filter_map(|(index, stage)| Some(Reverse((stage.head()?.time, index))))
        .collect();
    let mut runs: Vec<Run> = Vec::new();
    while let Some(Reverse((time, index))) = heads.pop() {
        if time > horizon {
            break;
        }
        let until = heads.peek().map_or(horizon, |Reverse((other, _))| horizon.min(*other));
        let Some((run, admitted)) = stages[index].take(until, &mut admit) else { continue };
        if run.packets > 0 {
            runs.push(Run { stage: index, ..run });
        }
        if !admitted {
            return (runs, false);
        }
        if let Some(packet) = stages[index].head() {
            heads.push(Reverse((packet.time, index)));
        }
    }
    (runs, true)
}
