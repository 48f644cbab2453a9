//! A remote stream, brought into the time order of this host.
//!
//! A packet is placed at its own time, but never later than its arrival. If the clocks of both hosts differ by more than
//! the transit takes, packets are shifted by the smallest difference seen between arrival and packet time.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::block_batch::SpareBatches;
use super::queue::PacketQueue;
use super::queued_packet::QueuedPacket;
use crate::capture::PacketCounts;
use crate::pcapng::InterfaceDescription;
use crate::peer::{PeerStream, PeerStreamEnd};
use crate::safe_text::SafeText;

/// Longest time between capture and arrival of a packet, in nanoseconds, for which other packets are held back. It covers
/// the blocks of 24 rings (53 ms, see `capture::block_timeout`), the poll interval (20 ms) and a link around the world
/// (150 ms), or the smallest rings of a local tap (205 ms).
pub(in crate::session) const MAX_DELAY_NS: u64 = 250_000_000;
/// How far before its arrival a packet may be placed, in nanoseconds: a peer that lies about times must not delay others.
const MAX_AGE_NS: u64 = 2_000_000_000;
/// A step back of the clock, in nanoseconds, from which on it was set; less is a difference between processors.
pub(super) const CLOCK_STEP_NS: u64 = 1_000_000_000;

/// A remote stream, and where its packets are placed in the time order.
pub(in crate::session) struct RemoteSource {
    remote: PeerStream,
    /// Numbers of its interface blocks.
    interfaces: Vec<u32>,
    /// Whether it does not end with the holders of its member.
    pub(super) outlives_holders: bool,
    /// The smallest difference seen between arrival and packet time, in nanoseconds.
    min_difference: i64,
    /// The end of the capture, before which all packets that still come are placed.
    end_time: Option<u64>,
    /// Packets of one read, each with the offset of its block.
    packets: Vec<(QueuedPacket, usize)>,
}

impl RemoteSource {
    pub(super) fn new(remote: PeerStream, interfaces: Vec<u32>, outlives_holders: bool) -> Self {
        Self {
            remote,
            interfaces,
            outlives_holders,
            min_difference: i64::MAX,
            end_time: None,
            packets: Vec::new(),
        }
    }

    /// Reads what has come into `queue`, and moves `last`, the time of the last packet, on. Returns the number of blocks and
    /// their bytes.
    pub(super) fn read(
        &mut self,
        now: u64,
        last: &mut u64,
        queue: &mut PacketQueue,
        spare: &mut SpareBatches,
    ) -> Result<(usize, usize), PeerStreamEnd> {
        let Self { remote, interfaces, min_difference, end_time, packets, .. } = self;
        packets.clear();
        if *last > now.saturating_add(CLOCK_STEP_NS) {
            *last = 0;
        }
        let latest = end_time.unwrap_or(now).min(now);
        let read = remote.read(|packet, offset| {
            *min_difference = (*min_difference).min(difference(now, packet.time));
            *last = placed_at(packet.time, *min_difference, latest).max(*last);
            let time = end_time.map_or(*last, |end| end.min(*last));
            // Missing only if the interface has not been added yet, which precedes its packets.
            let Some(&interface) = interfaces.get(packet.interface) else { return 0 };
            let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
            packets.push((QueuedPacket { time, captured, interface }, offset));
            interface
        });
        // Those before an invalid block, too.
        queue.add_peer_packets(packets, remote, spare);
        let read = read?;
        // Later packets are placed after this. At the end of the capture, a flood does not hold others back longer.
        let max_age = if read.blocks == 0 || end_time.is_some() { MAX_DELAY_NS } else { MAX_AGE_NS };
        *last = now.saturating_sub(max_age).max(*last);
        Ok((read.blocks, read.bytes))
    }

    /// The time up to which every packet has come, where `last` is the time of the last one.
    pub(super) fn complete_until(&self, last: u64) -> u64 {
        // Until the stream ends, more packets may be placed before the end.
        self.end_time.map_or(last, |end| last.min(end.saturating_sub(1)))
    }

