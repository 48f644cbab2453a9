//! Divides kernel memory for rings among attachments.

use std::time::Duration;

use super::ring;

/// Default memory of all rings of a capture, in KiB.
pub const ALL_RINGS_KIB: u32 = 128 * 1024;
/// Most of it that one attachment gets, in MiB: at full rate 16 MiB are read at once and as much comes meanwhile; the rest takes
/// a burst for which the reader is too slow: dumpcap needs 6 µs for a packet. With buffers, it is less than 128 MiB in all.
pub const DEFAULT_RING_MIB: u32 = 112;
/// Least memory of an attachment, in KiB: two blocks.
const MIN_RING_KIB: u32 = 512;

/// The block timeout for a ring of `ring_kib` KiB. A block is handed over at its timeout even with one packet in it, so
/// that a ring can go unread for all its blocks together: 200 to 400 ms. Less loses packets on a busy machine.
pub fn block_timeout_for_size(ring_kib: u32) -> Duration {
    let (_, blocks) = ring::geometry(ring_kib);
    Duration::from_millis((400 / blocks as u64).clamp(12, 100))
}

/// Memory of rings opened before their container is known, in KiB; part of [`ALL_RINGS_KIB`].
pub const PREOPENED_RINGS_KIB: u32 = 32 * 1024;

/// Allocates memory for the rings of attachments that are added and removed.
///
/// A ring cannot be resized. Therefore the minimum is reserved for each attachment that is still expected, and a quarter
/// of the rest for the next ones.
#[derive(Clone, Debug)]
pub struct RingBudget {
    /// Memory of each, if requested.
    each: Option<u32>,
    expected: u32,
    attachments: u32,
    allocated: u32,
}

impl RingBudget {
    /// For up to `expected` attachments; further ones get the minimum, beyond [`ALL_RINGS_KIB`]. With `each`, every one gets
    /// that many KiB.
    pub fn new(each: Option<u32>, expected: usize) -> Self {
        Self { each, expected: u32::try_from(expected).unwrap_or(u32::MAX), attachments: 0, allocated: 0 }
    }

    /// Allocates memory for `count` attachments opened together. Returns the KiB of each.
    pub fn allocate(&mut self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        self.attachments = self.attachments.saturating_add(count);
        let still_expected = self.expected.saturating_sub(self.attachments);
        let least = still_expected.saturating_add(count).saturating_mul(MIN_RING_KIB);
        let rest = ALL_RINGS_KIB.saturating_sub(self.allocated).saturating_sub(least);
        let for_these = if still_expected == 0 { rest } else { rest / 4 * 3 };
        let share = (MIN_RING_KIB + for_these / count).min(DEFAULT_RING_MIB * 1024);
        let each = self.each.unwrap_or(share);
        self.allocated = self.allocated.saturating_add(each.saturating_mul(count));
        each
    }

    /// Allocates memory for an attachment whose container is unknown, while others of that kind have `held` KiB: at most half
    /// of what is left for these. `None` if a requested size exceeds what is left.
    pub fn allocate_preopened(&mut self, held: u32) -> Option<u32> {
        let left = PREOPENED_RINGS_KIB.saturating_sub(held);
        if self.each.is_some_and(|each| held > 0 && each > left) {
            return None;
        }
        let each = self.allocate(1);
        let most = if self.each.is_some() { each } else { (left / 2).max(MIN_RING_KIB) };
        self.allocated = self.allocated.saturating_sub(each.saturating_sub(most));
        Some(each.min(most))
    }

    /// Releases the memory of `count` attachments with `each` KiB.
    pub fn release(&mut self, count: usize, each: u32) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.attachments = self.attachments.saturating_sub(count);
        self.allocated = self.allocated.saturating_sub(each.saturating_mul(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1024;

    #[test]
    fn attachments_opened_together_share_all_memory() {
        for (count, each) in [(1, 112 * MIB), (2, 64 * MIB), (8, 16 * MIB), (200, 655)] {
            assert_eq!(RingBudget::new(None, count).allocate(count), each, "{count}");
        }
        assert_eq!(RingBudget::new(Some(8 * MIB), 3).allocate(3), 8 * MIB);
    }

    #[test]
    fn two_hundred_attachments_fit_however_they_are_added() {
        for begin in [0, 1, 10, 100, 150] {
            let mut budget = RingBudget::new(None, 200);
            let mut total =
                if begin == 0 { 0 } else { budget.allocate(begin) * u32::try_from(begin).expect("few") };
            for _ in begin..200 {
                total += budget.allocate(1);
            }
            assert!(total <= ALL_RINGS_KIB, "{total} after {begin}");
        }
    }

    #[test]
    fn a_reopened_attachment_gets_the_same_memory() {
        let mut budget = RingBudget::new(None, 4);
        let first = budget.allocate(1);
        for _ in 0..1000 {
            budget.release(1, first);
            assert_eq!(budget.allocate(1), first);
        }
        // Three quarters of what need not be kept for those that are still expected.
        assert_eq!(first, 95 * MIB);
    }

    #[test]
    fn preopened_rings_leave_memory_for_selected_containers() {
        let mut budget = RingBudget::new(None, 1);
        let allocated: Vec<u32> = (0..8)
            .scan(0, |held, _| {
                let allocated = budget.allocate_preopened(*held)?;
                *held += allocated;
                Some(allocated)
            })
            .collect();
        assert_eq!(allocated, [16 * MIB, 8 * MIB, 4 * MIB, 2 * MIB, MIB, 512, 512, 512]);
        for each in &allocated {
            budget.release(1, *each);
        }
        assert_eq!(budget.allocate(1), DEFAULT_RING_MIB * MIB);
        // A requested size is allocated however large it is, but not twice.
        let mut budget = RingBudget::new(Some(256 * MIB), 1);
        assert_eq!(
            (budget.allocate_preopened(0), budget.allocate_preopened(256 * MIB)),
            (Some(256 * MIB), None)
        );
        assert_eq!(RingBudget::new(Some(8 * MIB), 1).allocate_preopened(24 * MIB), Some(8 * MIB));
    }

    #[test]
    fn small_and_large_rings_can_go_unread_equally_long() {
        for (kib, milliseconds) in
            [(512, 100), (1024, 100), (2048, 50), (8 * MIB, 50), (32 * MIB, 12), (112 * MIB, 12)]
        {
            assert_eq!(block_timeout_for_size(kib), Duration::from_millis(milliseconds), "{kib}");
        }
    }
}
