//! Packets, bytes and drops of all attachments or of one, as text for the toolbar.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use containerdump::safe_text::SafeText;
use containerdump::session::{InterfaceTotals, Totals};

use super::control::ALL_ATTACHMENTS;
use crate::units::format_bytes;

/// Attachments named in a message about drops.
const MAX_NAMED_DROPS: usize = 3;
/// Attachments named at the start of a capture.
const MAX_NAMED_ATTACHMENTS: usize = 10;
/// Time between two messages about drops in the status bar, which shows a message for about 7 seconds.
const DROP_REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The totals of a capture at some time.
#[derive(Clone, Debug)]
pub(super) struct StatisticsSnapshot {
    pub(super) time: Instant,
    pub(super) totals: Totals,
}

impl StatisticsSnapshot {
    /// The totals of `attachment`.
    fn totals_of(&self, attachment: &str) -> InterfaceTotals {
        let Totals { packets, bytes, drops, .. } = self.totals;
        if attachment == ALL_ATTACHMENTS {
            return InterfaceTotals { packets, bytes, drops, ..InterfaceTotals::default() };
        }
        let mut sum = InterfaceTotals::default();
        // A container that was restarted has several attachments of one name.
        for share in self.totals.interfaces.iter().filter(|share| share.name.as_str() == attachment) {
            sum.packets += share.packets;
            sum.bytes += share.bytes;
            sum.drops += share.drops;
        }
        sum
    }

    /// Rates of `attachment` since an earlier snapshot, and its drops. They come last: a narrow field shows the end.
    pub(super) fn statistics(&self, before: &Self, attachment: &str, is_paused: bool) -> String {
        let (now, then) = (self.totals_of(attachment), before.totals_of(attachment));
        let elapsed = self.time.saturating_duration_since(before.time);
        let dropped = now.drops;
        if is_paused {
            return format!("paused, {dropped} dropped");
        }
        let packets = per_second(now.packets.saturating_sub(then.packets), elapsed);
        let bytes = format_bytes(per_second(now.bytes.saturating_sub(then.bytes), elapsed));
        format!("{packets} pkt/s, {bytes}/s, {dropped} dropped")
    }

    /// Totals of a capture that has ended: of `attachment` if it was captured until the end, otherwise of all.
    pub(super) fn final_statistics(&self, attachment: &str) -> String {
        let is_known = self.totals.interfaces.iter().any(|share| share.name.as_str() == attachment);
        let attachment = if is_known { attachment } else { ALL_ATTACHMENTS };
        let InterfaceTotals { packets, bytes: count, drops, .. } = self.totals_of(attachment);
        format!("stopped, {packets} packets, {}, {drops} dropped", format_bytes(count))
    }

    /// Packets dropped since the start and where, for the status bar.
    fn drops_line(&self) -> String {
        match self.totals.drops_by_interface.as_slice() {
            [(name, count)] => format!("{name}: {}", dropped_packets(*count)),
            losses => {
                let most = most_drops(&losses.iter().cloned().collect());
                format!("{}: {}", dropped_packets(self.totals.drops), most.unwrap_or_default())
            }
        }
    }

    /// Packets dropped at each attachment, by its name.
    pub(super) fn drops(&self) -> BTreeMap<SafeText, u64> {
        let mut drops = BTreeMap::new();
        for share in &self.totals.interfaces {
            *drops.entry(share.name.clone()).or_default() += share.drops;
        }
        drops
    }

    /// Names the captured attachments.
    pub(super) fn attachments_line(&self) -> String {
        let names: Vec<SafeText> = self.drops().into_keys().collect();
        if names.is_empty() {
            return "waiting for a container to start".to_owned();
        }
        let shown: Vec<&str> = names.iter().take(MAX_NAMED_ATTACHMENTS).map(SafeText::as_str).collect();
        let shown = shown.join(", ");
        match names.len().saturating_sub(MAX_NAMED_ATTACHMENTS) {
            0 => format!("capturing {shown}"),
            more => format!("capturing {shown} and {more} more"),
        }
    }

