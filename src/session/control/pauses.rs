//! Times in which a capture was paused: packets of these times are skipped, however late they are read.

use std::collections::VecDeque;

/// Pauses remembered. No packets of earlier ones are left to read.
const MAX_PAUSES: usize = 64;

/// The pauses of a capture, in nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(in crate::session) struct Pauses {
    /// Begin and end of each.
    ended: VecDeque<(u64, u64)>,
    paused_since: Option<u64>,
}

impl Pauses {
    pub(in crate::session) fn begin(&mut self, time: u64) {
        self.paused_since.get_or_insert(time);
    }

    pub(in crate::session) fn end(&mut self, time: u64) {
        if let Some(since) = self.paused_since.take() {
            self.ended.push_back((since, time));
            if self.ended.len() > MAX_PAUSES {
                self.ended.pop_front();
            }
        }
    }

    /// Whether a packet of `time` is skipped when the clock shows `now`. If that was set back since a pause, the pause does
    /// not count.
    #[inline]
    pub(in crate::session) fn contains(&self, time: u64, now: u64) -> bool {
        (self.paused_since.is_some() || !self.ended.is_empty()) && self.is_within(time, now)
    }

    fn is_within(&self, time: u64, now: u64) -> bool {
        let contains = |(begin, end): &(u64, u64)| (*begin..*end).contains(&time) && now >= *end;
        self.paused_since.is_some_and(|since| time >= since || now < since) || self.ended.iter().any(contains)
    }

    /// Forgets the pauses that ended before `horizon`, up to which all packets have been read.
    pub(in crate::session) fn forget_before(&mut self, horizon: u64) {
        while self.ended.front().is_some_and(|(_, end)| *end < horizon) {
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_during_a_pause_are_skipped() {
        let mut pauses = Pauses::default();
        assert!(!pauses.contains(10, 10));
        pauses.begin(10);
        pauses.begin(15);
        assert!(pauses.contains(10, 20) && pauses.contains(19, 20) && !pauses.contains(9, 20));
        pauses.end(20);
        pauses.begin(30);
        assert!(pauses.contains(19, 40) && !pauses.contains(20, 40));
        assert!(!pauses.contains(29, 40) && pauses.contains(30, 40));
    }

    #[test]
    fn setting_the_clock_back_neither_ends_nor_begins_a_pause() {
        let mut pauses = Pauses::default();
        pauses.begin(1000);
        assert!(pauses.contains(500, 500));
        pauses.end(510);
        assert!(!pauses.contains(520, 520));
        pauses.begin(600);
        pauses.end(700);
        assert!(pauses.contains(650, 700) && !pauses.contains(650, 650));
    }

    #[test]
    fn old_pauses_are_forgotten() {
        let mut pauses = Pauses::default();
        for begin in 0..200 {
            pauses.begin(begin * 10);
            pauses.end(begin * 10 + 5);
        }
        assert_eq!(pauses.ended.len(), MAX_PAUSES);
        pauses.forget_before(1990);
        assert_eq!(pauses.ended.len(), 1);
    }
}
