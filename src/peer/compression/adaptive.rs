//! When packing is worth its time.
//!
//! Of what hardly becomes smaller, only a little is tried now and then. Where packing takes much of the time, less effort
//! is made. And where that takes most of the time, too, the link may be faster: then for a moment nothing is packed, and
//! whichever brought more bytes a second is gone on with. Where little comes, or the link is slow, packing takes little of
//! the time, and goes on.

use std::time::{Duration, Instant};

use super::CompressionMode;

/// When a look ends: so much has been told, or so long has passed.
const LOOK_BYTES: usize = 8 * 1024 * 1024;
const LOOK: Duration = Duration::from_millis(250);
/// A chunk that keeps this share of its bytes hardly became smaller.
const HARDLY: f64 = 0.9;
/// So many bytes of such in a row, and no more are tried until the next look: a hundredth of the time that a fast
/// link takes for all of them.
const MOST_IN_VAIN: usize = 256 * 1024;
/// The share of a look that packing must have taken before less effort is made, and then before going without is tried.
const BUSY: f64 = 0.5;
/// The share that it may take at most before more effort is made again.
const IDLE: f64 = 0.2;
/// How many times as fast it must be to go without: small is worth something, too.
const FASTER: f64 = 1.5;
/// How long it is before that is tried again: the first time, and at most, each twice as long as the one before.
const SOON: Duration = Duration::from_secs(2);
const LATE: Duration = Duration::from_mins(1);
/// How long nothing is packed before it is seen again what packing would bring.
const TERM: Duration = Duration::from_secs(10);

/// How hard zstd tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// For a small size.
    Dense,
    /// For a short time.
    Quick,
}

/// What speaks for packing and against it.
pub(super) struct Worth {
    compress: CompressionMode,
    effort: Effort,
    look: Look,
    /// Bytes in a row that hardly became smaller.
    in_vain: usize,
    /// Packing, where it was left for something that is faster.
    left: Option<Left>,
    try_at: Instant,
    patience: Duration,
}

/// The time since it was last decided.
struct Look {
    begun: Instant,
    bytes: usize,
    packing: Duration,
}

/// Packing that was left.
#[derive(Clone, Copy)]
struct Left {
    /// What it brought, bytes a second.
    rate: f64,
    at: Instant,
}

impl Look {
    fn at(begun: Instant) -> Self {
        Self { begun, bytes: 0, packing: Duration::ZERO }
    }
}

impl Worth {
    pub(super) fn of(compress: CompressionMode, now: Instant) -> Self {
        let (effort, look) = (Effort::Dense, Look::at(now));
        Self { compress, effort, look, in_vain: 0, left: None, try_at: now, patience: SOON }
    }

    /// How the next chunk is to be packed, if it is.
    pub(super) fn effort(&mut self, now: Instant) -> Option<Effort> {
        if self.compress == CompressionMode::Off {
            return None;
        }
        let time = now.saturating_duration_since(self.look.begun);
        if self.look.bytes >= LOOK_BYTES || time >= LOOK {
            self.decide(now, time.as_secs_f64().max(1e-6));
            (self.look, self.in_vain) = (Look::at(now), 0);
        }
        let is_worth_it = self.left.is_none() && self.in_vain < MOST_IN_VAIN;
        (is_worth_it || self.compress == CompressionMode::On).then_some(self.effort)
    }

    /// So many bytes were told as they are.
    pub(super) fn told_as_it_is(&mut self, bytes: usize) {
        self.look.bytes += bytes;
    }

    /// So many bytes became so many, in that time.
    pub(super) fn packed(&mut self, bytes: usize, packed: usize, time: Duration) {
        self.look.bytes += bytes;
        self.look.packing += time;
        #[expect(clippy::cast_precision_loss, reason = "a chunk has few bytes")]
        let hardly = packed as f64 > bytes as f64 * HARDLY;
        self.in_vain = if hardly { self.in_vain + bytes } else { 0 };
    }

