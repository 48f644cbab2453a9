//! Reads one source, and knows how far it has been read.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::block_batch::SpareBatches;
use super::drain::Drain;
use super::queue::PacketQueue;
use super::remote_source::{CLOCK_STEP_NS, RemoteSource};
use crate::capture::{self, PacketCounts, Ring, RingClosed};
use crate::error::Error;
use crate::peer;

/// Used bytes up to which a block of a single ring is sorted, too: at higher rates, as in tcpdump, packets of two processors
/// may follow each other some 100 µs out of order.
const SHORT_BLOCK_LEN: usize = 128 * 1024;
/// Bytes read from a remote stream in one pass, half of all: an endless stream must not keep others from being read.
const MAX_REMOTE_BYTES_PER_PASS: usize = 256 * 1024;

/// What is read.
pub(super) enum SourceKind {
    /// A ring, and the number of its interface block.
    Ring(Ring, u32),
    Remote(RemoteSource),
}

/// A source that is being read.
pub(in crate::session) struct SourceReader {
    kind: SourceKind,
    /// Time of the last packet read, in nanoseconds since the epoch.
    last_time: u64,
    /// Bytes read in this pass.
    pass_bytes: usize,
    /// When it was found empty in this pass, in nanoseconds since the epoch.
    empty_at: Option<u64>,
    /// Set once its interface is gone or the source is to end: the rest is read.
    drain: Option<Drain>,
    /// Whether it drains because its container has ended.
    has_container_ended: bool,
    /// Why no more packets come from it.
    pub(super) end: Option<SourceEnd>,
    /// Its number in the readiness set; `None` if it is polled by itself.
    pub(in crate::session) ready_number: Option<u64>,
}

/// Why no more packets come from a source.
pub(super) enum SourceEnd {
    /// Its interface is gone, and all its packets were read.
    Drained,
    /// Its interface is gone, and there was no time to read all its packets.
    TimedOut,
    /// It failed.
    Failed(Error),
}

impl SourceReader {
    pub(super) fn new(kind: SourceKind) -> Self {
        Self {
            kind,
            last_time: 0,
            pass_bytes: 0,
            empty_at: None,
            drain: None,
            has_container_ended: false,
            end: None,
            ready_number: None,
        }
    }

    /// Begins a new pass, in which the source may have packets again.
    pub(super) fn begin_pass(&mut self) {
        (self.pass_bytes, self.empty_at) = (0, None);
    }

    /// Records that it had no packets at `time`, in nanoseconds since the epoch.
    pub(super) fn set_empty_at(&mut self, time: u64) {
        self.empty_at = Some(time);
    }

    /// Whether it is a ring, whose descriptor is readable whenever it has packets; a remote source may have read ahead.
    pub(super) fn is_ring(&self) -> bool {
        matches!(self.kind, SourceKind::Ring(..))
    }

    /// Whether it is not read any further in this pass, whatever it still has.
    pub(super) fn has_had_its_share(&self) -> bool {
        self.remote().is_some() && self.pass_bytes >= MAX_REMOTE_BYTES_PER_PASS
    }

    /// Whether its descriptor signals packets. That of a ring whose interface is gone is always readable.
    pub(in crate::session) fn is_pollable(&self) -> bool {
        self.end.is_none() && (self.drain.is_none() || self.remote().is_some())
    }

    /// Whether it has no packets now.
    pub(super) fn is_empty(&self) -> bool {
        self.end.is_some() || self.empty_at.is_some()
    }

    /// Time of the last packet read, in nanoseconds since the epoch.
    pub(super) fn last_time(&self) -> u64 {
        self.last_time
    }

