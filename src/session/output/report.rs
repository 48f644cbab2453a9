//! Brings the counts of a stream up to date, for statistics and reports.

use super::interface_state::InterfaceState;
use super::stream::StreamWriter;
use super::totals::{Totals, drops_by_interface};
use super::{InterfaceTotals, OutputFiles};
use crate::capture;
use crate::session::input::{QueuedPacket, SourceMerger};

/// Removed interfaces kept until they are reported.
const MAX_UNREPORTED_REMOVALS: usize = 1000;
/// Consecutive reports in which a direction is missing before it is reported: rings are not read at the same time.
const MIN_ONE_WAY_REPORTS: u8 = 2;

impl StreamWriter {
    /// Records that an interface was removed while its container runs.
    pub(in crate::session) fn record_removed_interface(&mut self, number: u32) {
        let Some(state) = self.interfaces.get_mut(number as usize) else { return };
        self.totals.has_removed_interface = true;
        state.was_removed = true;
        if self.totals.removed_interfaces.len() < MAX_UNREPORTED_REMOVALS {
            self.totals.removed_interfaces.push(state.interface.name.clone());
        }
    }

    /// Updates the statistics of interfaces and the totals, as far as [`SourceMerger::counts_as_read`] does.
    pub(in crate::session) fn update_totals(&mut self, merger: &mut SourceMerger) {
        self.interfaces.iter_mut().for_each(InterfaceState::reset_counts);
        merger.counts_as_read(|interface, counts| {
            let statistics = &mut self.interfaces[interface as usize].statistics;
            statistics.kernel_drops += counts.kernel_drops;
            statistics.abandoned += counts.abandoned;
            statistics.interface_drops = statistics.interface_drops.max(counts.interface_drops);
        });
        let lost = self.interfaces.iter().map(|state| (&state.interface.name, state.statistics.lost()));
        self.totals.drops_by_interface = drops_by_interface(lost);
        self.totals.drops = self.totals.drops_by_interface.iter().map(|(_, lost)| lost).sum();
        self.totals.files = self.files.as_ref().map_or(1, OutputFiles::opened);
    }

    /// A report of the capture so far. Counts are updated only with `has_read`.
    pub(in crate::session) fn report(&mut self, merger: &mut SourceMerger, has_read: bool) -> Totals {
        if has_read {
            self.update_totals(merger);
            self.find_one_way_interfaces(merger, false);
        }
        let active = self.interfaces.iter().filter(|state| state.is_active());
        let interfaces: Vec<InterfaceTotals> = active.map(InterfaceState::totals).collect();
        let report = Totals { interfaces, ..self.totals.clone() };
        self.totals.removed_interfaces.clear();
        self.totals.one_way_interfaces.clear();
        let ended_interfaces = std::mem::take(&mut self.ended_interfaces);
        Totals { ended_interfaces, errors: merger.take_errors(), ..report }
    }

    /// Records interfaces that show one direction of TCP only, each once. At the end of a capture, one report is enough.
    pub(in crate::session) fn find_one_way_interfaces(&mut self, merger: &SourceMerger, is_end: bool) {
        for (interface, directions) in merger.tcp_directions() {
            let Some(state) = self.interfaces.get_mut(interface as usize) else { continue };
            // A capture filter may exclude one direction.
            if state.interface.filter.is_some() || state.one_way_reports >= MIN_ONE_WAY_REPORTS {
                continue;
            }
            match directions.only_direction() {
                None => state.one_way_reports = 0,
                Some(direction) => {
                    state.one_way_reports =
                        if is_end { MIN_ONE_WAY_REPORTS } else { state.one_way_reports + 1 };
                    if state.one_way_reports >= MIN_ONE_WAY_REPORTS {
                        self.totals.one_way_interfaces.push((state.interface.name.clone(), direction));
                    }
                }
            }
        }
    }

    /// Counts the packets that wait to be read or written. A session that reads this stream reports them as lost if it
    /// ends before they have come.
    pub(in crate::session) fn count_waiting(&mut self, merger: &mut SourceMerger) {
        merger.counts(|interface, counts| {
            self.interfaces[interface as usize].statistics.pending += counts.unread();
        });
        for packet in merger.queues.packets() {
            self.interfaces[packet.interface as usize].statistics.pending += 1;
        }
    }

    /// Counts the packets in queues, rings and streams that the reader left no time for. Those in queues after `end_time` do
    /// not belong to the capture.
    pub(in crate::session) fn count_abandoned(&mut self, merger: &mut SourceMerger, end_time: u64) {
        merger.counts(|interface, counts| {
            self.interfaces[interface as usize].abandoned += counts.unread();
        });
        let now = capture::now();
        let belongs =
            |packet: &QueuedPacket| packet.time <= end_time && !self.pauses.contains(packet.time, now);
        for packet in merger.queues.packets().filter(belongs) {
            self.interfaces[packet.interface as usize].abandoned += 1;
        }
    }
}