    /// Packets dropped since an earlier snapshot; `None` if there were none.
    pub(super) fn drops_since(&self, before: &Self) -> Option<String> {
        let count = self.totals.drops.checked_sub(before.totals.drops).filter(|count| *count > 0)?;
        let earlier: BTreeMap<&SafeText, u64> =
            before.totals.drops_by_interface.iter().map(|(name, lost)| (name, *lost)).collect();
        let since = |(name, lost): &(SafeText, u64)| {
            let lost = lost.saturating_sub(earlier.get(name).copied().unwrap_or_default());
            (lost > 0).then(|| (name.clone(), lost))
        };
        let drops: BTreeMap<SafeText, u64> =
            self.totals.drops_by_interface.iter().filter_map(since).collect();
        let most = most_drops(&drops).map(|most| format!(" ({most})")).unwrap_or_default();
        Some(format!("{}{most}, {} in total", dropped_packets(count), self.totals.drops))
    }
}

/// Limits how often the status bar shows drops.
#[derive(Debug, Default)]
pub(super) struct DropReporter {
    reported_at: Option<Instant>,
    drops: u64,
}

impl DropReporter {
    /// The message to show now, if any: the first drop at once, further ones at most every [`DROP_REPORT_INTERVAL`].
    pub(super) fn report(&mut self, now: &StatisticsSnapshot) -> Option<String> {
        let is_due =
            self.reported_at.is_none_or(|at| now.time.saturating_duration_since(at) >= DROP_REPORT_INTERVAL);
        if now.totals.drops <= self.drops || !is_due {
            return None;
        }
        (self.reported_at, self.drops) = (Some(now.time), now.totals.drops);
        Some(now.drops_line())
    }
}

fn dropped_packets(count: u64) -> String {
    format!("{count} {} dropped", if count == 1 { "packet" } else { "packets" })
}

