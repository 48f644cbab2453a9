//! Divides kernel memory for rings among attachments.

use std::time::Duration;

/// Default memory of all rings of a capture, in MiB. Half of it holds one direction: 60 ms at 15 Gbit/s.
pub const ALL_RINGS_MIB: u32 = 224;
/// Least memory of an attachment, in MiB: two rings of at least two blocks, of 256 KiB in libpcap 1.10
/// (pcap-linux.c, `create_ring`).
const MIN_RING_MIB: u32 = 1;

/// Size of a block in libpcap.
const BLOCK_KIB: u64 = 256;

/// The block timeout for rings of `ring_mib` MiB. A block is handed over at its timeout even with one packet in it, so
/// that a ring can go unread for all its blocks together: 200 to 400 ms. Less loses packets on a busy machine.
pub fn block_timeout_for_size(ring_mib: u32) -> Duration {
    let blocks = u64::from(ring_mib.max(1)) * 1024 / 2 / BLOCK_KIB;
    Duration::from_millis((400 / blocks).clamp(4, 100))
}

/// Memory of rings opened before their container is known, in MiB; part of [`ALL_RINGS_MIB`].
pub const PREOPENED_RINGS_MIB: u32 = 64;

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
    /// For up to `expected` attachments; further ones get the minimum, beyond [`ALL_RINGS_MIB`]. With `each`, every one gets
    /// that many MiB.
    pub fn new(each: Option<u32>, expected: usize) -> Self {
        Self { each, expected: u32::try_from(expected).unwrap_or(u32::MAX), attachments: 0, allocated: 0 }
    }

    /// Allocates memory for `count` attachments opened together. Returns the MiB of each.
    pub fn allocate(&mut self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        self.attachments = self.attachments.saturating_add(count);
        let still_expected = self.expected.saturating_sub(self.attachments);
        let least = still_expected.saturating_add(count).saturating_mul(MIN_RING_MIB);
        let rest = ALL_RINGS_MIB.saturating_sub(self.allocated).saturating_sub(least);
        let for_these = if still_expected == 0 { rest } else { rest / 4 * 3 };
        let each = self.each.unwrap_or(MIN_RING_MIB + for_these / count);
        self.allocated = self.allocated.saturating_add(each.saturating_mul(count));
        each
    }

    /// Allocates memory for an attachment whose container is unknown, while others of that kind have `held` MiB: at most half
    /// of what is left for these. `None` if a requested size exceeds what is left.
    pub fn allocate_preopened(&mut self, held: u32) -> Option<u32> {
        let left = PREOPENED_RINGS_MIB.saturating_sub(held);
        if self.each.is_some_and(|each| held > 0 && each > left) {
            return None;
        }
        let each = self.allocate(1);
        let most = if self.each.is_some() { each } else { (left / 2).max(MIN_RING_MIB) };
        self.allocated = self.allocated.saturating_sub(each.saturating_sub(most));
        Some(each.min(most))
    }

    /// Releases the memory of `count` attachments with `each` MiB.
    pub fn release(&mut self, count: usize, each: u32) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.attachments = self.attachments.saturating_sub(count);
        self.allocated = self.allocated.saturating_sub(each.saturating_mul(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_opened_together_share_all_memory() {
        for (count, each) in [(1, 224), (2, 112), (3, 74), (10, 22), (200, 1)] {
            assert_eq!(RingBudget::new(None, count).allocate(count), each, "{count}");
        }
        assert_eq!(RingBudget::new(Some(8), 3).allocate(3), 8);
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
            assert!(total <= ALL_RINGS_MIB, "{total} after {begin}");
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
        assert_eq!(first, 1 + (224 - 4) / 4 * 3);
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
        assert_eq!(allocated, [32, 16, 8, 4, 2, 1, 1, 1]);
        for each in &allocated {
            budget.release(1, *each);
        }
        assert_eq!(budget.allocate(1), 224);
        // A requested size is allocated however large it is, but not twice.
        let mut budget = RingBudget::new(Some(256), 1);
        assert_eq!((budget.allocate_preopened(0), budget.allocate_preopened(256)), (Some(256), None));
        assert_eq!(RingBudget::new(Some(8), 1).allocate_preopened(56), Some(8));
    }

    #[test]
    fn small_and_large_rings_can_go_unread_equally_long() {
        for (mib, milliseconds) in [(1, 100), (2, 100), (8, 25), (112, 4)] {
            assert_eq!(block_timeout_for_size(mib), Duration::from_millis(milliseconds), "{mib}");
        }
    }
}
