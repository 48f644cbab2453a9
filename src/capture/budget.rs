//! How much kernel memory each attachment has for its packets.

use std::time::Duration;

/// Memory of all rings of a capture together, in MiB, where nothing else is asked for. Half of it
/// takes what comes the one way: at 15 Gbit/s, 60 ms in which nobody reads.
pub const ALL_RINGS_MIB: u32 = 224;
/// The least that an attachment can have, in MiB: libpcap 1.10 makes blocks of 256 KiB
/// (pcap-linux.c, `create_ring`), and in each of its two rings one has to be filled while another is read.
const LEAST_MIB: u32 = 1;

/// Size of a block (the same place).
const BLOCK_KIB: u64 = 256;

/// How long the kernel may keep a packet in a block, where an attachment's rings have `ring_mib` MiB together
/// and are read by a program of their own. A block is handed over at its time even if it holds a single packet,
/// so that the time a ring can go unread is that of all its blocks: 200 to 400 ms. With 4 ms, four
/// blocks lost a third of a few web pages' packets where three other programs kept two processors busy.
pub fn block_timeout_for_size(ring_mib: u32) -> Duration {
    let blocks = u64::from(ring_mib.max(1)) * 1024 / 2 / BLOCK_KIB;
    Duration::from_millis((400 / blocks).clamp(4, 100))
}

/// Memory of the rings of all cables together that were opened before it is known whose they are, in MiB;
/// part of [`ALL_RINGS_MIB`].
pub const PREOPENED_RINGS_MIB: u32 = 64;

/// Shares out the memory for rings among attachments that come and go.
///
/// A ring keeps its size for as long as it is there. So of what is free, the least is set aside for
/// each attachment that is still expected, and of the rest a quarter for those among them that come next.
#[derive(Clone, Debug)]
pub struct RingBudget {
    /// What each has, where that was asked for.
    each: Option<u32>,
    expected: u32,
    attachments: u32,
    taken: u32,
}

impl RingBudget {
    /// For a capture of up to `expected` attachments at a time; more have the least that is possible, beyond
    /// [`ALL_RINGS_MIB`]. With `each`, every one has that many MiB.
    pub fn new(each: Option<u32>, expected: usize) -> Self {
        Self { each, expected: u32::try_from(expected).unwrap_or(u32::MAX), attachments: 0, taken: 0 }
    }

    /// Takes memory for `count` attachments that are opened together. Returns how many MiB each has.
    pub fn allocate(&mut self, count: usize) -> u32 {
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        self.attachments = self.attachments.saturating_add(count);
        let still_expected = self.expected.saturating_sub(self.attachments);
        let least = still_expected.saturating_add(count).saturating_mul(LEAST_MIB);
        let rest = ALL_RINGS_MIB.saturating_sub(self.taken).saturating_sub(least);
        let for_these = if still_expected == 0 { rest } else { rest / 4 * 3 };
        let each = self.each.unwrap_or(LEAST_MIB + for_these / count);
        self.taken = self.taken.saturating_add(each.saturating_mul(count));
        each
    }

    /// Takes memory for one attachment that may be nobody's who is meant, while others of that kind have
    /// `held` MiB: half of what is left for those at most, since who is meant may come next. Where each has
    /// what was asked for, `None` if that is more than is left for others.
    pub fn allocate_preopened(&mut self, held: u32) -> Option<u32> {
        let left = PREOPENED_RINGS_MIB.saturating_sub(held);
        if self.each.is_some_and(|each| held > 0 && each > left) {
            return None;
        }
        let each = self.allocate(1);
        let most = if self.each.is_some() { each } else { (left / 2).max(LEAST_MIB) };
        self.taken = self.taken.saturating_sub(each.saturating_sub(most));
        Some(each.min(most))
    }

    /// Takes back what `count` attachments had that were given `each` MiB.
    pub fn release(&mut self, count: usize, each: u32) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.attachments = self.attachments.saturating_sub(count);
        self.taken = self.taken.saturating_sub(each.saturating_mul(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_all_there_share_everything() {
        for (count, each) in [(1, 224), (2, 112), (3, 74), (10, 22), (200, 1)] {
            assert_eq!(RingBudget::new(None, count).allocate(count), each, "{count}");
        }
        assert_eq!(RingBudget::new(Some(8), 3).allocate(3), 8);
    }

    #[test]
    fn two_hundred_that_come_one_by_one_or_after_others_have_room() {
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
    fn who_comes_again_has_what_who_left_had() {
        let mut budget = RingBudget::new(None, 4);
        let first = budget.allocate(1);
        for _ in 0..1000 {
            budget.release(1, first);
            assert_eq!(budget.allocate(1), first);
        }
        assert_eq!(first, 1 + (224 - 4) / 4 * 3);
    }

    #[test]
    fn who_may_be_a_stranger_leaves_room_for_those_who_are_meant() {
        let mut budget = RingBudget::new(None, 1);
        let taken: Vec<u32> = (0..8)
            .scan(0, |held, _| {
                let taken = budget.allocate_preopened(*held)?;
                *held += taken;
                Some(taken)
            })
            .collect();
        assert_eq!(taken, [32, 16, 8, 4, 2, 1, 1, 1]);
        for each in &taken {
            budget.release(1, *each);
        }
        assert_eq!(budget.allocate(1), 224);
        // All that is asked for, however much that is, but not twice.
        let mut budget = RingBudget::new(Some(256), 1);
        assert_eq!((budget.allocate_preopened(0), budget.allocate_preopened(256)), (Some(256), None));
        assert_eq!(RingBudget::new(Some(8), 1).allocate_preopened(56), Some(8));
    }

    #[test]
    fn a_small_ring_can_go_unread_as_long_as_a_large_one() {
        for (mib, milliseconds) in [(1, 100), (2, 100), (8, 25), (112, 4)] {
            assert_eq!(block_timeout_for_size(mib), Duration::from_millis(milliseconds), "{mib}");
        }
    }
}
