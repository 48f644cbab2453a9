//! Removes the second copy of packets that one captured container sends to another, which pass two taps.
//!
//! On one network an inbound packet has the same bytes as when it was sent. It is dropped if another container sent it
//! within the last second, once per interface for each time it was sent. A packet that was changed on the way, or whose
//! outbound copy was lost, is therefore kept.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use clap::ValueEnum;
use foldhash::SharedSeed;
use foldhash::fast::RandomState as FastState;
use foldhash::quality::FoldHasher;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::input::{PacketContent, QueuedPacket};
use crate::capture::Direction;

/// Longest time between sending and receiving a packet, in nanoseconds: more than bridges and traffic shaping take.
const MAX_TRANSIT_NS: u64 = 1_000_000_000;
/// Bytes compared, besides the length: all of a packet that the kernel does not segment later.
const MAX_COMPARED_LEN: usize = 2048;
/// Outbound packets and interfaces where they were received that are remembered; beyond, the oldest are forgotten.
const MAX_REMEMBERED: usize = 32 * 1024;

/// What to do with the second copy of a packet between captured containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Keep one copy, the sender's
    #[default]
    Drop,
    /// Keep both copies
    Keep,
}

/// Remembers outbound packets, to recognize them where they are received.
pub(super) struct Deduplicator {
    duplicates: Duplicates,
    /// Whether at least two members are captured.
    has_several_members: bool,
    /// Secret, so that no sender can make packets collide.
    seeds: (u64, SharedSeed),
    outbound: VecDeque<OutboundPacket>,
    /// Packets forgotten so far, which is the number of the oldest in `outbound`.
    forgotten: u64,
    contents: HashMap<u64, SameContent, FastState>,
    /// Entries of all `SameContent::received_at`.
    received_len: usize,
}

struct OutboundPacket {
    hash: u64,
    time: u64,
    member: u32,
    /// Number of the next outbound packet with the same content.
    next: Option<u64>,
}

/// Outbound packets with the same content.
struct SameContent {
    oldest: u64,
    newest: u64,
    /// For each receiving interface, the number of the last outbound packet that was matched or passed over there.
    /// Earlier ones are not compared again, however often the same packet is sent.
    received_at: SmallVec<[(u32, u64); 1]>,
}

/// What identifies a packet, and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PacketKey {
    hash: u64,
    direction: Direction,
}

impl Deduplicator {
    pub(super) fn new(duplicates: Duplicates) -> Self {
        let secret = RandomState::new();
        Self {
            duplicates,
            has_several_members: false,
            seeds: (secret.hash_one(0), SharedSeed::from_u64(secret.hash_one(1))),
            outbound: VecDeque::new(),
            forgotten: 0,
            contents: HashMap::default(),
            received_len: 0,
        }
    }

    /// Sets the members that packets now come from, given once for each interface.
    pub(super) fn set_members(&mut self, mut members: impl Iterator<Item = u32>) {
        let first = members.next();
        self.has_several_members =
            self.duplicates == Duplicates::Drop && members.any(|member| Some(member) != first);
    }

    /// Returns the key of a packet; `None` if it cannot have a second copy.
    #[inline]
    pub(super) fn key(&mut self, packet: QueuedPacket, content: PacketContent<'_>) -> Option<PacketKey> {
        if !self.has_several_members && self.outbound.is_empty() {
            return None;
        }
        self.forget_before(packet.time);
        let (direction, length, data) = content.parts()?;
        let is_candidate = match direction {
            Direction::Outbound => self.has_several_members,
            Direction::Inbound => !self.outbound.is_empty(),
            Direction::Within => false,
        };
        if !is_candidate {
            return None;
        }
        let mut hasher = FoldHasher::with_seed(self.seeds.0, &self.seeds.1);
        hasher.write_u32(length);
        hasher.write(&data[..data.len().min(MAX_COMPARED_LEN)]);
        Some(PacketKey { hash: hasher.finish(), direction })
    }

