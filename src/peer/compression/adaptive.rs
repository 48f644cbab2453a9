//! Which chunks are compressed, and at which level.
//!
//! Of incompressible data, only a sample is tried in each interval. The level follows the share of time that compression
//! takes: where it takes most of the time, the link is fast and a faster level moves more.

use std::time::{Duration, Instant};

use super::CompressionMode;

/// An interval ends after this many bytes or this time.
const INTERVAL_BYTES: usize = 8 * 1024 * 1024;
const MEASUREMENT_INTERVAL: Duration = Duration::from_millis(250);
/// Data that keeps more than this share of its size counts as incompressible.
const INCOMPRESSIBLE_RATIO: f64 = 0.9;
/// Incompressible bytes in a row after which the rest of an interval is sent raw: about 1 % of the time of a fast link.
const MAX_INCOMPRESSIBLE_BYTES: usize = 256 * 1024;
/// Share of an interval above which compression changes to the fast level.
const BUSY_SHARE: f64 = 0.5;
/// Share of an interval below which it changes back to the dense level.
const IDLE_SHARE: f64 = 0.2;

/// A compression level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Smaller output.
    Dense,
    /// Less time.
    Fast,
}

/// Selects the level of the next chunk.
pub(super) struct AdaptiveLevel {
    mode: CompressionMode,
    level: Level,
    started: Instant,
    /// Bytes sent in this interval.
    bytes: usize,
    /// Time spent on compression in this interval.
    compressing: Duration,
    /// Incompressible bytes in a row.
    incompressible: usize,
}

impl AdaptiveLevel {
    pub(super) fn new(mode: CompressionMode, now: Instant) -> Self {
        let (bytes, compressing, incompressible) = (0, Duration::ZERO, 0);
        Self { mode, level: Level::Dense, started: now, bytes, compressing, incompressible }
    }

    /// The level of the next chunk; `None` for a raw chunk.
    pub(super) fn next_level(&mut self, now: Instant) -> Option<Level> {
        let elapsed = now.saturating_duration_since(self.started);
        if self.bytes >= INTERVAL_BYTES || elapsed >= MEASUREMENT_INTERVAL {
            let share = self.compressing.as_secs_f64() / elapsed.as_secs_f64().max(1e-6);
            if share > BUSY_SHARE {
                self.level = Level::Fast;
            } else if share < IDLE_SHARE {
                self.level = Level::Dense;
            }
            *self = Self { level: self.level, ..Self::new(self.mode, now) };
        }
        match self.mode {
            CompressionMode::Off => None,
            CompressionMode::On => Some(self.level),
            CompressionMode::Auto => (self.incompressible < MAX_INCOMPRESSIBLE_BYTES).then_some(self.level),
        }
    }

    /// Records a raw chunk.
    pub(super) fn record_raw(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Records a compressed chunk: its size before and after, and the time it took.
    pub(super) fn record_compressed(&mut self, bytes: usize, compressed: usize, time: Duration) {
        self.bytes += bytes;
        self.compressing += time;
        #[expect(clippy::cast_precision_loss, reason = "a chunk has few bytes")]
        let is_incompressible = compressed as f64 > bytes as f64 * INCOMPRESSIBLE_RATIO;
        self.incompressible = if is_incompressible { self.incompressible + bytes } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::super::MAX_INPUT_LEN;
    use super::*;

    /// Sends chunks for one second. Each takes `compressing` if it is compressed, shrinks to `ratio` of its size, and
    /// then takes `sending` on the link. Returns how many were compressed, of how many.
    fn run(adaptive: &mut AdaptiveLevel, compressing: u64, sending: u64, ratio: usize) -> (u64, u64) {
        let [compressing, sending] = [compressing, sending].map(Duration::from_micros);
        let (mut now, mut compressed, mut total) = (adaptive.started, 0, 0);
        let end = now + Duration::from_secs(1);
        while now < end {
            total += 1;
            if adaptive.next_level(now).is_some() {
                compressed += 1;
                now += compressing;
                adaptive.record_compressed(MAX_INPUT_LEN, MAX_INPUT_LEN * ratio / 100, compressing);
            } else {
                adaptive.record_raw(MAX_INPUT_LEN);
            }
            now += sending;
        }
        (compressed, total)
    }

    #[test]
    fn the_level_follows_the_share_of_time_that_compression_takes() {
        let mut adaptive = AdaptiveLevel::new(CompressionMode::Auto, Instant::now());
        for (compressing, sending, level) in [
            (400, 5000, Level::Dense),
            (400, 100, Level::Fast),
            (400, 600, Level::Fast),
            (400, 5000, Level::Dense),
        ] {
            let (compressed, total) = run(&mut adaptive, compressing, sending, 20);
            assert_eq!((adaptive.level, compressed), (level, total), "{compressing} {sending}");
        }
    }

    #[test]
    fn only_a_sample_of_incompressible_data_is_compressed() {
        let mut adaptive = AdaptiveLevel::new(CompressionMode::Auto, Instant::now());
        let (compressed, total) = run(&mut adaptive, 250, 1000, 100);
        assert!(compressed * 20 < total, "{compressed} of {total}");
        // Text after it is compressed again from the next interval.
        let (compressed, total) = run(&mut adaptive, 250, 1000, 20);
        assert!(compressed * 10 > total * 9, "{compressed} of {total}");
    }

    #[test]
    fn compression_on_is_unconditional_and_off_does_nothing() {
        for mode in [CompressionMode::On, CompressionMode::Off] {
            let mut adaptive = AdaptiveLevel::new(mode, Instant::now());
            let (compressed, total) = run(&mut adaptive, 250, 10, 100);
            assert_eq!(compressed, if mode == CompressionMode::On { total } else { 0 });
        }
    }
}
