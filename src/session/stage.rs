//! A ring while it is read, and how far that has come.

use super::queue::{Queue, Spare};
use crate::capture::{self, Ended, Ring};
use crate::pcapng;

/// A clock that goes back further than this was set back, in nanoseconds; less is two processors
/// that differ.
const SET_BACK: u64 = 1_000_000_000;

/// Bytes read before the other rings are looked at again, by what the last packets had.
const AT_ONCE: usize = 128 * 1024;
/// Packets read before the other rings are looked at again.
const PACKETS_AT_ONCE: usize = 64;

/// A ring, and how far it was read.
pub(super) struct Stage {
    pub(super) ring: Ring,
    /// Time of the last packet read, nanoseconds since the epoch.
    last: u64,
    /// Packets to be read next.
    at_once: usize,
    /// When it was found empty in this look, nanoseconds since the epoch.
    empty_at: Option<u64>,
    /// Why it gives nothing more.
    pub(super) ended: Option<Ended>,
}

impl Stage {
    pub(super) fn new(ring: Ring) -> Self {
        Self { ring, last: 0, at_once: PACKETS_AT_ONCE, empty_at: None, ended: None }
    }

    /// Forgets that the ring was found empty: that was then.
    pub(super) fn look_again(&mut self) {
        self.empty_at = None;
    }

    /// Whether the ring was found empty, or gives nothing more.
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_some() || self.empty_at.is_some()
    }

    /// Time of the last packet read, nanoseconds since the epoch.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Reads some packets into `queue`, or finds the ring empty. Returns their bytes in the stream.
    pub(super) fn read(&mut self, queue: &mut Queue, spare: &mut Spare) -> usize {
        let (asked_at, direction) = (capture::now(), self.ring.direction());
        let (last, interface, mut bytes) = (&mut self.last, queue.interface, 0);
        let batch = queue.batch(spare);
        let outcome = self.ring.read(self.at_once, |time, length, data| {
            *last = if last.saturating_sub(time) > SET_BACK { time } else { time.max(*last) };
            bytes += batch.push(*last, data.len(), |bytes| {
                pcapng::append_packet(bytes, interface, direction, time, length, data);
            });
        });
        match outcome {
            Ok(0) => self.empty_at = Some(asked_at),
            Ok(count) => self.at_once = (AT_ONCE * count / bytes.max(1)).clamp(1, PACKETS_AT_ONCE),
            Err(ended) => self.ended = Some(ended),
        }
        bytes
    }

    /// The time up to which it has handed over everything; `keeps` is how long the kernel may
    /// keep a packet back, in nanoseconds.
    pub(super) fn complete_until(&self, keeps: u64) -> u64 {
        match (&self.ended, self.empty_at) {
            (Some(_), _) => u64::MAX,
            (None, Some(at)) => self.last.max(at.saturating_sub(keeps)),
            (None, None) => self.last,
        }
    }
}