    /// Whether the packet is received at an interface of `member` and was sent by another member.
    pub(super) fn is_second_copy(&mut self, key: PacketKey, packet: QueuedPacket, member: u32) -> bool {
        let Some(same) = self.contents.get(&key.hash) else { return false };
        if key.direction != Direction::Inbound {
            return false;
        }
        let oldest = same.oldest;
        let entry = same.received_at.iter().position(|(interface, _)| *interface == packet.interface);
        let last_seen = entry.map(|at| same.received_at[at].1).filter(|number| *number >= oldest);
        let mut next = last_seen.map_or(Some(oldest), |number| self.outbound_packet(number)?.next);
        while let Some((number, sent)) = next.and_then(|number| Some((number, self.outbound_packet(number)?)))
        {
            let matches = sent.time.abs_diff(packet.time) <= MAX_TRANSIT_NS && sent.member != member;
            next = sent.next;
            if matches || next.is_none() {
                self.record_received(key.hash, entry, (packet.interface, number));
            }
            if matches {
                return true;
            }
        }
        false
    }

    /// Records the last outbound packet that was compared at an interface, which may have an `entry` already.
    fn record_received(&mut self, hash: u64, entry: Option<usize>, received: (u32, u64)) {
        let Some(same) = self.contents.get_mut(&hash) else { return };
        if let Some(at) = entry {
            same.received_at[at] = received;
        } else {
            same.received_at.push(received);
            self.received_len += 1;
            self.make_room();
        }
    }

    /// Remembers a written packet if `member` sent it.
    pub(super) fn record_outbound(&mut self, key: PacketKey, packet: QueuedPacket, member: u32) {
        if key.direction != Direction::Outbound {
            return;
        }
        self.make_room();
        let number = self.forgotten + self.outbound.len() as u64;
        let first = || SameContent { oldest: number, newest: number, received_at: SmallVec::new() };
        let same = self.contents.entry(key.hash).or_insert_with(first);
        let previous = std::mem::replace(&mut same.newest, number);
        if let Some(previous) = self.outbound_packet(previous) {
            previous.next = Some(number);
        }
        self.outbound.push_back(OutboundPacket { hash: key.hash, time: packet.time, member, next: None });
    }

    fn outbound_packet(&mut self, number: u64) -> Option<&mut OutboundPacket> {
        let index = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.outbound.get_mut(index)
    }

    fn make_room(&mut self) {
        while self.outbound.len() + self.received_len >= MAX_REMEMBERED {
            self.forget_oldest();
        }
    }

