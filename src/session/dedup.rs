//! Removes the second copy of packets that one captured container sends to another, which pass two taps.
//!
//! On one network an inbound packet has the same bytes as when it was sent. It is dropped if another container sent it
//! within the last second, once per interface for each time it was sent. A packet that was changed on the way, or whose
//! outbound copy was lost, is therefore kept.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use clap::ValueEnum;
use foldhash::SharedSeed;
use foldhash::fast::RandomState as FastState;
use foldhash::quality::FoldHasher;
use serde::{Deserialize, Serialize};

use super::input::{PacketContent, QueuedPacket};
use crate::capture::Direction;

/// Longest time between sending and receiving a packet, in nanoseconds: more than bridges and traffic shaping take.
const MAX_TRANSIT_NS: u64 = 1_000_000_000;
/// Bytes compared, besides the length: all of a packet that the kernel does not segment later.
const MAX_COMPARED_LEN: usize = 2048;
/// Outbound packets remembered, and interfaces where they were received besides the first; beyond, the oldest are forgotten.
/// A power of two, by which numbers of packets wrap around.
const MAX_REMEMBERED: u32 = 32 * 1024;
/// Packets of a bucket, which is a line of the processor's cache, and buckets: half of their places are taken.
const BUCKET_LEN: usize = 8;
const BUCKETS: usize = 2 * MAX_REMEMBERED as usize / BUCKET_LEN;

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
///
/// They stand in a ring in the order in which they were sent, and are found by buckets of numbers: one line of the
/// processor's cache is touched for a packet that is sent once, without a branch that depends on it.
pub(super) struct Deduplicator {
    duplicates: Duplicates,
    /// Whether at least two members are captured.
    has_several_members: bool,
    /// Secret, so that no sender can make packets collide.
    seeds: (u64, SharedSeed),
    /// A packet stands at its number, modulo [`MAX_REMEMBERED`].
    outbound: Vec<OutboundPacket>,
    /// Number of the next packet, and how many before it are remembered.
    next_number: u32,
    remembered: u32,
    /// The newest packet of each content, the last one sent first.
    buckets: Vec<Bucket>,
    /// Last packets received, by hash and interface, where [`OutboundPacket::received`] is that of another interface.
    received: HashMap<(u64, u32), u32, FastState>,
}

/// Part of a packet's hash, and its number.
type BucketEntry = (u32, u32);

#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket([BucketEntry; BUCKET_LEN]);

#[derive(Clone, Copy)]
struct OutboundPacket {
    hash: u64,
    time: u64,
    member: u32,
    /// Number of the next packet with the same content; its own if there is none.
    next: u32,
    /// In the newest packet with the same content: the number of the oldest one, and the first interface where one was
    /// received with the number of the last such packet.
    oldest: u32,
    received: Option<(u32, u32)>,
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
            outbound: Vec::new(),
            next_number: 0,
            remembered: 0,
            buckets: Vec::new(),
            received: HashMap::default(),
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
        if !self.has_several_members && self.remembered == 0 {
            return None;
        }
        self.forget_if_late(packet.time);
        let (direction, length, data) = content.parts()?;
        let is_candidate = match direction {
            Direction::Outbound => self.has_several_members,
            Direction::Inbound => self.remembered > 0,
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
        if key.direction != Direction::Inbound {
            return false;
        }
        let Some((newest, _)) = self.find(key.hash) else { return false };
        let OutboundPacket { oldest, received, .. } = *self.packet(newest);
        let last_received = match received {
            Some((interface, number)) if interface == packet.interface => Some(number),
            Some(_) => self.received.get(&(key.hash, packet.interface)).copied(),
            None => None,
        };
        let last_received = last_received.filter(|number| self.age(*number) <= self.age(oldest));
        let mut next = last_received.map_or(Some(oldest), |number| self.next(number));
        while let Some(number) = next {
            let sent = self.packet(number);
            let matches = sent.time.abs_diff(packet.time) <= MAX_TRANSIT_NS && sent.member != member;
            next = self.next(number);
            if matches || next.is_none() {
                self.record_received(newest, packet.interface, number);
            }
            if matches {
                return true;
            }
        }
        false
    }

    /// Records the last packet with the content of `newest` that was compared at an interface.
    fn record_received(&mut self, newest: u32, interface: u32, number: u32) {
        let packet = self.packet_mut(newest);
        if packet.received.is_none_or(|(first, _)| first == interface) {
            packet.received = Some((interface, number));
            return;
        }
        let hash = packet.hash;
        self.received.insert((hash, interface), number);
        if self.received.len() >= MAX_REMEMBERED as usize {
            self.forget_received();
        }
    }

