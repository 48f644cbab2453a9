//! Packets, bytes and drops as the toolbar shows them, of all interfaces or of one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use containerdump::safe_text::SafeText;
use containerdump::session::{Share, Totals};

use super::control::ALL;
use crate::units::format_bytes;

/// Interfaces named where packets are dropped at many.
const MOST_NAMED: usize = 3;

/// Time between two messages in the status bar, which shows each for about 7 seconds and nothing else meanwhile.
const DROP_NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// Interfaces named at the begin.
const MOST_AT_BEGIN: usize = 10;

/// A capture at some time.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) at: Instant,
    pub(super) totals: Totals,
}

impl Snapshot {
    /// What the interface `shown` has, in all.
    fn of(&self, shown: &str) -> Share {
        let Totals { packets, bytes, drops, .. } = self.totals;
        if shown == ALL {
            return Share { packets, bytes, drops, ..Share::default() };
        }
        let mut sum = Share::default();
        // One that came back has the name of the one that went.
        for share in self.totals.interfaces.iter().filter(|share| share.name.as_str() == shown) {
            sum.packets += share.packets;
            sum.bytes += share.bytes;
            sum.drops += share.drops;
        }
        sum
    }

    /// Figures of `shown`, with rates since an earlier snapshot. In a field that is too narrow, their end is
    /// seen: what was lost.
    pub(super) fn figures(&self, before: &Self, shown: &str, paused: bool) -> String {
        let (now, then) = (self.of(shown), before.of(shown));
        let time = self.at.saturating_duration_since(before.at);
        let dropped = now.drops;
        if paused {
            return format!("paused, {dropped} dropped");
        }
        let packets = per_second(now.packets.saturating_sub(then.packets), time);
        let bytes = format_bytes(per_second(now.bytes.saturating_sub(then.bytes), time));
        format!("{packets} pkt/s, {bytes}/s, {dropped} dropped")
    }

    /// Figures of a capture that has ended: of `shown` where it was in it to the end, else of all.
    pub(super) fn stopped(&self, shown: &str) -> String {
        let is_known = self.totals.interfaces.iter().any(|share| share.name.as_str() == shown);
        let Share { packets, bytes: count, drops, .. } = self.of(if is_known { shown } else { ALL });
        format!("stopped, {packets} packets, {}, {drops} dropped", format_bytes(count))
    }

    /// How many packets were dropped so far and where, for the status bar.
    fn dropped(&self) -> String {
        let packets =
            |count: u64| format!("{count} {} dropped", if count == 1 { "packet" } else { "packets" });
        match self.totals.losses.as_slice() {
            [(name, count)] => format!("{name}: {}", packets(*count)),
            losses => {
                let worst = worst(&losses.iter().cloned().collect());
                format!("{}: {}", packets(self.totals.drops), worst.unwrap_or_default())
            }
        }
    }

    /// Packets dropped at each interface, by its name.
    pub(super) fn drops(&self) -> BTreeMap<SafeText, u64> {
        let mut drops = BTreeMap::new();
        for share in &self.totals.interfaces {
            *drops.entry(share.name.clone()).or_default() += share.drops;
        }
        drops
    }

    /// Who is in the capture at its begin.
    pub(super) fn begin_in_words(&self) -> String {
        let names: Vec<SafeText> = self.drops().into_keys().collect();
        if names.is_empty() {
            return "nobody is there yet".to_owned();
        }
        let first = names.iter().take(MOST_AT_BEGIN).map(SafeText::as_str).collect::<Vec<_>>().join(", ");
        match names.len().checked_sub(MOST_AT_BEGIN).filter(|more| *more > 0) {
            Some(more) => format!("capturing {first}, {more} more"),
            None => format!("capturing {first}"),
        }
    }

    /// What was dropped since an earlier snapshot, in words; none if nothing was.
    pub(super) fn dropped_since(&self, before: &Self) -> Option<String> {
        let count = self.totals.drops.checked_sub(before.totals.drops).filter(|count| *count > 0)?;
        let then: BTreeMap<&SafeText, u64> =
            before.totals.losses.iter().map(|(name, lost)| (name, *lost)).collect();
        let since = |(name, lost): &(SafeText, u64)| {
            let lost = lost.saturating_sub(then.get(name).copied().unwrap_or_default());
            (lost > 0).then(|| (name.clone(), lost))
        };
        let drops: BTreeMap<SafeText, u64> = self.totals.losses.iter().filter_map(since).collect();
        let worst = worst(&drops).map(|worst| format!(" ({worst})")).unwrap_or_default();
        let packets = if count == 1 { "packet" } else { "packets" };
        Some(format!("{count} {packets} dropped{worst}, {} in all", self.totals.drops))
    }
}

/// What the status bar was told of drops.
#[derive(Debug, Default)]
pub(super) struct DropNotice {
    told_at: Option<Instant>,
    drops: u64,
}

impl DropNotice {
    /// What to tell now: at once when the first packet is dropped, then at most every [`DROP_NOTICE_INTERVAL`].
    pub(super) fn of(&mut self, now: &Snapshot) -> Option<String> {
        let is_due = self
            .told_at
            .is_none_or(|told_at| now.at.saturating_duration_since(told_at) >= DROP_NOTICE_INTERVAL);
        if now.totals.drops <= self.drops || !is_due {
            return None;
        }
        (self.told_at, self.drops) = (Some(now.at), now.totals.drops);
        Some(now.dropped())
    }
}

