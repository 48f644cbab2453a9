//! A source while it is read, and how far that has come.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use log::{info, warn};

use super::far::Far;
use super::finish::Finish;
use super::one_way::Segments;
use super::queue::{Queue, SET_BACK, Spare};
use crate::capture::{self, Direction, PacketCounts, Ring};
use crate::error::Error;
use crate::pcapng;
use crate::peer;

/// Bytes read before the other sources are looked at again, by what the last packets had.
const AT_ONCE: usize = 128 * 1024;
/// Packets read before the other sources are looked at again.
const PACKETS_AT_ONCE: usize = 64;

/// Bytes read of a stream from elsewhere in one look, half of what is read at all: whoever never comes
/// to an end must not keep others from being read.
const SHARE: usize = 256 * 1024;

/// What a stage reads.
pub(super) enum Reader {
    /// A ring, and the number of its interface block.
    Ring(Ring, u32),
    /// A stream from elsewhere.
    Far(Far),
}

/// A source, and how far it was read.
pub(super) struct Stage {
    reader: Reader,
    /// Where the last packet read stands in the order of time, nanoseconds since the epoch.
    last: u64,
    /// Packets to be read next.
    at_once: usize,
    /// Bytes read in this look.
    bytes: usize,
    segments: Segments,
    /// When it was found empty in this look, nanoseconds since the epoch.
    empty_at: Option<u64>,
    /// What it came from is gone, or is not wanted any more: what it still has is read.
    leaving: Option<Finish>,
    /// Whether that is because its container has ended.
    ended_with_container: bool,
    /// Why it gives nothing more.
    pub(super) ended: Option<Ended>,
    /// By what [`Readiness`](super::readiness::Readiness) knows it; `None` where it is asked itself.
    pub(super) watched_as: Option<u64>,
}

/// Why a source gives nothing more.
pub(super) enum Ended {
    /// What it came from is gone.
    Gone,
    /// The same, and there was no time to read all it had.
    TooSlow,
    /// It ought to give more.
    Broken(Error),
}

impl Stage {
    pub(super) fn new(reader: Reader) -> Self {
        let (last, at_once, bytes) = (0, PACKETS_AT_ONCE, 0);
        Self {
            reader,
            last,
            at_once,
            bytes,
            segments: Segments::default(),
            empty_at: None,
            leaving: None,
            ended_with_container: false,
            ended: None,
            watched_as: None,
        }
    }

    /// Forgets that the source was found empty: that was then.
    pub(super) fn look_again(&mut self) {
        (self.bytes, self.empty_at) = (0, None);
    }

    /// Notes that the kernel had nothing for it at `time`, nanoseconds since the epoch.
    pub(super) fn found_empty(&mut self, time: u64) {
        self.empty_at = Some(time);
    }

    /// Whether its descriptor tells all there is to know: a stream from elsewhere may have read ahead.
    pub(super) fn is_ring(&self) -> bool {
        matches!(self.reader, Reader::Ring(..))
    }

    /// Whether it is the turn of others.
    pub(super) fn had_its_share(&self) -> bool {
        self.far().is_some() && self.bytes >= SHARE
    }

    /// Whether its descriptor tells when there is more: not that of a ring whose interface is gone.
    pub(super) fn can_be_waited_for(&self) -> bool {
        self.ended.is_none() && (self.leaving.is_none() || self.far().is_some())
    }

