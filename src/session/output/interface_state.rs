//! An interface of the stream, and the counts of its packets.

use std::borrow::Cow;

use super::file_beginning::InterfaceText;
use super::totals::InterfaceTotals;
use crate::capture::PacketCounts;
use crate::pcapng::{InterfaceDescription, InterfaceStatistics};
use crate::safe_text::SafeText;

/// An interface of the stream while it is captured, and afterwards.
pub(in crate::session) struct InterfaceState {
    pub(super) interface: InterfaceDescription,
    /// Its member, as the number of that member's first interface.
    pub(super) member: u32,
    pub(super) begin: u64,
    pub(super) statistics: InterfaceStatistics,
    /// Captured bytes of the written packets.
    pub(super) bytes: u64,
    /// Packets that were not written because the reader took too long at the end.
    pub(super) abandoned: u64,
    /// Whether it was removed while its container ran.
    pub(super) was_removed: bool,
    /// Consecutive reports in which it showed one direction of TCP only.
    pub(super) one_way_reports: u8,
    /// The counts of its source once that has ended.
    ended_counts: PacketCounts,
    /// When that ended, in nanoseconds since the epoch.
    pub(super) end: Option<u64>,
    /// When the current file began, and the statistics up to then.
    file_begin: (u64, InterfaceStatistics),
    /// The text of its block in the current file.
    text: InterfaceText,
    /// Whether the current file needs no more statistics of it.
    has_last_statistics: bool,
}

impl InterfaceState {
    pub(super) fn new(interface: InterfaceDescription, member: u32, begin: u64) -> Self {
        let statistics = InterfaceStatistics::default();
        Self {
            interface,
            member,
            begin,
            statistics,
            bytes: 0,
            abandoned: 0,
            was_removed: false,
            one_way_reports: 0,
            ended_counts: PacketCounts::default(),
            end: None,
            file_begin: (begin, statistics),
            text: InterfaceText::Whole,
            has_last_statistics: false,
        }
    }

    /// Whether packets still come from it.
    pub(super) fn is_active(&self) -> bool {
        self.end.is_none()
    }

    /// Begins to count for a new file at `now`, in nanoseconds since the epoch. Its block there has `text`.
    pub(super) fn begin_file(&mut self, now: u64, text: InterfaceText) {
        (self.file_begin, self.text) = ((now, self.statistics), text);
        // Nothing more comes of one that has ended.
        self.has_last_statistics = !self.is_active();
    }

    /// The description of its block in the current file.
    pub(super) fn description(&self) -> Cow<'_, InterfaceDescription> {
        let name = match self.text {
            InterfaceText::Whole => return Cow::Borrowed(&self.interface),
            InterfaceText::Name => self.interface.name.clone(),
            InterfaceText::None => SafeText::default(),
        };
        let InterfaceDescription { snap_length, link_type, .. } = self.interface;
        Cow::Owned(InterfaceDescription {
            name,
            description: SafeText::default(),
            hardware_address: None,
            filter: None,
            snap_length,
            link_type,
        })
    }

    /// Ends it at `now`, in nanoseconds since the epoch. Frees what only its block in the current file has.
    pub(super) fn end(&mut self, now: u64) {
        self.end = Some(now);
        self.reset_counts();
        self.has_last_statistics = true;
        (self.interface.description, self.interface.filter) = (SafeText::default(), None);
    }

    /// Whether the current file lacks its last statistics. Without packets, a short block needs none.
    pub(super) fn lacks_last_statistics(&self) -> bool {
        let is_short = self.text != InterfaceText::Whole;
        let has_nothing = || is_short && self.statistics.since(&self.file_begin.1).is_empty();
        !self.has_last_statistics && !has_nothing()
    }

    /// The statistics of the current file at `now`, and the times they begin and end at, in nanoseconds since the epoch.
    pub(super) fn file_statistics(&self, now: u64) -> (InterfaceStatistics, u64, u64) {
        let (begin, before) = &self.file_begin;
        (self.statistics.since(before), *begin, self.end.unwrap_or(now).max(*begin))
    }

    /// Resets the statistics to the counts of an ended source; those of another are to be added.
    pub(super) fn reset_counts(&mut self) {
        self.statistics.pending = 0;
        self.statistics.kernel_drops = self.ended_counts.kernel_drops;
        self.statistics.abandoned = self.ended_counts.abandoned + self.abandoned;
        self.statistics.interface_drops =
            self.statistics.interface_drops.max(self.ended_counts.interface_drops);
    }

    /// Keeps the counts of its source, which has ended, with unread packets or without.
    pub(super) fn remove_source(&mut self, counts: PacketCounts, has_unread: bool) {
        self.ended_counts.kernel_drops += counts.kernel_drops;
        self.ended_counts.abandoned += counts.abandoned + if has_unread { counts.unread() } else { 0 };
        self.ended_counts.interface_drops = self.ended_counts.interface_drops.max(counts.interface_drops);
    }

    pub(super) fn totals(&self) -> InterfaceTotals {
        InterfaceTotals {
            name: self.interface.name.clone(),
            packets: self.statistics.written,
            bytes: self.bytes,
            drops: self.statistics.lost(),
        }
    }
}

/// The members that packets still come from, one item for each interface.
pub(super) fn active_members(interfaces: &[InterfaceState]) -> impl Iterator<Item = u32> {
    interfaces.iter().filter(|one| one.is_active()).map(|one| one.member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_has_ended_keeps_only_its_name() {
        let interface = InterfaceDescription {
            name: SafeText::new("web:eth0"),
            description: SafeText::new("docker container web"),
            hardware_address: None,
            filter: Some("tcp".into()),
            snap_length: 100,
            link_type: 1,
        };
        let mut state = InterfaceState::new(interface, 0, 0);
        state.end(1);
        assert_eq!(state.interface.text_len(), "web:eth0".len());
    }
}