/// The attachments with the most drops: `web:eth0 1200, db:eth0 4`.
fn most_drops(drops: &BTreeMap<SafeText, u64>) -> Option<String> {
    let mut sorted: Vec<_> = drops.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let more = sorted.len().saturating_sub(MAX_NAMED_DROPS);
    let mut named: Vec<String> =
        sorted.into_iter().take(MAX_NAMED_DROPS).map(|(name, count)| format!("{name} {count}")).collect();
    if more > 0 {
        named.push(format!("{more} more"));
    }
    (!named.is_empty()).then(|| named.join(", "))
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let milliseconds = elapsed.as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / milliseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(name: &str, packets: u64, drops: u64) -> InterfaceTotals {
        InterfaceTotals { name: SafeText::new(name), packets, bytes: packets * 100, drops }
    }

    fn snapshot(time: Instant, interfaces: Vec<InterfaceTotals>) -> StatisticsSnapshot {
        let sum = |value: fn(&InterfaceTotals) -> u64| interfaces.iter().map(value).sum();
        let (packets, bytes, drops) =
            (sum(|share| share.packets), sum(|share| share.bytes), sum(|share| share.drops));
        let drops_by_interface = interfaces.iter().map(|share| (share.name.clone(), share.drops)).collect();
        let totals = Totals { packets, bytes, drops, drops_by_interface, interfaces, ..Totals::default() };
        StatisticsSnapshot { time, totals }
    }

    /// Two snapshots, two seconds apart.
    fn two_snapshots() -> (StatisticsSnapshot, StatisticsSnapshot) {
        let start = Instant::now();
        let before = snapshot(start, vec![share("web:eth0", 10, 0), share("db:eth0", 0, 1)]);
        let now = vec![share("web:eth0", 2010, 7), share("db:eth0", 3000, 1), share("x:eth0", 0, 0)];
        (before, snapshot(start + Duration::from_secs(2), now))
    }

    #[test]
    fn statistics_are_those_of_all_attachments_or_of_the_selected_one() {
        let (before, now) = two_snapshots();
        let statistics = |attachment: &str| now.statistics(&before, attachment, false);
        assert_eq!(statistics(ALL_ATTACHMENTS), "2500 pkt/s, 250.0 kB/s, 8 dropped");
        assert_eq!(statistics("web:eth0"), "1000 pkt/s, 100.0 kB/s, 7 dropped");
        assert_eq!(statistics("gone:eth0"), "0 pkt/s, 0 bytes/s, 0 dropped");
        assert_eq!(now.statistics(&before, ALL_ATTACHMENTS, true), "paused, 8 dropped");
        assert!(now.statistics(&now, ALL_ATTACHMENTS, false).starts_with("0 pkt/s"));
    }

    #[test]
    fn captured_attachments_are_named_at_the_start() {
        let (before, _) = two_snapshots();
        assert_eq!(before.attachments_line(), "capturing db:eth0, web:eth0");
        let many = (0..200).map(|number| share(&format!("c{number}:eth0"), 0, 0)).collect();
        assert!(snapshot(Instant::now(), many).attachments_line().ends_with(" and 190 more"));
        let none = snapshot(Instant::now(), Vec::new());
        assert_eq!(none.attachments_line(), "waiting for a container to start");
    }

    #[test]
    fn new_drops_are_reported_once_with_their_interface() {
        let (before, now) = two_snapshots();
        let line = now.drops_since(&before);
        assert_eq!(line.as_deref(), Some("7 packets dropped (web:eth0 7), 8 in total"));
        assert_eq!(now.drops_since(&now), None);
    }

    #[test]
    fn status_bar_shows_the_first_drop_at_once_and_further_ones_at_intervals() {
        let start = Instant::now();
        let mut reporter = DropReporter::default();
        let mut report = |seconds: u64, drops: &[u64]| {
            let names = ["web:eth0", "db:eth0"];
            let shares = names.iter().zip(drops).map(|(name, drops)| share(name, 1, *drops)).collect();
            let mut snapshot = snapshot(start + Duration::from_secs(seconds), shares);
            snapshot.totals.drops_by_interface.retain(|(_, lost)| *lost > 0);
            reporter.report(&snapshot)
        };
        assert_eq!(report(0, &[0, 0]), None);
        assert_eq!(report(1, &[1, 0]).as_deref(), Some("web:eth0: 1 packet dropped"));
        assert_eq!(report(2, &[1234, 0]), None);
        assert_eq!(report(10, &[1234, 0]), None);
        assert_eq!(report(11, &[1234, 0]).as_deref(), Some("web:eth0: 1234 packets dropped"));
        assert_eq!(report(30, &[1234, 0]), None, "nothing more was dropped");
        let both = report(31, &[1234, 5]);
        assert_eq!(both.as_deref(), Some("1239 packets dropped: web:eth0 1234, db:eth0 5"));
    }

    #[test]
    fn capture_that_has_ended_shows_its_totals() {
        let (_, now) = two_snapshots();
        assert_eq!(now.final_statistics(ALL_ATTACHMENTS), "stopped, 5010 packets, 501.0 kB, 8 dropped");
        assert_eq!(now.final_statistics("web:eth0"), "stopped, 2010 packets, 201.0 kB, 7 dropped");
        assert_eq!(now.final_statistics("gone:eth0"), now.final_statistics(ALL_ATTACHMENTS));
    }

    #[test]
    fn attachments_with_most_drops_are_named() {
        let start = snapshot(Instant::now(), Vec::new());
        let shares = (0..200).map(|number| share(&format!("c{number}:eth0"), 0, number)).collect();
        let line = snapshot(Instant::now(), shares).drops_since(&start);
        let expected =
            "19900 packets dropped (c199:eth0 199, c198:eth0 198, c197:eth0 197, 196 more), 19900 in total";
        assert_eq!(line.as_deref(), Some(expected));
    }
}
