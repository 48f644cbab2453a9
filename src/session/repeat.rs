//! When names of addresses are repeated in a stream. What cuts it into files (dumpcap's `-b`) keeps the section header
//! and interface blocks for each of them, and no names.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::safe_text::SafeText;

/// Packets have so many times the bytes of all names before these are repeated: 1.6 % of the stream.
const BUSY_RATIO: u64 = 64;
/// Bytes of packets that are worth one more write.
const MIN_BYTES: u64 = 64 * 1024;
/// Where little comes, names are repeated sooner, for files that are cut by time: 12 % of the stream.
const QUIET_RATIO: u64 = 8;
/// Time between two repetitions where little comes.
const QUIET_INTERVAL: Duration = Duration::from_secs(10);

/// Counts towards the next repetition.
pub(super) struct Repetition {
    /// Bytes of all names.
    names: u64,
    /// Bytes of the packets since they were written.
    packets: u64,
    written_at: Instant,
}

impl Repetition {
    pub(super) fn new() -> Self {
        Self { names: 0, packets: 0, written_at: Instant::now() }
    }

    /// `names` are written now.
    pub(super) fn written(&mut self, names: &[(IpAddr, SafeText)]) {
        // An address, a name, and what stands around them.
        let length = |(_, name): &(IpAddr, SafeText)| 24 + name.as_str().len() as u64;
        *self = Self { names: names.iter().map(length).sum(), ..Self::new() };
    }

    /// So many bytes of packets were written. Whether to repeat the names.
    pub(super) fn is_due(&mut self, bytes: u64) -> bool {
        self.packets += bytes;
        let is_busy = self.packets >= (self.names * BUSY_RATIO).max(MIN_BYTES);
        let is_worth_it = self.packets >= self.names * QUIET_RATIO;
        self.names > 0 && bytes > 0 && (is_busy || is_worth_it && self.written_at.elapsed() >= QUIET_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_repeated_as_traffic_comes_and_never_without() {
        let mut repetition = Repetition::new();
        assert!(!repetition.is_due(1 << 20), "there are no names");
        let name = (IpAddr::from([172, 17, 0, 2]), SafeText::new(&"x".repeat(76)));
        repetition.written(&vec![name; 40]);
        assert!(!repetition.is_due(200_000) && repetition.is_due(56_000), "64 times 4000 bytes");
        let long_ago = Instant::now().checked_sub(QUIET_INTERVAL);
        repetition.packets = 0;
        repetition.written_at = long_ago.expect("the machine is up for longer");
        assert!(!repetition.is_due(31_000) && repetition.is_due(1000) && !repetition.is_due(0));
    }
}
