//! Packet counts of rings.

use pcap::{Active, Capture};

use super::ring::PacketRing;

/// Packet counts of a ring since the capture began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Packets that passed the filter, whether the ring had room or not.
    pub received: u64,
    /// Packets read from the ring.
    pub delivered: u64,
    /// Packets dropped by the kernel because the ring was full.
    pub kernel_drops: u64,
    /// Packets left unread by the writer of a peer stream.
    pub abandoned: u64,
    /// Packets dropped by the interface.
    pub interface_drops: u64,
}

impl PacketCounts {
    /// Packets received and not read.
    pub fn unread(&self) -> u64 {
        self.received.saturating_sub(self.kernel_drops + self.abandoned + self.delivered)
    }
}

/// The counters of a ring while it is read.
#[derive(Default)]
pub(super) struct RingCounters {
    pub(super) delivered: u64,
    received: u64,
    /// Packets from before the capture began, if it began in the past.
    before: Option<u64>,
    kernel_drops: u64,
    interface_drops: WrappingCounter,
}

impl RingCounters {
    /// Excludes what the kernel has counted so far.
    pub(super) fn start(&mut self, ring: &PacketRing, handle: &mut Capture<Active>) {
        // The kernel counts from the last query.
        let _ = ring.take_counts();
        if let Ok(stat) = handle.stats() {
            self.interface_drops.last = stat.if_dropped;
        }
    }

    /// Includes what the kernel has counted so far, except for packets from before.
    pub(super) fn start_in_past(&mut self) {
        self.before = Some(0);
    }

    /// Excludes a packet from before the capture began.
    pub(super) fn exclude_packet(&mut self) {
        self.before = self.before.map(|before| before + 1);
    }

    pub(super) fn advance(&mut self, ring: &PacketRing, handle: &mut Capture<Active>) {
        if let Ok((received, dropped)) = ring.take_counts() {
            self.received += u64::from(received);
            self.kernel_drops += u64::from(dropped);
        }
        if let Ok(stat) = handle.stats() {
            self.interface_drops.advance(stat.if_dropped);
        }
    }

    pub(super) fn counts(&self) -> PacketCounts {
        PacketCounts {
            received: self.received.saturating_sub(self.before.unwrap_or_default()),
            delivered: self.delivered,
            kernel_drops: self.kernel_drops,
            abandoned: 0,
            interface_drops: self.interface_drops.total,
        }
    }
}

/// A 64-bit count of a 32-bit counter that wraps.
#[derive(Default)]
struct WrappingCounter {
    last: u32,
    total: u64,
}

impl WrappingCounter {
    fn advance(&mut self, value: u32) {
        self.total += u64::from(value.wrapping_sub(self.last));
        self.last = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapping_counter_continues() {
        let mut counter = WrappingCounter { last: u32::MAX - 1, total: 7 };
        counter.advance(3);
        assert_eq!(counter.total, 12);
    }
}
