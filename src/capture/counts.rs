//! What became of packets, counted.

use pcap::Stat;

/// What became of the packets of a ring since the capture began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Packets that came to the ring, kept there or not.
    pub received: u64,
    /// Packets read from the ring.
    pub delivered: u64,
    /// Packets the kernel had no room for in the ring.
    pub kernel_drops: u64,
    /// Packets left unread at the other end of a stream from elsewhere.
    pub abandoned: u64,
    /// Packets the interface itself dropped.
    pub interface_drops: u64,
}

impl PacketCounts {
    /// Packets that came and were not read.
    pub fn unread(&self) -> u64 {
        self.received.saturating_sub(self.kernel_drops + self.abandoned + self.delivered)
    }
}

/// The same of a ring while it is read.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) delivered: u64,
    received: Counter,
    /// Of these, from before the capture began, where it began in the past.
    before: Option<u64>,
    kernel_drops: Counter,
    interface_drops: Counter,
}

impl Counted {
    /// What the kernel has told so far does not count.
    pub(super) fn begin(&mut self, told: Stat) {
        self.received.last = told.received;
        self.kernel_drops.last = told.dropped;
        self.interface_drops.last = told.if_dropped;
    }

    /// What the kernel has told so far counts, but for what is left out.
    pub(super) fn begin_in_the_past(&mut self) {
        self.before = Some(0);
    }

    /// A packet that was read is from before the capture began.
    pub(super) fn leave_out(&mut self) {
        self.before = self.before.map(|before| before + 1);
    }

    pub(super) fn advance(&mut self, told: Stat) {
        self.received.advance(told.received);
        self.kernel_drops.advance(told.dropped);
        self.interface_drops.advance(told.if_dropped);
    }

    pub(super) fn counts(&self) -> PacketCounts {
        PacketCounts {
            received: self.received.total.saturating_sub(self.before.unwrap_or_default()),
            delivered: self.delivered,
            kernel_drops: self.kernel_drops.total,
            abandoned: 0,
            interface_drops: self.interface_drops.total,
        }
    }
}

/// A 64-bit count of something that is told in 32 bits and wraps.
#[derive(Default)]
struct Counter {
    last: u32,
    total: u64,
}

impl Counter {
    fn advance(&mut self, told: u32) {
        self.total += u64::from(told.wrapping_sub(self.last));
        self.last = told;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_wraps_goes_on_counting() {
        let mut counter = Counter { last: u32::MAX - 1, total: 7 };
        counter.advance(3);
        assert_eq!(counter.total, 12);
    }
}
