//! How long a full pipe is left to its reader.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// By which the kernel may extend a wait (`timerslack_ns`, proc(5)).
const TIMER_SLACK: Duration = Duration::from_micros(50);
/// Shortest wait. After 150 µs in all, the fastest readers would wait for packets.
const MIN_WAIT: Duration = Duration::from_micros(10);
/// Longest one, for a reader that has paused.
const MAX_WAIT: Duration = Duration::from_millis(1);

/// How fast the reader of a pipe reads.
#[derive(Default)]
pub(super) struct ReadingRate {
    /// When the pipe was full the last time.
    full_at: Option<Instant>,
    /// Bytes written since.
    written: usize,
}

impl ReadingRate {
    pub(super) fn count(&mut self, bytes: usize) {
        self.written += bytes;
    }

    /// For a pipe that was found full: the time after which half of it will have been read. It is writable as soon as one of
    /// its pages has been read, and a reader that is interrupted for each of them is slow.
    pub(super) fn time_until_half_read(&mut self, pipe: impl AsFd) -> Duration {
        let now = Instant::now();
        let read = std::mem::take(&mut self.written);
        let Some(full_at) = self.full_at.replace(now).filter(|_| read > 0) else { return MIN_WAIT };
        let unread = rustix::io::ioctl_fionread(pipe).unwrap_or(0);
        let half = (now - full_at).as_nanos() * u128::from(unread) / 2 / read as u128;
        let half = Duration::from_nanos(u64::try_from(half).unwrap_or(u64::MAX));
        half.saturating_sub(TIMER_SLACK).clamp(MIN_WAIT, MAX_WAIT)
    }
}
