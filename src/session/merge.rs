//! Packets of several sources, brought into one order of time.
//!
//! Each source hands its packets over in order, but in blocks: what one has handed over may be
//! younger than what another still keeps. A packet goes out once every other source is known to
//! have nothing older: because it has handed over something younger, or because it was found
//! empty longer ago than it may keep a packet. Where much comes, none is read further than that: what must
//! wait, waits in the kernel, and what is read goes out while it is still in a cache.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::far::{Far, LAG};
use super::queue::Queue;
use super::queues::Queues;
use super::readiness::Readiness;
use super::stage::{Reader, Stage};
use crate::capture::{self, CompiledFilter, PacketCounts, Ring};
use crate::error::Error;
use crate::peer::PeerNames;

/// Bytes read before they are written: a pipe takes them at once, and a cache holds them.
const MOST_READ: usize = 512 * 1024;
/// Errors of broken sources kept until they are reported; a capture that reports nothing keeps no more.
const MAX_UNREPORTED: usize = 1000;
/// How long a packet takes at most from its time stamp into a block that is handed over, where other programs keep
/// the processors busy: the kernel delivers it, and lets the timer of a block run out, in a thread that waits for its
/// turn (ksoftirqd).
const LATEST_WHEN_BUSY: Duration = Duration::from_millis(50);
/// Bytes of a look, of which those of [`LATEST_WHEN_BUSY`] still fit a cache. Where more comes, blocks are handed over
/// when they are full, and waiting would cost.
const FITS_CACHE: usize = 128 * 1024;
/// Sources that are asked one by one, which is faster for so few.
const FEW: usize = 8;

/// The sources of a capture, to be read in one order of time.
pub(super) struct Merge {
    pub(super) stages: Vec<Stage>,
    pub(super) queues: Queues,
    readiness: Readiness,
    /// How long the kernel may keep a packet back.
    keeps: Duration,
    /// Whether the last look brought little.
    had_little: bool,
    /// Whether somebody may join with packets from a moment ago.
    pub(super) expects: bool,
    /// What addresses are called by sources elsewhere.
    pub(super) called: PeerNames,
    /// Why sources broke, each until it is reported.
    broken: Vec<Error>,
    /// Why the last of them did.
    last_broken: Option<Error>,
    /// Whether a source ended as it may.
    ended_well: bool,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Bytes of packets.
    pub(super) bytes: usize,
    /// Those of them that came in streams from elsewhere.
    pub(super) of_streams: usize,
    /// Whether there is more that could be written right away.
    pub(super) more: bool,
}

impl Merge {
    /// Merges what is read; `keeps` is how long the kernel may keep a packet back.
    pub(super) fn new(keeps: Duration) -> Self {
        Self {
            stages: Vec::new(),
            queues: Queues::default(),
            readiness: Readiness::new(),
            keeps,
            had_little: true,
            expects: false,
            called: PeerNames::default(),
            broken: Vec::new(),
            last_broken: None,
            ended_well: false,
        }
    }

    /// Takes part from now on.
    pub(super) fn add(&mut self, reader: Reader) {
        let mut stage = Stage::new(reader);
        if stage.is_ring() {
            stage.watched_as = self.readiness.watch(&stage);
        }
        self.stages.push(stage);
        self.queues.queues.push(Queue::default());
    }

    /// Parts with the sources that have ended and whose packets have all been taken.
    pub(super) fn part(&mut self) -> Vec<Stage> {
        let mut parted = Vec::new();
        let mut index = 0;
        while index < self.stages.len() {
            if self.stages[index].ended.is_none() || self.queues.queues[index].head().is_some() {
                index += 1;
                continue;
            }
            self.queues.queues.remove(index);
            let stage = self.stages.remove(index);
            self.ended_well |= stage.broken().is_none();
            parted.push(stage);
        }
        parted
    }