    /// Reads some packets into `queue`, or finds the source empty. `is_merged` tells whether there are others. Returns their
    /// bytes in the stream.
    pub(super) fn read(
        &mut self,
        queue: &mut PacketQueue,
        spare: &mut SpareBatches,
        kernel_delay: Duration,
        is_merged: bool,
    ) -> usize {
        let polled_at = capture::now();
        let (outcome, bytes) = match &mut self.kind {
            SourceKind::Ring(ring, interface) => {
                let interface = *interface;
                match ring.next_block() {
                    Ok(Some(mut block)) => {
                        if is_merged || block.used() <= SHORT_BLOCK_LEN {
                            block.sort();
                        }
                        let (last, time, bytes) = (self.last_time, block.last_time(), block.used());
                        self.last_time =
                            if last.saturating_sub(time) > CLOCK_STEP_NS { time } else { time.max(last) };
                        queue.add_block(block, interface, self.last_time);
                        (Ok(1), bytes)
                    }
                    Ok(None) => (Ok(0), 0),
                    // The kernel may still hand over a block of it.
                    Err(RingClosed) => {
                        self.begin_drain(kernel_delay, || info!("interface {interface} is gone"));
                        (Ok(0), 0)
                    }
                }
            }
            SourceKind::Remote(remote) => match remote.read(polled_at, &mut self.last_time, queue, spare) {
                Ok((blocks, bytes)) => (Ok(blocks), bytes),
                Err(ended) => (Err(SourceEnd::from(ended)), 0),
            },
        };
        match outcome {
            Ok(0) => self.empty_at = Some(polled_at),
            Ok(_) => {}
            Err(end) => self.end = Some(end),
        }
        self.pass_bytes += bytes;
        if let (Some(drain), None) = (&self.drain, &self.end) {
            self.end = self.drained(drain);
        }
        bytes
    }

    /// Ends the source once its packets have been read. Calls `log` if it has not begun to end before.
    pub(super) fn begin_drain(&mut self, kernel_delay: Duration, log: impl FnOnce()) {
        if self.drain.is_some() || self.end.is_some() {
            return;
        }
        log();
        self.drain = Some(Drain::begin(kernel_delay, self.remote().is_some()));
        if let SourceKind::Remote(remote) = &mut self.kind {
            remote.end_stream();
        }
    }

    /// Ends the source as its container has ended.
    pub(super) fn end_with_container(&mut self, kernel_delay: Duration, log: impl FnOnce()) {
        self.has_container_ended = true;
        self.begin_drain(kernel_delay, log);
    }

    /// Its first interface, if that was removed without the end of the container.
    pub(in crate::session) fn removed_interface(&self) -> Option<u32> {
        let is_gone = matches!(self.end, Some(SourceEnd::Drained | SourceEnd::TimedOut));
        if !is_gone || self.has_container_ended {
            return None;
        }
        match &self.kind {
            SourceKind::Ring(_, interface) => Some(*interface),
            SourceKind::Remote(remote) => remote.first_interface().filter(|_| !remote.outlives_holders),
        }
    }

    /// When to check whether it has drained.
    pub(super) fn drains_at(&self) -> Option<Instant> {
        let drain = self.drain.as_ref().filter(|_| self.end.is_none())?;
        Some(if self.remote().is_some() { drain.deadline } else { drain.settled_at })
    }

    fn drained(&self, drain: &Drain) -> Option<SourceEnd> {
        let now = Instant::now();
        let is_read = self.empty_at.is_some() || self.last_time >= drain.end_time;
        if self.remote().is_none() && is_read && now >= drain.settled_at {
            Some(SourceEnd::Drained)
        } else {
            (now >= drain.deadline).then_some(SourceEnd::TimedOut)
        }
    }

    /// The time up to which every packet has been read, in nanoseconds since the epoch. `kernel_delay` is in nanoseconds.
    pub(super) fn complete_until(&self, kernel_delay: u64) -> u64 {
        match (&self.end, &self.kind, self.empty_at) {
            (Some(_), ..) => u64::MAX,
            (None, SourceKind::Remote(remote), _) => remote.complete_until(self.last_time),
            (None, SourceKind::Ring(..), Some(at)) => self.last_time.max(at.saturating_sub(kernel_delay)),
            (None, SourceKind::Ring(..), None) => self.last_time,
        }
    }

    /// Calls `take` with the number of each interface block and the counts of its packets, as of the last read.
    pub(super) fn counts_as_read(&mut self, take: &mut impl FnMut(u32, PacketCounts)) {
        match &mut self.kind {
            SourceKind::Ring(ring, interface) => take(*interface, ring.cached_counts()),
            SourceKind::Remote(_) => self.counts(take),
        }
    }