    /// Whether the source was found empty, or gives nothing more.
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_some() || self.empty_at.is_some()
    }

    /// Where the last packet read stands in the order of time, nanoseconds since the epoch.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Reads some packets into `queue`, or finds the source empty. Returns their bytes in the stream.
    /// `keeps` is how long the kernel may keep a packet back.
    pub(super) fn read(&mut self, queue: &mut Queue, spare: &mut Spare, keeps: Duration) -> usize {
        let asked_at = capture::now();
        let batch = queue.batch(spare);
        let (outcome, bytes) = match &mut self.reader {
            Reader::Ring(ring, interface) => {
                let (direction, interface, last) = (ring.direction(), *interface, &mut self.last);
                let segments = &mut self.segments;
                let mut bytes = 0;
                let outcome = ring.read(self.at_once, |time, length, data| {
                    *last = if last.saturating_sub(time) > SET_BACK { time } else { time.max(*last) };
                    segments.see(data);
                    bytes += batch.push(*last, interface, data.len(), |bytes| {
                        pcapng::append_packet(bytes, interface, direction, time, length, data);
                    });
                });
                match outcome {
                    Ok(count) => (Ok(count), bytes),
                    // It may have packets in a block that the kernel has yet to hand over.
                    Err(capture::RingClosed(why)) => {
                        self.leave(keeps, || info!("an interface gives nothing more: {why}"));
                        (Ok(0), bytes)
                    }
                }
            }
            Reader::Far(far) => match far.read(self.at_once, asked_at, &mut self.last, batch) {
                Ok((blocks, bytes)) => (Ok(blocks), bytes),
                Err(ended) => (Err(Ended::from(ended)), 0),
            },
        };
        match outcome {
            Ok(0) => self.empty_at = Some(asked_at),
            Ok(count) => self.at_once = (AT_ONCE * count / bytes.max(1)).clamp(1, PACKETS_AT_ONCE),
            Err(ended) => self.ended = Some(ended),
        }
        self.bytes += bytes;
        if let (Some(leaving), None) = (&self.leaving, &self.ended) {
            self.ended = self.how_it_left(leaving);
        }
        bytes
    }

    /// What it came from is gone: what it still has is read, and then it ends. Calls `begin` if that
    /// was not known.
    pub(super) fn leave(&mut self, keeps: Duration, begin: impl FnOnce()) {
        if self.leaving.is_some() || self.ended.is_some() {
            return;
        }
        begin();
        self.leaving = Some(Finish::now(keeps, self.far().is_some()));
        if let Reader::Far(far) = &mut self.reader {
            far.leave();
        }
    }

    /// Its container has ended.
    pub(super) fn leave_with_container(&mut self, keeps: Duration, begin: impl FnOnce()) {
        self.ended_with_container = true;
        self.leave(keeps, begin);
    }

    /// The first interface that it was read from, where that went away by itself.
    pub(super) fn disappeared(&self) -> Option<u32> {
        let is_gone = matches!(self.ended, Some(Ended::Gone | Ended::TooSlow)) && !self.ended_with_container;
        is_gone.then_some(())?;
        match &self.reader {
            Reader::Ring(_, interface) => Some(*interface),
            Reader::Far(far) => far.first().filter(|_| !far.unwatched),
        }
    }

    /// When to look whether it has left, if it is about to.
    pub(super) fn leaves_at(&self) -> Option<Instant> {
        let leaving = self.leaving.as_ref().filter(|_| self.ended.is_none())?;
        Some(if self.far().is_some() { leaving.latest } else { leaving.settled_at })
    }

    fn how_it_left(&self, leaving: &Finish) -> Option<Ended> {
        let now = Instant::now();
        let is_read = self.empty_at.is_some() || self.last >= leaving.time;
        if self.far().is_none() && is_read && now >= leaving.settled_at {
            Some(Ended::Gone)
        } else {
            (now >= leaving.latest).then_some(Ended::TooSlow)
        }
    }

    /// The time up to which it has handed over everything; `keeps` is how long the kernel may
    /// keep a packet back, in nanoseconds.
    pub(super) fn complete_until(&self, keeps: u64) -> u64 {
        match (&self.ended, &self.reader, self.empty_at) {
            (Some(_), ..) => u64::MAX,
            (None, Reader::Far(far), _) => far.complete_until(self.last),
            (None, Reader::Ring(..), Some(at)) => self.last.max(at.saturating_sub(keeps)),
            (None, Reader::Ring(..), None) => self.last,
        }
    }

    /// The same as [`Stage::counts`], with rings asked only where they were read meanwhile.
    pub(super) fn counts_as_read(&mut self, take: &mut impl FnMut(u32, PacketCounts)) {
        match &mut self.reader {
            Reader::Ring(ring, interface) => take(*interface, ring.counts_as_read()),
            Reader::Far(_) => self.counts(take),
        }
    }

    /// Hands to `take` the number of each interface block, and what became of its packets.
    pub(super) fn counts(&mut self, take: &mut impl FnMut(u32, PacketCounts)) {
        match &mut self.reader {
            Reader::Ring(ring, interface) => take(*interface, ring.counts()),
            Reader::Far(far) => far.counts().for_each(|(interface, counts)| take(interface, counts)),
        }
    }

    /// Whether it reads one of `interfaces`, and ends with what keeps them there.
    pub(super) fn ends_with(&self, interfaces: &Range<u32>) -> bool {
        match &self.reader {
            Reader::Ring(_, interface) => interfaces.contains(interface),
            Reader::Far(far) => {
                !far.unwatched && far.first().is_some_and(|first| interfaces.contains(&first))
            }
        }
    }

    /// Whether it was left unread in part.
    pub(super) fn left_unread(&self) -> bool {
        matches!(self.ended, Some(Ended::TooSlow | Ended::Broken(_)))
    }

    /// The stream it reads, if it is one from elsewhere that has not ended.
    pub(super) fn far(&self) -> Option<&Far> {
        match &self.reader {
            Reader::Far(far) if self.ended.is_none() => Some(far),
            Reader::Far(_) | Reader::Ring(..) => None,
        }
    }

    /// The same, to be asked for something.
    pub(super) fn far_mut(&mut self) -> Option<&mut Far> {
        match &mut self.reader {
            Reader::Far(far) if self.ended.is_none() => Some(far),
            Reader::Far(_) | Reader::Ring(..) => None,
        }
    }

    /// The ring it reads, if it is one that has not ended.
    pub(super) fn ring(&mut self) -> Option<&mut Ring> {
        match &mut self.reader {
            Reader::Ring(ring, _) if self.ended.is_none() => Some(ring),
            Reader::Far(_) | Reader::Ring(..) => None,
        }
    }

    /// The interface and the direction of its ring, and what that has shown of TCP.
    pub(super) fn segments(&self) -> Option<(u32, Direction, &Segments)> {
        match &self.reader {
            Reader::Ring(ring, interface) => Some((*interface, ring.direction(), &self.segments)),
            Reader::Far(_) => None,
        }
    }

    /// Asks a source elsewhere for what is left of a capture that ends at `end`.
    pub(super) fn finish(&mut self, end: u64) {
        if let Reader::Far(far) = &mut self.reader {
            far.finish(end);
        }
    }

    /// Why it ended, if it ought not to have.
    pub(super) fn broken(&self) -> Option<&Error> {
        match &self.ended {
            Some(Ended::Broken(trouble)) => Some(trouble),
            Some(Ended::Gone | Ended::TooSlow) | None => None,
        }
    }
}

impl AsFd for Stage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.reader {
            Reader::Ring(ring, _) => ring.as_fd(),
            Reader::Far(far) => far.as_fd(),
        }
    }
}

impl From<peer::PeerStreamEnd> for Ended {
    fn from(ended: peer::PeerStreamEnd) -> Self {
        match ended {
            peer::PeerStreamEnd::Finished => Self::Gone,
            peer::PeerStreamEnd::Broken(trouble) => {
                warn!("{trouble}");
                Self::Broken(trouble)
            }
        }
    }
}