    /// Closes what is read, many at the same time: for each ring the kernel waits until all its processors have
    /// let go of it (`synchronize_net`), some 17 ms.
    pub(super) fn close(mut self) {
        let mut threads = Vec::new();
        while !self.stages.is_empty() {
            let share = self.stages.split_off(self.stages.len().saturating_sub(FEW));
            // Where there is no thread to be had, it is closed here.
            threads.extend(std::thread::Builder::new().spawn(move || drop(share)));
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// When to look next for a source that is about to leave.
    pub(super) fn leaves_at(&self) -> Option<Instant> {
        self.stages.iter().filter_map(Stage::leaves_at).min()
    }

    /// What tells that one of many rings has something; `None` where they are few.
    pub(super) fn readiness(&self) -> Option<BorrowedFd<'_>> {
        if self.stages.len() > FEW { self.readiness.descriptor() } else { None }
    }

    /// Finds those of many rings empty that have nothing, by one question for all of them. The kernel calls a
    /// ring ready as long as there is a block that was not read to its end (net/packet/af_packet.c,
    /// `packet_poll`), so one that is not has handed over nothing that was not read: it is empty as of the time
    /// before the question, as if it had been asked itself. Every other source is.
    fn find_empty(&mut self) {
        for stage in self.stages.iter_mut().filter(|stage| !stage.can_be_waited_for()) {
            // What is gone would be ready for ever.
            if stage.watched_as.take().is_some() {
                self.readiness.forget(stage);
            }
        }
        if self.readiness().is_none() {
            return;
        }
        let asked_at = capture::now();
        let Some(ready) = self.readiness.ready() else { return };
        for stage in &mut self.stages {
            if stage.watched_as.is_some_and(|number| ready.binary_search(&number).is_err()) {
                stage.found_empty(asked_at);
            }
        }
    }

    /// How long an older packet than those that were read is waited for.
    pub(super) fn patience(&self) -> Duration {
        if self.had_little { self.keeps.max(LATEST_WHEN_BUSY) } else { self.keeps }
    }

    /// The same in nanoseconds.
    fn patience_ns(&self) -> u64 {
        u64::try_from(self.patience().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Reads the sources, the one that is behind first, as far as packets can be written.
    pub(super) fn read(&mut self) -> Read {
        let read = self.look();
        self.had_little = read.bytes < FITS_CACHE;
        read
    }

    fn look(&mut self) -> Read {
        let keeps = self.patience_ns();
        self.stages.iter_mut().for_each(Stage::look_again);
        self.find_empty();
        let found_empty = self.stages.iter().filter(|stage| stage.is_empty());
        let found_empty = found_empty.map(|stage| stage.complete_until(keeps));
        let mut horizon = found_empty.min().unwrap_or(u64::MAX).min(self.latest());
        let running = self.stages.iter().enumerate().filter(|(_, stage)| !stage.is_empty());
        let mut behind: BinaryHeap<Reverse<(u64, usize)>> =
            running.map(|(index, stage)| Reverse((stage.last(), index))).collect();
        let mut read = Read::default();
        while let Some(Reverse((last, index))) = behind.pop() {
            if read.bytes >= MOST_READ {
                return Read { more: true, ..read };
            }
            let (stage, queue) = (&mut self.stages[index], &mut self.queues.queues[index]);
            // Where little comes, it does not wait in the kernel: the smallest rings have two blocks, and one that is
            // not read while another is filled costs packets.
            let may_wait = !self.had_little || read.bytes >= FITS_CACHE;
            if may_wait && last > horizon && queue.head().is_some() {
                continue;
            }
            let bytes = stage.read(queue, &mut self.queues.spare, self.keeps);
            read.bytes += bytes;
            // A source that has ended is not read again, so each error is kept once.
            if let Some(trouble) = stage.broken() {
                self.broken.truncate(MAX_UNREPORTED - 1);
                self.broken.push(trouble.clone());
                self.last_broken = Some(trouble.clone());
            }
            if !stage.is_ring() {
                read.of_streams += bytes;
            }
            read.more |= stage.had_its_share();
            if stage.is_empty() || stage.had_its_share() {
                horizon = horizon.min(stage.complete_until(keeps));
            } else {
                behind.push(Reverse((stage.last(), index)));
            }
        }
        read
    }

    /// The time up to which every source has handed over everything.
    pub(super) fn horizon(&self) -> u64 {
        let keeps = self.patience_ns();
        let of_sources = self.stages.iter().map(|stage| stage.complete_until(keeps));
        of_sources.min().unwrap_or(u64::MAX).min(self.latest())
    }

    /// The time up to which nobody brings anything who is not here yet.
    fn latest(&self) -> u64 {
        if self.expects { capture::now().saturating_sub(LAG) } else { u64::MAX }
    }

    /// Whether packets wait for those of sources elsewhere.
    pub(super) fn waits_for_others(&self) -> bool {
        self.expects || self.runs_elsewhere()
    }

    /// Hands to `take` the number of each interface block, and what became of the packets of each ring
    /// or stream of that interface.
    pub(super) fn counts(&mut self, mut take: impl FnMut(u32, PacketCounts)) {
        self.stages.iter_mut().for_each(|stage| stage.counts(&mut take));
    }

    /// Has every ring asked for its counts.
    pub(super) fn ask(&mut self) {
        self.counts(|_, _| {});
    }

    /// The same as [`Merge::counts`], with rings asked only where they were read since they last were.
    pub(super) fn counts_as_read(&mut self, mut take: impl FnMut(u32, PacketCounts)) {
        self.stages.iter_mut().for_each(|stage| stage.counts_as_read(&mut take));
    }

    /// Has all rings take those packets only that pass `filter`.
    ///
    /// Fails when one cannot; all others are as they were, then.
    pub(super) fn filter(&mut self, filter: &CompiledFilter) -> Result<(), Error> {
        let mut changed: Vec<&mut Ring> = Vec::new();
        for ring in self.stages.iter_mut().filter_map(Stage::ring) {
            if let Err(trouble) = ring.filter(filter) {
                changed.into_iter().for_each(Ring::filter_as_before);
                return Err(trouble);
            }
            changed.push(ring);
        }
        Ok(())
    }

    /// The sources elsewhere that have not ended.
    pub(super) fn far(&mut self) -> impl Iterator<Item = &mut Far> {
        self.stages.iter_mut().filter_map(Stage::far_mut)
    }

    /// Asks sources elsewhere for what is left of a capture that ends at `end`.
    pub(super) fn finish(&mut self, end: u64) {
        self.stages.iter_mut().for_each(|stage| stage.finish(end));
    }

    /// Whether there are sources elsewhere that have not ended.
    pub(super) fn runs_elsewhere(&self) -> bool {
        self.stages.iter().any(|stage| stage.far().is_some())
    }

    /// Why sources broke since this was last called.
    pub(super) fn take_broken(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.broken)
    }

    /// Why the capture failed, if every source broke. It is not reported again.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        let others = self.ended_well || self.stages.iter().any(|stage| stage.broken().is_none());
        let failure = self.last_broken.take_if(|_| !others)?;
        self.broken.pop();
        Some(failure)
    }
}