/// Those that have most: `web:eth0 1200, db:eth0 4`.
fn worst(drops: &BTreeMap<SafeText, u64>) -> Option<String> {
    let mut sorted: Vec<_> = drops.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let more = sorted.len().saturating_sub(MOST_NAMED);
    let mut named: Vec<String> =
        sorted.into_iter().take(MOST_NAMED).map(|(name, count)| format!("{name} {count}")).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

fn per_second(count: u64, time: Duration) -> u64 {
    let milliseconds = time.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / milliseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(name: &str, packets: u64, drops: u64) -> Share {
        Share { name: SafeText::new(name), packets, bytes: packets * 100, drops }
    }

    fn snapshot(at: Instant, interfaces: Vec<Share>) -> Snapshot {
        let sum = |of: fn(&Share) -> u64| interfaces.iter().map(of).sum();
        let (packets, bytes, drops) =
            (sum(|share| share.packets), sum(|share| share.bytes), sum(|share| share.drops));
        let losses = interfaces.iter().map(|share| (share.name.clone(), share.drops)).collect();
        Snapshot { at, totals: Totals { packets, bytes, drops, losses, interfaces, ..Totals::default() } }
    }

    fn two_seconds() -> (Snapshot, Snapshot) {
        let begin = Instant::now();
        let then = snapshot(begin, vec![share("web:eth0", 10, 0), share("db:eth0", 0, 1)]);
        let now = vec![share("web:eth0", 2010, 7), share("db:eth0", 3000, 1), share("x:eth0", 0, 0)];
        (then, snapshot(begin + Duration::from_secs(2), now))
    }

    #[test]
    fn figures_are_those_of_all_or_of_one() {
        let (then, now) = two_seconds();
        let figures = |shown: &str| now.figures(&then, shown, false);
        assert_eq!(figures(ALL), "2500 pkt/s, 250.0 kB/s, 8 dropped");
        assert_eq!(figures("web:eth0"), "1000 pkt/s, 100.0 kB/s, 7 dropped");
        assert_eq!(figures("gone:eth0"), "0 pkt/s, 0 bytes/s, 0 dropped");
        assert_eq!(now.figures(&then, ALL, true), "paused, 8 dropped");
        assert!(now.figures(&now, ALL, false).starts_with("0 pkt/s"));
    }

    #[test]
    fn who_is_there_at_the_begin_is_named() {
        let (then, _) = two_seconds();
        assert_eq!(then.begin_in_words(), "capturing db:eth0, web:eth0");
        let many = (0..200).map(|number| share(&format!("c{number}:eth0"), 0, 0)).collect();
        assert!(snapshot(Instant::now(), many).begin_in_words().ends_with(", 190 more"));
        assert_eq!(snapshot(Instant::now(), Vec::new()).begin_in_words(), "nobody is there yet");
    }

    #[test]
    fn what_was_dropped_is_told_once_and_where() {
        let (then, now) = two_seconds();
        assert_eq!(now.dropped_since(&then).as_deref(), Some("7 packets dropped (web:eth0 7), 8 in all"));
        assert_eq!(now.dropped_since(&now), None);
    }

    #[test]
    fn drops_are_in_the_status_bar_at_once_and_then_now_and_then() {
        let begin = Instant::now();
        let mut notice = DropNotice::default();
        let mut of = |seconds: u64, drops: &[u64]| {
            let names = ["web:eth0", "db:eth0"];
            let shares = names.iter().zip(drops).map(|(name, drops)| share(name, 1, *drops)).collect();
            let mut snapshot = snapshot(begin + Duration::from_secs(seconds), shares);
            snapshot.totals.losses.retain(|(_, lost)| *lost > 0);
            notice.of(&snapshot)
        };
        assert_eq!(of(0, &[0, 0]), None);
        assert_eq!(of(1, &[1, 0]).as_deref(), Some("web:eth0: 1 packet dropped"));
        assert_eq!(of(2, &[1234, 0]), None);
        assert_eq!(of(10, &[1234, 0]), None);
        assert_eq!(of(11, &[1234, 0]).as_deref(), Some("web:eth0: 1234 packets dropped"));
        assert_eq!(of(30, &[1234, 0]), None, "there are no more");
        let both = of(31, &[1234, 5]);
        assert_eq!(both.as_deref(), Some("1239 packets dropped: web:eth0 1234, db:eth0 5"));
    }

    #[test]
    fn a_capture_that_has_ended_shows_its_totals() {
        let (_, now) = two_seconds();
        assert_eq!(now.stopped(ALL), "stopped, 5010 packets, 501.0 kB, 8 dropped");
        assert_eq!(now.stopped("web:eth0"), "stopped, 2010 packets, 201.0 kB, 7 dropped");
        assert_eq!(now.stopped("gone:eth0"), now.stopped(ALL));
    }

    #[test]
    fn of_many_interfaces_the_worst_are_named() {
        let begin = snapshot(Instant::now(), Vec::new());
        let shares = (0..200).map(|number| share(&format!("c{number}:eth0"), 0, number)).collect();
        let told = snapshot(Instant::now(), shares).dropped_since(&begin);
        let expected =
            "19900 packets dropped (c199:eth0 199, c198:eth0 198, c197:eth0 197, 196 more), 19900 in all";
        assert_eq!(told.as_deref(), Some(expected));
    }
}
