//! The end of a capture or source: packets that came before it are still read, within a time limit.

use std::time::{Duration, Instant};

use crate::capture;

/// How long reading and writing the last packets may take.
pub(in crate::session) const DRAIN_TIMEOUT: Duration = Duration::from_millis(250);
/// The same with remote sources, which first receive a request to finish.
const REMOTE_DRAIN_TIMEOUT: Duration = Duration::from_millis(750);

/// An end that has been requested.
pub(in crate::session) struct Drain {
    /// Packets up to this time belong to the capture, in nanoseconds since the epoch.
    pub(in crate::session) end_time: u64,
    /// When the kernel has handed over all of them.
    pub(in crate::session) settled_at: Instant,
    /// When to give up on packets that have not been read.
    pub(in crate::session) deadline: Instant,
}

/// How far draining has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum DrainProgress {
    /// The capture goes on, or packets that belong to it may still come.
    Pending,
    /// Every packet of the capture has been read.
    Done,
    /// The deadline has passed before that.
    TimedOut,
}

impl Drain {
    /// Ends now. `kernel_delay` is how long the kernel may hold a packet back.
    pub(in crate::session) fn begin(kernel_delay: Duration, has_remote_sources: bool) -> Self {
        let settled_at = Instant::now() + kernel_delay;
        let timeout = if has_remote_sources { REMOTE_DRAIN_TIMEOUT } else { DRAIN_TIMEOUT };
        Self { end_time: capture::now(), settled_at, deadline: settled_at + timeout }
    }
}

/// How far `drain` has come, where every source has handed over everything up to the time `horizon`.
pub(in crate::session) fn drain_progress(drain: Option<&Drain>, horizon: u64) -> DrainProgress {
    if horizon == u64::MAX {
        // All sources have ended.
        return DrainProgress::Done;
    }
    let Some(drain) = drain else { return DrainProgress::Pending };
    let now = Instant::now();
    if now < drain.settled_at {
        DrainProgress::Pending
    } else if horizon >= drain.end_time {
        DrainProgress::Done
    } else if now < drain.deadline {
        DrainProgress::Pending
    } else {
        DrainProgress::TimedOut
    }
}
