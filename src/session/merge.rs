//! Packets of several rings, brought into one order of time.
//!
//! Each ring hands its packets over in order, but in blocks: what one ring has handed over may be
//! younger than what another still keeps. A packet goes out once every other ring is known to
//! have nothing older: because it has handed over something younger, or because it was found
//! empty longer ago than it may keep a packet. Nothing is copied for that: what must wait, waits
//! in the kernel's rings and in batches that are ready to be written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::capture::{self, Ring};
use crate::pcapng;

/// Bytes of a batch: large enough to make a write cheap, small enough to stay in a cache.
const BATCH: usize = 512 * 1024;
/// Packets read between two looks at the size of a batch; of 64 KiB each, 4 MiB.
const PACKETS_AT_ONCE: usize = 64;

/// A ring, and what was read from it and has not been written yet.
pub(super) struct Stage {
    pub(super) ring: Ring,
    /// Number of its interface block.
    pub(super) interface: u32,
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    /// The next packet to be written, and where it begins in `bytes`.
    next: usize,
    next_byte: usize,
    /// Time of the last packet read, nanoseconds since the epoch.
    last: u64,
    /// When it was last found empty, nanoseconds since the epoch.
    empty_at: Option<u64>,
    /// Why it gives nothing more.
    pub(super) ended: Option<capture::Ended>,
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

/// Packets that follow each other both in the order of time and in the batch of one stage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) stage: usize,
    pub(super) bytes: Range<usize>,
    pub(super) packets: u64,
    /// Captured bytes of these packets.
    pub(super) captured: u64,
}

impl Stage {
    pub(super) fn new(ring: Ring, interface: u32) -> Self {
        Self {
            ring,
            interface,
            bytes: Vec::with_capacity(BATCH),
            packets: Vec::new(),
            next: 0,
            next_byte: 0,
            last: 0,
            empty_at: None,
            ended: None,
        }
    }

    /// Whether it waits to be written before more is read.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH
    }

    /// Reads until the batch is full or the ring is empty. True when anything was read.
    pub(super) fn fill(&mut self) -> bool {
        let before = self.packets.len();
        self.empty_at = None;
        while !self.is_full() && self.ended.is_none() {
            let asked_at = capture::now();
            let direction = self.ring.direction();
            let outcome = self.ring.read(PACKETS_AT_ONCE, |time, length, data| {
                let before = self.bytes.len();
                pcapng::append_packet(&mut self.bytes, self.interface, direction, time, length, data);
                // The clock may be set back; the order of a ring stays as it is.
                self.last = self.last.max(time);
                self.packets.push(Packet {
                    time: self.last,
                    captured: u32::try_from(data.len()).unwrap_or(u32::MAX),
                    block: u32::try_from(self.bytes.len() - before).unwrap_or(u32::MAX),
                });
            });
            match outcome {
                Ok(0) => {
                    self.empty_at = Some(asked_at);
                    break;
                }
                Ok(_) => {}
                Err(ended) => self.ended = Some(ended),
            }
        }
        self.packets.len() > before
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
        self.packets.len() - self.next
    }

    /// The next packet to be written.
    pub(super) fn head(&self) -> Option<&Packet> {
        self.packets.get(self.next)
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Makes room where the packets taken out by [`runs`] stood.
    pub(super) fn forget_taken(&mut self) {
        self.packets.drain(..self.next);
        self.bytes.drain(..self.next_byte);
        (self.next, self.next_byte) = (0, 0);
    }

    /// Takes out the packets up to `until`, as long as `admit` allows.
    fn take(&mut self, until: u64, admit: &mut impl FnMut(Packet) -> bool) -> (Run, bool) {
        let begin = self.next_byte;
        let (mut packets, mut captured) = (0, 0);
        let mut admitted = true;
        for packet in &self.packets[self.next..] {
            if packet.time > until {
                break;
            }
            admitted = admit(*packet);
            if !admitted {
                break;
            }
            packets += 1;
            captured += u64::from(packet.captured);
            self.next_byte += packet.block as usize;
        }
        self.next += packets;
        (Run { stage: 0, bytes: begin..self.next_byte, packets: packets as u64, captured }, admitted)
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
        let (run, admitted) = stages[index].take(until, &mut admit);
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