    /// Forgets packets that are too old to be received at `time`; all of them if the clock was set back.
    fn forget_before(&mut self, time: u64) {
        while self.outbound.front().is_some_and(|sent| sent.time.abs_diff(time) > MAX_TRANSIT_NS) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(sent) = self.outbound.pop_front() else { return };
        self.forgotten += 1;
        match (sent.next, self.contents.get_mut(&sent.hash)) {
            (Some(next), Some(same)) => same.oldest = next,
            _ => {
                self.received_len -=
                    self.contents.remove(&sent.hash).map_or(0, |same| same.received_at.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_435_357_000_000_000;
    const MS: u64 = 1_000_000;

    /// Each member has one interface of the same number.
    fn with_members(members: &[u32]) -> Deduplicator {
        let mut dedup = Deduplicator::new(Duplicates::Drop);
        dedup.set_members(members.iter().copied());
        dedup
    }

    /// Whether `data` is dropped at the interface of `member`.
    fn is_dropped(
        dedup: &mut Deduplicator,
        time: u64,
        member: u32,
        direction: Direction,
        data: &[u8],
    ) -> bool {
        let length = u32::try_from(data.len()).expect("a short packet");
        let content = PacketContent::Ring(direction, length, data);
        let packet = QueuedPacket { time, captured: length, interface: member };
        let Some(key) = dedup.key(packet, content) else { return false };
        if dedup.is_second_copy(key, packet, member) {
            return true;
        }
        dedup.record_outbound(key, packet, member);
        false
    }

    /// The members at which `data` is received and kept.
    fn kept_at<const N: usize>(
        dedup: &mut Deduplicator,
        time: u64,
        members: [u32; N],
        data: &[u8],
    ) -> Vec<u32> {
        let is_kept = |member: &u32| !is_dropped(dedup, time, *member, Direction::Inbound, data);
        members.into_iter().filter(is_kept).collect()
    }

    #[test]
    fn a_broadcast_is_dropped_at_each_receiver_as_often_as_it_was_sent() {
        let mut dedup = with_members(&[0, 1, 2, 3]);
        assert!(!is_dropped(&mut dedup, NOW, 0, Direction::Outbound, b"ask"));
        // The sender's own interface is not a receiver.
        assert_eq!(kept_at(&mut dedup, NOW + 1, [0, 1, 2, 3], b"ask"), [0]);
        assert_eq!(kept_at(&mut dedup, NOW + 2, [1, 2], b"ask"), [1, 2]);
        assert!(!is_dropped(&mut dedup, NOW + 3, 0, Direction::Outbound, b"ask"));
        assert!(!is_dropped(&mut dedup, NOW + 4, 2, Direction::Outbound, b"ask"));
        assert_eq!(kept_at(&mut dedup, NOW + 5, [1, 1, 1, 2, 2], b"ask"), [1, 2]);
    }

    #[test]
    fn changed_and_late_packets_are_kept() {
        let mut dedup = with_members(&[0, 1]);
        is_dropped(&mut dedup, NOW, 0, Direction::Outbound, b"packet");
        assert_eq!(kept_at(&mut dedup, NOW, [1], b"qacket"), [1]);
        assert_eq!(kept_at(&mut dedup, NOW, [1], b"packet "), [1]);
        assert_eq!(kept_at(&mut dedup, NOW + MAX_TRANSIT_NS + 1, [1], b"packet"), [1]);
        assert!(dedup.outbound.is_empty() && dedup.contents.is_empty());
        // The clock was set back by an hour.
        is_dropped(&mut dedup, NOW, 0, Direction::Outbound, b"packet");
        assert_eq!(kept_at(&mut dedup, NOW - 3_600_000 * MS, [1], b"packet"), [1]);
    }

    #[test]
    fn nothing_is_remembered_for_a_single_container_or_when_duplicates_are_kept() {
        let mut keeping = Deduplicator::new(Duplicates::Keep);
        keeping.set_members([0, 1].into_iter());
        for mut dedup in [with_members(&[7, 7]), keeping] {
            is_dropped(&mut dedup, NOW, 0, Direction::Outbound, b"packet");
            assert!(dedup.outbound.is_empty());
            assert_eq!(kept_at(&mut dedup, NOW, [1], b"packet"), [1]);
        }
    }

    #[test]
    fn packets_of_a_removed_container_are_deduplicated_while_in_transit() {
        let mut dedup = with_members(&[0, 1]);
        is_dropped(&mut dedup, NOW, 0, Direction::Outbound, b"last");
        dedup.set_members([1].into_iter());
        assert_eq!(kept_at(&mut dedup, NOW + 100 * MS, [1], b"last"), [0; 0]);
        // The same content from a container that is not captured.
        assert_eq!(kept_at(&mut dedup, NOW + 200 * MS, [1], b"last"), [1]);
    }

    #[test]
    fn memory_is_bounded_under_a_flood() {
        let mut dedup = with_members(&[0, 1, 2]);
        for number in 0..3 * MAX_REMEMBERED as u64 {
            is_dropped(&mut dedup, NOW + number, 0, Direction::Outbound, &number.to_le_bytes());
            kept_at(&mut dedup, NOW + number, [1, 2], &number.to_le_bytes());
        }
        let outbound_len = dedup.outbound.len();
        let received_len = dedup.contents.values().map(|same| same.received_at.len()).sum::<usize>();
        assert!(outbound_len + received_len <= MAX_REMEMBERED);
        assert!(received_len == dedup.received_len && dedup.contents.len() == outbound_len);
        for number in 0..3 * MAX_REMEMBERED as u64 {
            is_dropped(&mut dedup, NOW + number, 0, Direction::Outbound, b"the same");
            assert_eq!(kept_at(&mut dedup, NOW + number, [0, 1, 2], b"the same"), [0]);
        }
        assert!(dedup.outbound.len() <= MAX_REMEMBERED && dedup.contents.len() == 1);
    }
}