    /// Requests the rest of a capture that ends at `end_time`.
    pub(super) fn end_capture(&mut self, end_time: u64) {
        self.end_time = Some(end_time);
        self.remote.request_finish();
    }

    /// Requests the rest and the end of the stream.
    pub(super) fn end_stream(&mut self) {
        self.remote.request_finish();
    }

    /// Number of its first interface block, if it has one.
    pub(in crate::session) fn first_interface(&self) -> Option<u32> {
        self.interfaces.first().copied()
    }

    /// Adds the interfaces received meanwhile by `add`, which returns their numbers. Returns whether there were any.
    pub(super) fn add_interfaces(
        &mut self,
        mut add: impl FnMut(InterfaceDescription, Option<u32>) -> u32,
    ) -> bool {
        let received = self.remote.take_new_interfaces();
        let has_new = !received.is_empty();
        for interface in received {
            // All are one member: the peer has dropped duplicates among them.
            self.interfaces.push(add(interface, self.first_interface()));
        }
        has_new
    }

    /// The host, and names of addresses received since the last call.
    pub(super) fn take_names(&mut self) -> Option<(SafeText, Vec<(IpAddr, SafeText)>)> {
        self.remote.take_new_names()
    }

    /// Requests another capture filter. Fails if the request cannot be sent.
    pub(in crate::session) fn request_filter(
        &self,
        number: u32,
        filter: Option<&str>,
    ) -> Result<(), SafeText> {
        self.remote.request_filter(number, filter)
    }

    /// The answer to a requested filter, received since the last call.
    pub(in crate::session) fn take_filter_answer(&mut self) -> Option<(u32, Result<(), SafeText>)> {
        self.remote.take_filter_reply()
    }

    /// The number of each interface block, and the counts of its packets.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u32, PacketCounts)> {
        self.interfaces.iter().copied().zip(self.remote.counts())
    }
}

impl AsFd for RemoteSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.remote.as_fd()
    }
}

/// Where a packet with the remote time `time` is placed, in nanoseconds since the epoch.
fn placed_at(time: u64, min_difference: i64, latest: u64) -> u64 {
    let clocks_differ = min_difference < 0 || min_difference.unsigned_abs() > MAX_DELAY_NS;
    let local = if clocks_differ { time.saturating_add_signed(min_difference) } else { time };
    local.clamp(latest.saturating_sub(MAX_AGE_NS), latest)
}

/// `later` minus `time`, saturating.
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

    /// Where packets are placed, relative to [`NOW`], given the times at which they were sent and arrived, and the
    /// offset of the remote clock.
    fn placed(clock_offset: i64, packets: &[(u64, u64)]) -> Vec<u64> {
        let mut min_difference = i64::MAX;
        let place = |(sent, arrived): &(u64, u64)| {
            let (time, arrived) = ((NOW + sent).saturating_add_signed(clock_offset), NOW + arrived);
            min_difference = min_difference.min(difference(arrived, time));
            placed_at(time, min_difference, arrived) - NOW
        };
        packets.iter().map(place).collect()
    }

    #[test]
    fn packets_keep_their_time_if_clocks_agree() {
        let packets = [(0, 20 * MS), (5 * MS, 20 * MS), (30 * MS, 900 * MS)];
        assert_eq!(placed(0, &packets), [0, 5 * MS, 30 * MS]);
        assert_eq!(placed(-100 * 1_000_000, &[(200 * MS, 210 * MS)]), [100 * MS]);
    }

    #[test]
    fn packets_are_shifted_to_their_arrival_if_the_remote_clock_is_hours_off() {
        let packets = [(0, 20 * MS), (5 * MS, 25 * MS), (30 * MS, 60 * MS)];
        for clock_offset in [HOUR.cast_signed(), -HOUR.cast_signed()] {
            assert_eq!(placed(clock_offset, &packets), [20 * MS, 25 * MS, 50 * MS]);
        }
        assert_eq!(placed(i64::MAX, &[(0, 7)]), [7]);
    }

    #[test]
    fn late_packets_are_placed_no_earlier_than_others_can_wait() {
        assert_eq!(placed(0, &[(0, 0), (0, 10_000 * MS)]), [0, 8_000 * MS]);
    }
}