    /// Remembers a written packet if `member` sent it.
    pub(super) fn record_outbound(&mut self, key: PacketKey, packet: QueuedPacket, member: u32) {
        if key.direction != Direction::Outbound {
            return;
        }
        if self.buckets.is_empty() {
            self.buckets = vec![Bucket::default(); BUCKETS];
        }
        if self.remembered == MAX_REMEMBERED {
            self.forget_oldest();
        }
        let (number, hash) = (self.next_number, key.hash);
        let mut sent =
            OutboundPacket { hash, time: packet.time, member, next: number, oldest: number, received: None };
        let same = self.find(hash);
        if let Some((same, _)) = same {
            let known = self.packet_mut(same);
            known.next = number;
            (sent.oldest, sent.received) = (known.oldest, known.received);
        }
        match self.outbound.get_mut(place(number)) {
            Some(place) => *place = sent,
            None => self.outbound.push(sent),
        }
        // In place of the one with the same content, or of the oldest one.
        let end = same.map_or(BUCKET_LEN - 1, |(_, at)| at);
        self.buckets[bucket(hash)].insert((hash_part(hash), number), end);
        self.next_number = number.wrapping_add(1);
        self.remembered += 1;
    }

    /// The newest packet with this hash, and where it stands in its bucket.
    fn find(&self, hash: u64) -> Option<(u32, usize)> {
        let Bucket(entries) = self.buckets.get(bucket(hash))?;
        let part = hash_part(hash);
        let is_same = |number: u32| self.is_remembered(number) && self.packet(number).hash == hash;
        let mut numbers = entries.iter().enumerate();
        numbers.find_map(|(at, entry)| (entry.0 == part && is_same(entry.1)).then_some((entry.1, at)))
    }

    /// Numbers of buckets may be those of packets long ago.
    fn is_remembered(&self, number: u32) -> bool {
        (1..=self.remembered).contains(&self.age(number))
    }

    /// How many packets ago it was sent: 1 for the newest.
    fn age(&self, number: u32) -> u32 {
        self.next_number.wrapping_sub(number)
    }

    fn packet(&self, number: u32) -> &OutboundPacket {
        &self.outbound[place(number)]
    }

    fn packet_mut(&mut self, number: u32) -> &mut OutboundPacket {
        &mut self.outbound[place(number)]
    }

    /// The next packet with the same content.
    fn next(&self, number: u32) -> Option<u32> {
        let next = self.packet(number).next;
        (next != number).then_some(next)
    }

    /// Forgets all packets if they are too old to be received at `time`, or if the clock was set back.
    fn forget_if_late(&mut self, time: u64) {
        let newest = self.next_number.wrapping_sub(1);
        if self.remembered > 0 && self.packet(newest).time.abs_diff(time) > MAX_TRANSIT_NS {
            self.remembered = 0;
            self.received.clear();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.next_number.wrapping_sub(self.remembered);
        let hash = self.packet(oldest).hash;
        if let Some(next) = self.next(oldest)
            && let Some((newest, _)) = self.find(hash)
        {
            self.packet_mut(newest).oldest = next;
        }
        self.remembered -= 1;
    }

    /// Forgets interfaces of forgotten packets, after it has forgotten the oldest quarter of them.
    fn forget_received(&mut self) {
        for _ in 0..self.remembered.div_ceil(4) {
            self.forget_oldest();
        }
        let (next_number, remembered) = (self.next_number, self.remembered);
        self.received.retain(|_, number| next_number.wrapping_sub(*number) <= remembered);
    }
}

impl Bucket {
    /// Puts `entry` first, in place of that at `end`.
    fn insert(&mut self, entry: BucketEntry, end: usize) {
        let Self(entries) = self;
        if end == BUCKET_LEN - 1 {
            // Of constant length: no call.
            entries.copy_within(..BUCKET_LEN - 1, 1);
        } else {
            entries.copy_within(..end, 1);
        }
        entries[0] = entry;
    }
}

fn bucket(hash: u64) -> usize {
    usize::try_from(hash % BUCKETS as u64).unwrap_or_default()
}

/// A part of the hash that does not select the bucket.
fn hash_part(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or_default()
}

/// The place of a packet in the ring.
fn place(number: u32) -> usize {
    (number % MAX_REMEMBERED) as usize
}

#[cfg(test)]
mod tests;