    /// Looks at how it went, for so many seconds.
    fn decide(&mut self, now: Instant, seconds: f64) {
        #[expect(clippy::cast_precision_loss, reason = "a look has few bytes")]
        let (rate, share) = (self.look.bytes as f64 / seconds, self.look.packing.as_secs_f64() / seconds);
        match self.left {
            None if share > BUSY && self.effort == Effort::Dense => self.effort = Effort::Quick,
            None if share < IDLE => self.effort = Effort::Dense,
            None if share > BUSY && now >= self.try_at && self.compress == CompressionMode::Auto => {
                self.left = Some(Left { rate, at: now });
            }
            // What is between the two ends takes some at once: then it is seen at the next look.
            Some(left) if rate < left.rate * FASTER => {
                // After a while as the faster one, it is only that something has changed.
                let was_only_tried = now.saturating_duration_since(left.at) < TERM;
                self.patience = if was_only_tried { (self.patience * 2).min(LATE) } else { SOON };
                (self.left, self.try_at) = (None, now + self.patience);
            }
            Some(left) if now.saturating_duration_since(left.at) >= TERM => {
                (self.left, self.try_at) = (None, now);
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MOST_PACKED;
    use super::*;

    /// Megabytes a second.
    #[derive(Clone, Copy)]
    struct World {
        comes: f64,
        zstd: f64,
        link: f64,
        /// What is left of a byte.
        ratio: f64,
    }

    /// How much of what comes within so many seconds is packed, and how fast it goes.
    fn share_and_rate(
        worth: &mut Worth,
        begun: Instant,
        World { comes, zstd, link, ratio }: World,
        seconds: f64,
    ) -> (f64, f64) {
        let chunk = 0.262_144;
        let (mut now, mut link_free, mut packed, mut all) = (0.0_f64, 0.0_f64, 0.0, 0.0);
        let at = |now: f64| begun + Duration::from_secs_f64(now);
        while now < seconds {
            // Not before it has come.
            now = now.max(all / comes);
            let effort = worth.effort(at(now));
            let left = if effort.is_some() { chunk * ratio } else { chunk };
            if let Some(effort) = effort {
                let time = chunk / if effort == Effort::Quick { zstd * QUICKER } else { zstd };
                now += time;
                packed += chunk;
                let left = if ratio < 1.0 { MOST_PACKED / 5 } else { MOST_PACKED };
                worth.packed(MOST_PACKED, left, Duration::from_secs_f64(time));
            } else {
                worth.told_as_it_is(MOST_PACKED);
            }
            // The link takes 3 MB ahead, then as much as it carries.
            link_free = link_free.max(now) + left / link;
            now = now.max(link_free - 3.0 / link);
            all += chunk;
        }
        (packed / all, all / now)
    }

    fn of_auto(world: World) -> (f64, f64) {
        let begun = Instant::now();
        share_and_rate(&mut Worth::of(CompressionMode::Auto, begun), begun, world, 20.0)
    }

    /// How many times as fast less effort is.
    const QUICKER: f64 = 1.5;
    const TEXT: World = World { comes: 2000.0, zstd: 400.0, link: 250.0, ratio: 0.2 };

    #[test]
    fn text_is_packed_where_the_link_is_slower() {
        for link in [1.0, 10.0, 250.0] {
            let (share, rate) = of_auto(World { link, ..TEXT });
            assert!(share > 0.95, "{link}: {share}");
            assert!(rate > 0.95 * (link / TEXT.ratio).min(TEXT.zstd * QUICKER), "{link}: {rate}");
        }
    }

    #[test]
    fn as_much_effort_is_made_as_there_is_time_for() {
        for (comes, link, effort) in
            [(2000.0, 10.0, Effort::Dense), (50.0, 1000.0, Effort::Dense), (2000.0, 250.0, Effort::Quick)]
        {
            let begun = Instant::now();
            let mut worth = Worth::of(CompressionMode::On, begun);
            share_and_rate(&mut worth, begun, World { comes, link, ..TEXT }, 3.0);
            assert_eq!(worth.effort, effort, "{comes} {link}");
        }
    }

    #[test]
    fn nothing_is_packed_where_the_link_is_faster() {
        let (share, rate) = of_auto(World { link: 1000.0, ..TEXT });
        assert!(share < 0.1 && rate > 900.0, "{share} {rate}");
    }

    #[test]
    fn what_comes_slowly_is_packed_whatever_the_link() {
        let (share, rate) = of_auto(World { comes: 100.0, link: 1000.0, ..TEXT });
        assert!(share > 0.99 && rate > 99.0, "{share} {rate}");
    }

    #[test]
    fn what_becomes_no_smaller_is_tried_now_and_then() {
        let (share, rate) = of_auto(World { zstd: 1000.0, ratio: 1.0, ..TEXT });
        assert!(share < 0.05 && rate > 0.97 * TEXT.link, "{share} {rate}");
        let begun = Instant::now();
        assert!(
            (share_and_rate(
                &mut Worth::of(CompressionMode::On, begun),
                begun,
                World { ratio: 1.0, ..TEXT },
                1.0
            )
            .0 - 1.0)
                .abs()
                < 1e-9
        );
    }

    #[test]
    fn a_change_is_noticed() {
        let begun = Instant::now();
        let mut worth = Worth::of(CompressionMode::Auto, begun);
        let fast = World { link: 1000.0, ..TEXT };
        for (world, packs) in
            [(fast, false), (World { comes: 100.0, ..fast }, true), (fast, false), (TEXT, true)]
        {
            // Time goes on within.
            let begun = worth.look.begun;
            share_and_rate(&mut worth, begun, world, 15.0);
            let begun = worth.look.begun;
            let (share, _) = share_and_rate(&mut worth, begun, world, 3.0);
            assert!(if packs { share > 0.9 } else { share < 0.3 }, "{} {}: {share}", world.comes, world.link);
        }
    }
}
