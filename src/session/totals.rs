//! What a capture came to.

use super::files::Files;
use super::lane::{Lane, Share};
use super::losses;
use super::merge::Merge;
use super::stream::Stream;
use crate::capture::{self, Direction};
use crate::error::Error;
use crate::safe_text::SafeText;

/// What a capture came to, as far as it got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets written.
    pub packets: u64,
    /// Captured bytes of these packets.
    pub bytes: u64,
    /// Packets lost: in the kernel for want of room, at the end because the reader had no time for them.
    pub drops: u64,
    /// How many of each interface that lost any, by its name.
    pub losses: Vec<(SafeText, u64)>,
    /// Packets left out because they came while the capture was paused: neither written nor lost.
    pub left_out: u64,
    /// Files opened.
    pub files: usize,
    /// Whether the capture ended because all its sources did.
    pub sources_ended: bool,
    /// In a report: the interfaces that packets come from by now.
    pub interfaces: Vec<Share>,
    /// In a report: those that have left since the last one.
    pub parted: Vec<Share>,
    /// Whether an interface went away while its container ran.
    pub has_disappeared: bool,
    /// In a report: such interfaces since the last one.
    pub disappeared: Vec<SafeText>,
    /// In a report: interfaces that see TCP in this direction only, since the last one.
    pub one_way: Vec<(SafeText, Direction)>,
    /// Why sources broke since the last report.
    pub broken: Vec<Error>,
}

/// Interfaces that went away and are not reported yet.
const MAX_DISAPPEARED: usize = 1000;

impl Totals {
    /// Why the capture ended, where no one ended it.
    pub fn end_in_words(&self) -> Option<&'static str> {
        self.sources_ended.then_some(if self.has_disappeared {
            "the capture has ended: no captured interface is left"
        } else {
            "the capture has ended: every captured container has stopped"
        })
    }

    /// What there is to say of interfaces since the last report, one line each.
    pub fn notices(&self) -> impl Iterator<Item = String> {
        let disappeared = self.disappeared.iter().map(|name| {
            format!("{name} is gone while its container runs: the network was disconnected, or the interface removed")
        });
        let one_way = self.one_way.iter().map(|(name, direction)| {
            let seen = if *direction == Direction::Inbound { "inbound" } else { "outbound" };
            format!(
                "{name} has {seen} TCP packets only: the other direction passes elsewhere, on an asymmetric route or by \
                 an eBPF program behind the veth (as with Cilium), which a capture inside the container shows: \
                 --tap inside, in Wireshark's options Where to capture"
            )
        });
        disappeared.chain(one_way)
    }
}

impl Stream {
    /// An interface went away while its container ran.
    pub(super) fn disappears(&mut self, interface: u32) {
        let Some(lane) = self.lanes.get_mut(interface as usize) else { return };
        self.totals.has_disappeared = true;
        // Each of its rings ends.
        if !std::mem::replace(&mut lane.has_disappeared, true)
            && self.totals.disappeared.len() < MAX_DISAPPEARED
        {
            self.totals.disappeared.push(lane.interface.name.clone());
        }
    }

    /// Brings the counts of the sources up to date, as far as [`Merge::counts_as_read`] does.
    pub(super) fn total(&mut self, merge: &mut Merge) {
        self.lanes.iter_mut().for_each(Lane::forget_counts);
        merge.counts_as_read(|interface, counts| {
            let statistics = &mut self.lanes[interface as usize].statistics;
            statistics.kernel_drops += counts.kernel_drops;
            statistics.abandoned += counts.abandoned;
            // Both rings tell the same of the one interface.
            statistics.interface_drops = statistics.interface_drops.max(counts.interface_drops);
        });
        let lost = |lane: &Lane| (lane.interface.name.clone(), lane.statistics.lost());
        self.totals.losses = losses::of_each(self.lanes.iter().map(lost));
        self.totals.drops = self.totals.losses.iter().map(|(_, lost)| lost).sum();
        self.totals.files = self.files.as_ref().map_or(1, Files::opened);
    }

    /// A report of the capture so far; with `has_read`, the sources are asked for new counts.
    pub(super) fn report(&mut self, merge: &mut Merge, has_read: bool) -> Totals {
        if has_read {
            self.total(merge);
            self.find_one_way(merge, false);
        }
        let captured = self.lanes.iter().filter(|lane| lane.end.is_none());
        let interfaces = captured.map(Lane::share).collect();
        let (parted, broken) = (std::mem::take(&mut self.parted), merge.take_broken());
        let disappeared = std::mem::take(&mut self.totals.disappeared);
        let one_way = std::mem::take(&mut self.totals.one_way);
        Totals { interfaces, parted, disappeared, one_way, broken, ..self.totals.clone() }
    }

    /// Counts what is on its way, for a session that reads this stream: should it leave before that has come,
    /// it can tell what it has not read.
    pub(super) fn count_waiting(&mut self, merge: &mut Merge) {
        merge.counts(|interface, counts| {
            self.lanes[interface as usize].statistics.waiting += counts.unread();
        });
        for packet in merge.queues.waiting() {
            self.lanes[packet.interface as usize].statistics.waiting += 1;
        }
    }

    /// Counts what the reader left no time for: packets in queues, rings and streams.
    pub(super) fn abandon(&mut self, merge: &mut Merge) {
        merge.counts(|interface, counts| {
            self.lanes[interface as usize].left += counts.unread();
        });
        let now = capture::now();
        for packet in merge.queues.waiting().filter(|packet| !self.pauses.hold(packet.time, now)) {
            self.lanes[packet.interface as usize].left += 1;
        }
    }
}
