//! A stream from elsewhere, brought into this side's order of time.
//!
//! A packet stands at its own time, but never later than it arrived. Clocks may differ, though, by
//! hours: the smallest difference between a packet's time there and its arrival here is how much they
//! do, as far as it is more than a packet takes.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::queue::{Batch, SET_BACK};
use crate::capture::PacketCounts;
use crate::pcapng::{self, InterfaceDescription};
use crate::peer::{PeerStream, PeerStreamEnd};
use crate::safe_text::SafeText;

/// How long a packet takes at most until it is here, in nanoseconds: blocks of 24 rings there (53 ms,
/// see `capture::block_timeout`), the pace there (20 ms), and a link around the world (150 ms);
/// or the smallest rings of a tap on this host (205 ms) and its pace. One
/// that takes longer stands that much later. Packets of others wait that long for a stream that is
/// quiet.
pub(super) const LAG: u64 = 250_000_000;
/// How far behind its arrival a packet may stand, in nanoseconds: whoever lies about the time must not
/// keep others from being read.
const FURTHEST_BEHIND: u64 = 2_000_000_000;

/// A stream, and where its packets stand in the order of time.
pub(super) struct Far {
    remote: PeerStream,
    /// Numbers of its interface blocks.
    numbers: Vec<u32>,
    /// Whether no process tells of its end.
    pub(super) unwatched: bool,
    /// The smallest difference seen between arrival here and time there, nanoseconds.
    behind: i64,
    /// The end of the capture, which all that still comes belongs before.
    end: Option<u64>,
}

impl Far {
    pub(super) fn new(remote: PeerStream, numbers: Vec<u32>, unwatched: bool) -> Self {
        Self { remote, numbers, unwatched, behind: i64::MAX, end: None }
    }

    /// Reads at most `most` blocks into `batch`; `last` is where the packet before stands, and is
    /// moved on. Returns how many blocks were read, and their bytes.
    pub(super) fn read(
        &mut self,
        most: usize,
        now: u64,
        last: &mut u64,
        batch: &mut Batch,
    ) -> Result<(usize, usize), PeerStreamEnd> {
        let Self { remote, numbers, behind, end, .. } = self;
        if *last > now.saturating_add(SET_BACK) {
            *last = 0;
        }
        let latest = end.unwrap_or(now).min(now);
        let looked = remote.read(most, |packet| {
            *behind = (*behind).min(difference(now, packet.time));
            *last = place(packet.time, *behind, latest).max(*last);
            let stands = end.map_or(*last, |end| end.min(*last));
            // Each that has packets has one ([`Far::grow`]).
            let Some(&interface) = numbers.get(packet.interface) else { return };
            batch.push(stands, interface, packet.data.len(), |bytes| {
                let (time, length) = (packet.time, packet.length);
                pcapng::append_packet(bytes, interface, packet.direction, time, length, packet.data);
            });
        })?;
        // Whatever comes now stands later. At the end others have no time to wait for a flood.
        let until = if looked.blocks == 0 || end.is_some() { LAG } else { FURTHEST_BEHIND };
        *last = now.saturating_sub(until).max(*last);
        Ok((looked.blocks, looked.bytes))
    }

    /// The time up to which everything has come, where the last packet stands at `last`.
    pub(super) fn complete_until(&self, last: u64) -> u64 {
        // Until the stream ends there may be more that belongs before the end.
        self.end.map_or(last, |end| last.min(end.saturating_sub(1)))
    }

    /// Asks for what is left of a capture that ends at `end`.
    pub(super) fn finish(&mut self, end: u64) {
        self.end = Some(end);
        self.remote.finish();
    }

    /// Number of its first interface block, if it has any.
    pub(super) fn first(&self) -> Option<u32> {
        self.numbers.first().copied()
    }

    /// Has the interfaces that were told meanwhile numbered by `number`. Whether there were any.
    pub(super) fn grow(&mut self, mut number: impl FnMut(InterfaceDescription, Option<u32>) -> u32) -> bool {
        let told = self.remote.take_told();
        let grows = !told.is_empty();
        for interface in told {
            // What passes from one to another of them is kept once there.
            self.numbers.push(number(interface, self.first()));
        }
        grows
    }

    /// Who it is, and what it calls addresses, told since this was asked last.
    pub(super) fn take_names(&mut self) -> Option<(SafeText, Vec<(IpAddr, SafeText)>)> {
        self.remote.take_names()
    }

    /// Asks for what is left, and for the end.
    pub(super) fn leave(&mut self) {
        self.remote.finish();
    }

    /// Asks for another capture filter; fails when that cannot be asked.
    pub(super) fn filter(&self, number: u32, filter: Option<&str>) -> Result<(), SafeText> {
        self.remote.filter(number, filter)
    }

    /// What was said to a new filter since this was asked last.
    pub(super) fn answer(&mut self) -> Option<(u32, Result<(), SafeText>)> {
        self.remote.take_answer()
    }

    /// For each of its interfaces: the number of its block, and what became of its packets.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u32, PacketCounts)> {
        self.numbers.iter().copied().zip(self.remote.counts())
    }
}

impl AsFd for Far {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.remote.as_fd()
    }
}

/// Where a packet stands that has `time` there, given how far the clocks differ.
fn place(time: u64, behind: i64, latest: u64) -> u64 {
    let differ = behind < 0 || behind.unsigned_abs() > LAG;
    let here = if differ { time.saturating_add_signed(behind) } else { time };
    here.clamp(latest.saturating_sub(FURTHEST_BEHIND), latest)
}

/// How much `later` is later; negative where it is not.
fn difference(later: u64, time: u64) -> i64 {
    i64::try_from(i128::from(later) - i128::from(time)).unwrap_or(if later > time {
        i64::MAX
    } else {
        i64::MIN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_435_357_000_000_000;
    const HOUR: u64 = 3_600_000_000_000;
    const MS: u64 = 1_000_000;

    /// Where packets stand that were sent and have arrived at these times after [`NOW`], with a clock
    /// there that is `off` by so much.
    fn places(off: i64, packets: &[(u64, u64)]) -> Vec<u64> {
        let mut behind = i64::MAX;
        let place = |(sent, arrived): &(u64, u64)| {
            let (time, arrived) = ((NOW + sent).saturating_add_signed(off), NOW + arrived);
            behind = behind.min(difference(arrived, time));
            super::place(time, behind, arrived) - NOW
        };
        packets.iter().map(place).collect()
    }

    #[test]
    fn packets_stand_at_their_own_time_where_clocks_agree() {
        let sent = [(0, 20 * MS), (5 * MS, 20 * MS), (30 * MS, 900 * MS)];
        assert_eq!(places(0, &sent), [0, 5 * MS, 30 * MS]);
        assert_eq!(places(-100 * 1_000_000, &[(200 * MS, 210 * MS)]), [100 * MS]);
    }

    #[test]
    fn a_clock_that_is_hours_off_moves_packets_to_their_arrival() {
        let sent = [(0, 20 * MS), (5 * MS, 25 * MS), (30 * MS, 60 * MS)];
        for off in [HOUR.cast_signed(), -HOUR.cast_signed()] {
            assert_eq!(places(off, &sent), [20 * MS, 25 * MS, 50 * MS]);
        }
        assert_eq!(places(i64::MAX, &[(0, 7)]), [7]);
    }

    #[test]
    fn nobody_stands_further_behind_than_others_can_wait() {
        let late = places(0, &[(0, 0), (0, 10_000 * MS)]);
        assert_eq!(late, [0, 8_000 * MS]);
    }
}