    /// Calls `take` with the number of each interface block and the counts of its packets.
    pub(in crate::session) fn counts(&mut self, take: &mut impl FnMut(u32, PacketCounts)) {
        match &mut self.kind {
            SourceKind::Ring(ring, interface) => take(*interface, ring.counts()),
            SourceKind::Remote(remote) => {
                remote.counts().for_each(|(interface, counts)| take(interface, counts));
            }
        }
    }

    /// Whether it reads one of `interfaces` and ends with their holders.
    pub(super) fn ends_with(&self, interfaces: &Range<u32>) -> bool {
        match &self.kind {
            SourceKind::Ring(_, interface) => interfaces.contains(interface),
            SourceKind::Remote(remote) => {
                let first = remote.first_interface();
                !remote.outlives_holders && first.is_some_and(|first| interfaces.contains(&first))
            }
        }
    }

    /// Whether it ended before all its packets were read.
    pub(in crate::session) fn has_unread(&self) -> bool {
        matches!(self.end, Some(SourceEnd::TimedOut | SourceEnd::Failed(_)))
    }

    /// The remote source, if it is one and has not ended.
    pub(in crate::session) fn remote(&self) -> Option<&RemoteSource> {
        match &self.kind {
            SourceKind::Remote(remote) if self.end.is_none() => Some(remote),
            SourceKind::Remote(_) | SourceKind::Ring(..) => None,
        }
    }

    /// The remote source, if it is one and has not ended.
    pub(super) fn remote_mut(&mut self) -> Option<&mut RemoteSource> {
        match &mut self.kind {
            SourceKind::Remote(remote) if self.end.is_none() => Some(remote),
            SourceKind::Remote(_) | SourceKind::Ring(..) => None,
        }
    }

    /// The ring, if it is one and has not ended.
    pub(super) fn ring_mut(&mut self) -> Option<&mut Ring> {
        match &mut self.kind {
            SourceKind::Ring(ring, _) if self.end.is_none() => Some(ring),
            SourceKind::Remote(_) | SourceKind::Ring(..) => None,
        }
    }

    /// The number of the interface block of a ring.
    pub(super) fn ring_interface(&self) -> Option<u32> {
        match &self.kind {
            SourceKind::Ring(_, interface) => Some(*interface),
            SourceKind::Remote(_) => None,
        }
    }

    /// Whether it is a ring whose interface went down, and has not ended.
    pub(super) fn is_down(&self) -> bool {
        self.end.is_none() && matches!(&self.kind, SourceKind::Ring(ring, _) if ring.is_down())
    }

    /// Blocks of a ring that may wait to be written: the kernel needs the others.
    pub(super) fn max_held_blocks(&self) -> Option<usize> {
        match &self.kind {
            // Half of the smallest ring would be the block that it fills next.
            SourceKind::Ring(ring, _) => Some(ring.blocks() / 2 - 1),
            SourceKind::Remote(_) => None,
        }
    }

    /// Requests the rest of a capture that ends at `end_time` from a remote source.
    pub(super) fn end_capture(&mut self, end_time: u64) {
        if let SourceKind::Remote(remote) = &mut self.kind {
            remote.end_capture(end_time);
        }
    }

    /// Why it failed.
    pub(super) fn failure(&self) -> Option<&Error> {
        match &self.end {
            Some(SourceEnd::Failed(error)) => Some(error),
            Some(SourceEnd::Drained | SourceEnd::TimedOut) | None => None,
        }
    }
}

impl AsFd for SourceReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            SourceKind::Ring(ring, _) => ring.as_fd(),
            SourceKind::Remote(remote) => remote.as_fd(),
        }
    }
}

impl From<peer::PeerStreamEnd> for SourceEnd {
    fn from(ended: peer::PeerStreamEnd) -> Self {
        match ended {
            peer::PeerStreamEnd::Finished => Self::Drained,
            peer::PeerStreamEnd::Failed(error) => {
                warn!("{error}");
                Self::Failed(error)
            }
        }
    }
}
