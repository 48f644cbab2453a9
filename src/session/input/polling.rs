//! How often to read the sources.
//!
//! A few rings are read when the kernel hands over a block. Where packets wait for others or to be read from the pipe, and
//! with many rings, most of the cost would be waking up: these are read when about as much has come as fits into a pipe,
//! and at a steady interval at the latest.

use std::time::Duration;

use super::merger::ReadSummary;
use super::source_reader::SourceReader;

/// Shortest and longest time between two reads while packets come. The longest is extended to half of the block timeout where
/// little comes: the smallest rings have two blocks, of which one must be given back while the other fills.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Bytes that should come between two reads: they fit into a pipe.
const BYTES_PER_POLL: usize = 512 * 1024;
/// The same for remote streams: a third of a socket's buffer (`net.core.wmem_default`, 208 KiB), since the writer blocks
/// when it is full.
const REMOTE_BYTES_PER_POLL: usize = 64 * 1024;
/// Bytes that fit into the smallest ring many times.
const SMALL_READ: usize = 16 * 1024;

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Load {
    /// More can be written immediately.
    Backlog,
    /// Packets come; how long to wait for the next read.
    Steady(Duration),
    /// Remote streams bring so much that they are polled themselves.
    RemoteStreams,
    /// No packets.
    Idle,
}

/// When rings are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Pace {
    /// When they have packets.
    Woken,
    /// At an interval, while packets come.
    Interval,
    /// At an interval, since packets wait to be written.
    Waiting,
    /// At a short interval, since packets wait to be read from the pipe, and their memory is missing in the ring.
    Lent,
}

impl Load {
    /// The load after the last read, whose packets came within `elapsed`.
    pub(in crate::session) fn after(
        read: ReadSummary,
        elapsed: Duration,
        pace: Pace,
        block_timeout: Duration,
    ) -> Self {
        if read.has_more {
            return Self::Backlog;
        }
        let remote_interval = time_for(REMOTE_BYTES_PER_POLL, read.remote_bytes, elapsed);
        if remote_interval < MIN_POLL_INTERVAL {
            Self::RemoteStreams
        } else if read.bytes == 0 && matches!(pace, Pace::Waiting | Pace::Lent) {
            // Longer and longer: more may come at once, or nothing while the reader stalls.
            let longest = MAX_POLL_INTERVAL.max(block_timeout / 2);
            Self::Steady(elapsed.saturating_mul(2).clamp(MIN_POLL_INTERVAL, longest))
        } else if pace == Pace::Lent {
            Self::Steady(MIN_POLL_INTERVAL)
        } else if pace == Pace::Waiting || pace == Pace::Interval && read.bytes > 0 {
            let interval = time_for(BYTES_PER_POLL, read.bytes, elapsed).min(remote_interval);
            let is_small = read.bytes < SMALL_READ;
            let longest = if is_small { MAX_POLL_INTERVAL.max(block_timeout / 2) } else { MAX_POLL_INTERVAL };
            Self::Steady(interval.clamp(MIN_POLL_INTERVAL, longest))
        } else {
            Self::Idle
        }
    }

    /// Whether a packet of `source` ends the wait.
    pub(in crate::session) fn wakes_on(self, source: &SourceReader) -> bool {
        let is_polled = self == Self::Idle || self == Self::RemoteStreams && source.remote().is_some();
        is_polled && source.is_pollable()
    }

    /// How long to wait before the next read, where `idle_timeout` is the time to the next event.
    pub(in crate::session) fn wait_time(self, idle_timeout: Duration) -> Duration {
        match self {
            Self::Backlog => Duration::ZERO,
            Self::Steady(interval) => interval,
            Self::RemoteStreams => MAX_POLL_INTERVAL.min(idle_timeout),
            Self::Idle => idle_timeout,
        }
    }
}

/// How long `target` bytes take where `bytes` came within `elapsed`.
fn time_for(target: usize, bytes: usize, elapsed: Duration) -> Duration {
    let factor = u32::try_from(target / bytes.max(1)).unwrap_or(u32::MAX);
    elapsed.saturating_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELAPSED: Duration = Duration::from_millis(2);

    fn after(bytes: usize) -> Load {
        Load::after(ReadSummary { bytes, ..ReadSummary::default() }, ELAPSED, Pace::Interval, ELAPSED)
    }

    #[test]
    fn rings_are_polled_more_often_as_traffic_grows() {
        assert_eq!(after(BYTES_PER_POLL / 4), Load::Steady(ELAPSED * 4));
        assert_eq!(after(100 * BYTES_PER_POLL), Load::Steady(MIN_POLL_INTERVAL));
        assert_eq!(after(1), Load::Steady(MAX_POLL_INTERVAL));
        assert_eq!(after(0), Load::Idle);
    }

    #[test]
    fn a_few_rings_are_read_when_they_have_packets() {
        let read = ReadSummary { bytes: BYTES_PER_POLL, ..ReadSummary::default() };
        assert_eq!(Load::after(read, ELAPSED, Pace::Woken, ELAPSED), Load::Idle);
    }

    #[test]
    fn lent_memory_is_soon_given_back_unless_the_reader_stalls() {
        let (none, read) = (ReadSummary::default(), ReadSummary { bytes: 1, ..ReadSummary::default() });
        assert_eq!(Load::after(read, ELAPSED, Pace::Lent, ELAPSED), Load::Steady(MIN_POLL_INTERVAL));
        assert_eq!(Load::after(none, ELAPSED, Pace::Lent, ELAPSED), Load::Steady(ELAPSED * 2));
        assert_eq!(Load::after(none, ELAPSED * 100, Pace::Lent, ELAPSED), Load::Steady(MAX_POLL_INTERVAL));
    }

    #[test]
    fn a_remote_stream_is_read_before_its_writer_blocks() {
        let after = |bytes, elapsed| {
            let read = ReadSummary { bytes, remote_bytes: bytes, has_more: false };
            Load::after(read, elapsed, Pace::Interval, ELAPSED)
        };
        assert_eq!(after(REMOTE_BYTES_PER_POLL / 4, ELAPSED), Load::Steady(ELAPSED * 4));
        assert_eq!(after(2 * REMOTE_BYTES_PER_POLL, ELAPSED), Load::RemoteStreams);
        assert_eq!(after(REMOTE_BYTES_PER_POLL / 4, ELAPSED / 10), Load::RemoteStreams);
        assert_eq!(after(1, ELAPSED), Load::Steady(MAX_POLL_INTERVAL));
        assert_eq!(after(0, ELAPSED), Load::Idle);
    }

    #[test]
    fn packets_that_wait_for_another_ring_are_polled_for() {
        let none = ReadSummary::default();
        assert_eq!(Load::after(none, ELAPSED, Pace::Waiting, ELAPSED), Load::Steady(ELAPSED * 2));
        // With 400 rings packets come every 100 ms.
        let block_timeout = Duration::from_millis(100);
        assert_eq!(
            Load::after(none, block_timeout, Pace::Waiting, block_timeout),
            Load::Steady(block_timeout / 2)
        );
        let more = ReadSummary { bytes: SMALL_READ, ..none };
        assert_eq!(
            Load::after(more, block_timeout, Pace::Waiting, block_timeout),
            Load::Steady(MAX_POLL_INTERVAL)
        );
    }
}
