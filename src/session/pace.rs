//! How often to look.
//!
//! Waking is what costs most where little comes at a time: rings are not looked at for each block
//! the kernel hands over, but when about as much has come as a pipe takes at once, and no later
//! than in a steady pace.

use std::time::Duration;

use super::merge::Read;
use super::stage::Stage;

/// Shortest and longest time between two looks while packets come; the longest is longer where little comes
/// and the kernel keeps packets longer.
const PACE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// Bytes that shall come between two looks: they fit a pipe at once.
const PORTION: usize = 512 * 1024;
/// The same of streams from elsewhere: a third of what the kernel holds of one (`net.core.wmem_default`, 208 KiB), since
/// whoever writes more waits for us.
const PORTION_OF_STREAMS: usize = 64 * 1024;
/// Bytes that the smallest ring takes many times.
const LITTLE: usize = 16 * 1024;

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// There is more to be written right away.
    Backlog,
    /// Packets come; what to wait for a portion of them.
    Steady(Duration),
    /// So much comes from elsewhere that it is waited for by itself.
    Streams,
    /// No packets.
    Idle,
}

impl Load {
    /// What there is to do after what was `read` came in `time`; `holds` tells whether packets
    /// wait to be written, `block_timeout` how long the kernel keeps them in a block.
    pub(super) fn of(read: Read, time: Duration, holds: bool, block_timeout: Duration) -> Self {
        if read.more {
            return Self::Backlog;
        }
        let of_streams = in_time(PORTION_OF_STREAMS, read.of_streams, time);
        if of_streams < PACE.0 {
            Self::Streams
        } else if read.bytes > 0 || holds {
            let portion = in_time(PORTION, read.bytes, time).min(of_streams);
            let longest = if read.bytes < LITTLE { PACE.1.max(block_timeout) } else { PACE.1 };
            Self::Steady(portion.clamp(PACE.0, longest))
        } else {
            Self::Idle
        }
    }

    /// Whether to look as soon as the source of `stage` has something.
    pub(super) fn heeds(self, stage: &Stage) -> bool {
        let may = self == Self::Idle || self == Self::Streams && stage.far().is_some();
        may && stage.can_be_waited_for()
    }

    /// How long to wait before the next look, where there is nothing to do for `idle`.
    pub(super) fn pause(self, idle: Duration) -> Duration {
        match self {
            Self::Backlog => Duration::ZERO,
            Self::Steady(portion) => portion,
            Self::Streams => PACE.1.min(idle),
            Self::Idle => idle,
        }
    }
}

/// How long `portion` takes where so many `bytes` came in `time`.
fn in_time(portion: usize, bytes: usize, time: Duration) -> Duration {
    let portions = u32::try_from(portion / bytes.max(1)).unwrap_or(u32::MAX);
    time.saturating_mul(portions)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(2);

    fn after(bytes: usize) -> Load {
        Load::of(Read { bytes, ..Read::default() }, TIME, false, TIME)
    }

    #[test]
    fn the_more_comes_the_sooner_rings_are_looked_at() {
        assert_eq!(after(PORTION / 4), Load::Steady(TIME * 4));
        assert_eq!(after(100 * PORTION), Load::Steady(PACE.0));
        assert_eq!(after(1), Load::Steady(PACE.1));
        assert_eq!(after(0), Load::Idle);
    }

    #[test]
    fn a_stream_is_read_before_who_writes_it_must_wait() {
        let after = |bytes, time| {
            let read = Read { bytes, of_streams: bytes, more: false };
            Load::of(read, time, false, TIME)
        };
        assert_eq!(after(PORTION_OF_STREAMS / 4, TIME), Load::Steady(TIME * 4));
        assert_eq!(after(2 * PORTION_OF_STREAMS, TIME), Load::Streams);
        assert_eq!(after(PORTION_OF_STREAMS / 4, TIME / 10), Load::Streams);
        assert_eq!(after(1, TIME), Load::Steady(PACE.1));
        assert_eq!(after(0, TIME), Load::Idle);
    }

    #[test]
    fn what_waits_for_another_ring_is_looked_after() {
        let none = Read::default();
        assert_eq!(Load::of(none, TIME, true, TIME), Load::Steady(PACE.1));
        // Four hundred rings, whose packets come every 100 ms.
        let kept = Duration::from_millis(100);
        assert_eq!(Load::of(none, TIME, true, kept), Load::Steady(kept));
        let more = Read { bytes: LITTLE, ..none };
        assert_eq!(Load::of(more, kept, true, kept), Load::Steady(PACE.1));
    }
}
