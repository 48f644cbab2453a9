//! The end of a capture: what came before it is written, within reason.

use std::time::{Duration, Instant};

use super::output::PATIENCE;
use crate::capture;

/// How long the other end of a link is waited for, which has to be asked.
const PATIENCE_ELSEWHERE: Duration = Duration::from_millis(750);

/// The end of a capture, once it has been asked for.
pub(super) struct Finish {
    /// Packets up to this time belong to the capture, nanoseconds since the epoch.
    pub(super) time: u64,
    /// When the kernel has handed over all of them that it has.
    pub(super) settled_at: Instant,
    /// When to end although the reader has not taken all of them.
    pub(super) latest: Instant,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The capture goes on, or there may be more packets that belong to it.
    Underway,
    /// Every packet of the capture was handed over.
    Done,
    /// Time is up, and there are more.
    TooSlow,
}

impl Finish {
    /// An end that was asked for now; `keeps` is how long the kernel may keep a packet back, `elsewhere`
    /// tells whether there are sources elsewhere.
    pub(super) fn now(keeps: Duration, elsewhere: bool) -> Self {
        let settled_at = Instant::now() + keeps;
        let patience = if elsewhere { PATIENCE_ELSEWHERE } else { PATIENCE };
        Self { time: capture::now(), settled_at, latest: settled_at + patience }
    }
}

/// How far the end has come, where every source has handed over all up to `horizon`.
pub(super) fn progress(finish: Option<&Finish>, horizon: u64) -> Progress {
    if horizon == u64::MAX {
        // No source gives anything more.
        return Progress::Done;
    }
    let Some(finish) = finish else { return Progress::Underway };
    let now = Instant::now();
    if now < finish.settled_at {
        Progress::Underway
    } else if horizon >= finish.time {
        Progress::Done
    } else if now < finish.latest {
        Progress::Underway
    } else {
        Progress::TooSlow
    }
}
