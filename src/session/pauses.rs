//! When a capture was paused: what came then is left out, however late it is read.

use std::collections::VecDeque;

/// Pauses remembered; of one that was longer ago, nothing is still to be read.
const MOST: usize = 64;

/// Times in which packets are left out, nanoseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// Begin and end.
    past: VecDeque<(u64, u64)>,
    since: Option<u64>,
}

impl Pauses {
    pub(super) fn begin(&mut self, time: u64) {
        self.since.get_or_insert(time);
    }

    pub(super) fn end(&mut self, time: u64) {
        if let Some(since) = self.since.take() {
            self.past.push_back((since, time));
            if self.past.len() > MOST {
                self.past.pop_front();
            }
        }
    }

    /// Whether a packet of `time` is left out, by a clock that shows `now`. Where that was set back
    /// meanwhile, times from before do not count any more.
    pub(super) fn hold(&self, time: u64, now: u64) -> bool {
        let was = |(begin, end): &(u64, u64)| (*begin..*end).contains(&time) && now >= *end;
        self.since.is_some_and(|since| time >= since || now < since) || self.past.iter().any(was)
    }

    /// Forgets those that ended before `horizon`, up to which everything has been read.
    pub(super) fn forget(&mut self, horizon: u64) {
        while self.past.front().is_some_and(|(_, end)| *end < horizon) {
            self.past.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_a_pause_is_left_out_and_nothing_else() {
        let mut pauses = Pauses::default();
        assert!(!pauses.hold(10, 10));
        pauses.begin(10);
        pauses.begin(15);
        assert!(pauses.hold(10, 20) && pauses.hold(19, 20) && !pauses.hold(9, 20));
        pauses.end(20);
        pauses.begin(30);
        assert!(pauses.hold(19, 40) && !pauses.hold(20, 40) && !pauses.hold(29, 40) && pauses.hold(30, 40));
    }

    #[test]
    fn a_clock_that_is_set_back_neither_ends_a_pause_nor_begins_one() {
        let mut pauses = Pauses::default();
        pauses.begin(1000);
        assert!(pauses.hold(500, 500));
        pauses.end(510);
        assert!(!pauses.hold(520, 520));
        pauses.begin(600);
        pauses.end(700);
        assert!(pauses.hold(650, 700) && !pauses.hold(650, 650));
    }

    #[test]
    fn pauses_that_are_read_past_are_forgotten() {
        let mut pauses = Pauses::default();
        for begin in 0..200 {
            pauses.begin(begin * 10);
            pauses.end(begin * 10 + 5);
        }
        assert_eq!(pauses.past.len(), MOST);
        pauses.forget(1990);
        assert_eq!(pauses.past.len(), 1);
    }
}
