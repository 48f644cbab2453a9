//! An interface of a stream while it runs, and what it came to.

use super::stage::Stage;
use crate::capture::PacketCounts;
use crate::pcapng::{InterfaceDescription, InterfaceStatistics};
use crate::safe_text::SafeText;

/// An interface of the stream while it runs.
pub(super) struct Lane {
    pub(super) interface: InterfaceDescription,
    /// Whose it is: the number of the first interface of the same member.
    pub(super) member: u32,
    pub(super) begin: u64,
    pub(super) statistics: InterfaceStatistics,
    /// Captured bytes of the packets that were written.
    pub(super) bytes: u64,
    /// Packets that the reader of this stream left no time for.
    pub(super) left: u64,
    /// Whether it went away while its container ran.
    pub(super) has_disappeared: bool,
    /// Reports in a row in which it saw one direction of TCP only.
    pub(super) one_way: u8,
    /// Rings and streams that it is read from.
    pub(super) readers: usize,
    /// What became of the packets of those that have ended.
    past: PacketCounts,
    /// When the last of them had, nanoseconds since the epoch.
    pub(super) end: Option<u64>,
    /// When the file being written began, and what was counted in those before.
    of_file: (u64, InterfaceStatistics),
    /// Whether its last statistics are in the file being written.
    pub(super) has_statistics: bool,
}

/// What an interface has of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// `web:eth0`.
    pub name: SafeText,
    /// Packets written.
    pub packets: u64,
    /// Captured bytes of these packets.
    pub bytes: u64,
    /// Packets lost for want of room.
    pub drops: u64,
}

impl Lane {
    pub(super) fn new(interface: InterfaceDescription, member: u32, readers: usize, begin: u64) -> Self {
        let (statistics, past) = (InterfaceStatistics::default(), PacketCounts::default());
        let of_file = (begin, statistics);
        Self {
            interface,
            member,
            begin,
            statistics,
            bytes: 0,
            left: 0,
            has_disappeared: false,
            one_way: 0,
            readers,
            past,
            end: None,
            of_file,
            has_statistics: false,
        }
    }

    /// Begins to count for the next file at `now`, nanoseconds since the epoch.
    pub(super) fn begin_file(&mut self, now: u64) {
        (self.of_file, self.has_statistics) = ((now, self.statistics), false);
    }

    /// The statistics of the file being written as of `now`, and the time they begin and end at, nanoseconds since
    /// the epoch.
    pub(super) fn of_file(&self, now: u64) -> (InterfaceStatistics, u64, u64) {
        let (begin, before) = &self.of_file;
        (self.statistics.since(before), *begin, self.end.unwrap_or(now).max(*begin))
    }

    /// Leaves the counts of sources that have ended, for those of the others to be added.
    pub(super) fn forget_counts(&mut self) {
        self.statistics.waiting = 0;
        self.statistics.kernel_drops = self.past.kernel_drops;
        self.statistics.abandoned = self.past.abandoned + self.left;
        self.statistics.interface_drops = self.statistics.interface_drops.max(self.past.interface_drops);
    }

    /// Keeps what became of the packets of `stage`, one of its sources, which has ended.
    pub(super) fn part(&mut self, stage: &Stage, counts: PacketCounts) {
        self.past.kernel_drops += counts.kernel_drops;
        self.past.abandoned += counts.abandoned + if stage.left_unread() { counts.unread() } else { 0 };
        self.past.interface_drops = self.past.interface_drops.max(counts.interface_drops);
        self.readers -= 1;
    }

    pub(super) fn share(&self) -> Share {
        Share {
            name: self.interface.name.clone(),
            packets: self.statistics.written,
            bytes: self.bytes,
            drops: self.statistics.lost(),
        }
    }
}

/// Whose the interfaces are that packets come from.
pub(super) fn members(lanes: &[Lane]) -> impl Iterator<Item = u32> {
    lanes.iter().filter(|lane| lane.end.is_none()).map(|lane| lane.member)
}
