//! How often to look.
//!
//! Waking is what costs most where little comes at a time: then rings are looked at in a steady
//! pace, and not at each block. Where much comes, each block is taken as the kernel hands it
//! over, while it is still in a cache and before a pipe is full.

use std::time::Duration;

use super::merge::Stage;

/// Time between two reports to whoever watches, and the longest wait where there is nothing to do.
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(250);
/// Time between two looks while little comes.
const PACE: Duration = Duration::from_millis(20);
/// Bytes that may come between two such looks: they fit a pipe at once.
const MUCH: usize = 640 * 1024;

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Rings hold more than was read.
    Backlog,
    /// Rings hold more, but nothing can be written until another ring is known to have nothing
    /// older.
    Blocked,
    /// Much comes, and rings were found empty.
    Much,
    /// Little comes, and rings were found empty.
    Little,
    /// No packets.
    Idle,
}

impl Load {
    /// What there is to do after so many bytes were `read` that came in `time`, and something
    /// `wrote` or not.
    pub(super) fn of(stages: &[Stage], read: usize, time: Duration, wrote: bool) -> Self {
        if stages.iter().any(Stage::may_have_more) {
            if wrote { Self::Backlog } else { Self::Blocked }
        } else if read as u128 * PACE.as_micros() > MUCH as u128 * time.as_micros() {
            Self::Much
        } else if read > 0 || stages.iter().any(|stage| stage.held() > 0) {
            Self::Little
        } else {
            Self::Idle
        }
    }

    /// Whether to look as soon as a ring has something.
    pub(super) fn heeds_rings(self) -> bool {
        matches!(self, Self::Much | Self::Idle)
    }

    /// How long to wait before the next look; `keeps` is how long the kernel may keep a packet
    /// back.
    pub(super) fn pause(self, keeps: Duration) -> Duration {
        match self {
            Self::Backlog => Duration::ZERO,
            Self::Blocked => keeps / 4,
            Self::Much => keeps / 2,
            Self::Little => PACE,
            Self::Idle => REPORT_EVERY,
        }
    }
}
