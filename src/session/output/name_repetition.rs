//! Repeats address names in a stream, since dumpcap cuts it into files (`-b`) that keep the section header and the
//! interface blocks, but no names.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::safe_text::SafeText;

/// Ratio of packet bytes to name bytes after which names are repeated: 1.6 % of the stream.
const BUSY_RATIO: u64 = 64;
/// Bytes of packets after which the shortest list of names is repeated.
const MIN_PACKET_BYTES: u64 = 64 * 1024;
/// The ratio in a quiet stream, for files that are cut by time: 12 % of the stream.
const QUIET_RATIO: u64 = 8;
/// Time between two repetitions in a quiet stream.
const QUIET_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes of a name in its block: an address, the name, and their padding.
pub(super) fn record_len((_, name): &(IpAddr, SafeText)) -> usize {
    24 + name.as_str().len()
}

/// Decides when names are repeated.
pub(super) struct NameRepetition {
    /// Bytes of all names.
    name_bytes: u64,
    /// Bytes of packets since they were written.
    packet_bytes: u64,
    written_at: Instant,
}

impl NameRepetition {
    pub(super) fn new() -> Self {
        Self { name_bytes: 0, packet_bytes: 0, written_at: Instant::now() }
    }

    /// Records that `names` are written now.
    pub(super) fn record(&mut self, names: &[(IpAddr, SafeText)]) {
        let name_bytes = names.iter().map(|name| record_len(name) as u64).sum();
        *self = Self { name_bytes, ..Self::new() };
    }

    /// Adds written bytes of packets. Returns whether to repeat the names.
    pub(super) fn is_due(&mut self, bytes: u64) -> bool {
        self.packet_bytes += bytes;
        let is_busy = self.packet_bytes >= (self.name_bytes * BUSY_RATIO).max(MIN_PACKET_BYTES);
        let is_quiet =
            self.packet_bytes >= self.name_bytes * QUIET_RATIO && self.written_at.elapsed() >= QUIET_INTERVAL;
        self.name_bytes > 0 && bytes > 0 && (is_busy || is_quiet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_repeated_in_proportion_to_traffic() {
        let mut repetition = NameRepetition::new();
        assert!(!repetition.is_due(1 << 20), "there are no names");
        let name = (IpAddr::from([172, 17, 0, 2]), SafeText::new(&"x".repeat(76)));
        repetition.record(&vec![name; 40]);
        assert!(!repetition.is_due(200_000) && repetition.is_due(56_000), "64 times 4000 bytes");
        let long_ago = Instant::now().checked_sub(QUIET_INTERVAL);
        repetition.packet_bytes = 0;
        repetition.written_at = long_ago.expect("an uptime of more than 10 seconds");
        assert!(!repetition.is_due(31_000) && repetition.is_due(1000) && !repetition.is_due(0));
    }
}
