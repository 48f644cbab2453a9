//! Packets that cross from one captured container to another, which pass two taps.
//!
//! What comes in has the very bytes that went out, for as long as it stays on one network. So what comes
//! in is left out if the same went out from another container just before, as often as it went out and
//! no more often. Nothing is missing then that is not in the stream already: what was changed on its way
//! is another packet, and what its sender has lost for want of room is kept where it comes in.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::Duplicates;
use super::queue::Packet;
use crate::capture::Direction;
use crate::pcapng;

/// How much later than it went out a packet may come in, nanoseconds: far more than a bridge takes, and than
/// queues do that were made to be slow.
const LATEST: u64 = 1_000_000_000;
/// Bytes that are compared, besides the length: all but of what the kernel takes apart later.
const MOST_COMPARED: usize = 2048;
/// Packets remembered, and places where they came in; of more, the oldest are forgotten.
const MOST: usize = 32 * 1024;

/// What went out just before, to be known again where it comes in.
pub(super) struct Crossings {
    crossing: Duplicates,
    /// Whether there are two containers for packets to cross between.
    several: bool,
    /// Nobody else knows which packets would be taken for the same.
    keys: RandomState,
    sent: VecDeque<Sent>,
    /// How many were forgotten: the number of the oldest of `sent`.
    forgotten: u64,
    same: HashMap<u64, Same>,
    /// How many places there are in `same` where they came in.
    came: usize,
}

/// A packet that went out.
struct Sent {
    packet: u64,
    time: u64,
    member: u32,
    /// The number of the next that is the same.
    next: Option<u64>,
}

/// All that are the same.
struct Same {
    /// Numbers of the first and the last.
    oldest: u64,
    latest: u64,
    /// For each interface where they came in, the number of the last that did, or cannot have. What is
    /// before it is never looked at again there, however often somebody sends the same.
    came: Vec<(u32, u64)>,
}

/// What tells a packet from others, and which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passing {
    packet: u64,
    direction: Direction,
}

impl Crossings {
    pub(super) fn new(crossing: Duplicates) -> Self {
        Self {
            crossing,
            several: false,
            keys: RandomState::new(),
            sent: VecDeque::new(),
            forgotten: 0,
            same: HashMap::new(),
            came: 0,
        }
    }

    /// From now on packets come from `members`, told for each interface.
    pub(super) fn among(&mut self, mut members: impl Iterator<Item = u32>) {
        let first = members.next();
        self.several = self.crossing == Duplicates::Drop && members.any(|member| Some(member) != first);
    }

    /// Looks at a packet in its `block`; `None` where it cannot cross.
    pub(super) fn passing(&mut self, packet: Packet, block: &[u8]) -> Option<Passing> {
        if !self.several && self.sent.is_empty() {
            return None;
        }
        self.forget_before(packet.time);
        let (direction, length, data) = pcapng::packet_in(block)?;
        let may_cross = match direction {
            Direction::Outbound => self.several,
            Direction::Inbound => !self.sent.is_empty(),
            Direction::Within => false,
        };
        if !may_cross {
            return None;
        }
        let mut hasher = self.keys.build_hasher();
        hasher.write_u32(length);
        hasher.write(&data[..data.len().min(MOST_COMPARED)]);
        Some(Passing { packet: hasher.finish(), direction })
    }

    /// Whether the packet comes in at an interface of `member` and has gone out from another.
    pub(super) fn came(&mut self, passing: Passing, packet: Packet, member: u32) -> bool {
        let Some(same) = self.same.get(&passing.packet) else { return false };
        if passing.direction != Direction::Inbound {
            return false;
        }
        let (oldest, here) = (same.oldest, same.came.iter().position(|(one, _)| *one == packet.interface));
        let before = here.map(|at| same.came[at].1).filter(|number| *number >= oldest);
        let mut next = before.map_or(Some(oldest), |number| self.sent_as(number)?.next);
        while let Some((number, sent)) = next.and_then(|number| Some((number, self.sent_as(number)?))) {
            let is_it = sent.time.abs_diff(packet.time) <= LATEST && sent.member != member;
            next = sent.next;
            if is_it || next.is_none() {
                self.has_come(passing.packet, here, (packet.interface, number));
            }
            if is_it {
                return true;
            }
        }
        false
    }

    /// Notes how far those that are the same as `packet` have come in at an interface, which may be `here` in
    /// the list.
    fn has_come(&mut self, packet: u64, here: Option<usize>, place: (u32, u64)) {
        let Some(same) = self.same.get_mut(&packet) else { return };
        if let Some(at) = here {
            same.came[at] = place;
        } else {
            same.came.push(place);
            self.came += 1;
            self.make_room();
        }
    }

    /// Remembers the packet, if it goes out from `member`: it stands in the stream.
    pub(super) fn went(&mut self, passing: Passing, packet: Packet, member: u32) {
        if passing.direction != Direction::Outbound {
            return;
        }
        self.make_room();
        let number = self.forgotten + self.sent.len() as u64;
        let first = || Same { oldest: number, latest: number, came: Vec::new() };
        let same = self.same.entry(passing.packet).or_insert_with(first);
        let before = std::mem::replace(&mut same.latest, number);
        let (time, packet) = (packet.time, passing.packet);
        if let Some(before) = self.sent_as(before) {
            before.next = Some(number);
        }
        self.sent.push_back(Sent { packet, time, member, next: None });
    }

    fn sent_as(&mut self, number: u64) -> Option<&mut Sent> {
        let index = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.sent.get_mut(index)
    }

    fn make_room(&mut self) {
        while self.sent.len() + self.came >= MOST {
            self.forget_oldest();
        }
    }

    /// Forgets what can come in no more at `time`; all, where the clock was set back.
    fn forget_before(&mut self, time: u64) {
        while self.sent.front().is_some_and(|sent| sent.time.abs_diff(time) > LATEST) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(sent) = self.sent.pop_front() else { return };
        self.forgotten += 1;
        match (sent.next, self.same.get_mut(&sent.packet)) {
            (Some(next), Some(same)) => same.oldest = next,
            _ => self.came -= self.same.remove(&sent.packet).map_or(0, |same| same.came.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_435_357_000_000_000;
    const MS: u64 = 1_000_000;

    /// Members and their interfaces have the same numbers.
    fn among(members: &[u32]) -> Crossings {
        let mut crossings = Crossings::new(Duplicates::Drop);
        crossings.among(members.iter().copied());
        crossings
    }

    /// Whether it is left out that `data` passes the interface of `member`.
    fn pass(crossings: &mut Crossings, time: u64, member: u32, direction: Direction, data: &[u8]) -> bool {
        let mut block = Vec::new();
        let length = u32::try_from(data.len()).expect("few");
        pcapng::append_packet(&mut block, member, direction, time, length, data);
        let packet = Packet { time, captured: length, interface: member };
        let Some(passing) = crossings.passing(packet, &block) else { return false };
        if crossings.came(passing, packet, member) {
            return true;
        }
        crossings.went(passing, packet, member);
        false
    }

    /// The members where `data` comes in and is kept.
    fn kept<const N: usize>(
        crossings: &mut Crossings,
        time: u64,
        members: [u32; N],
        data: &[u8],
    ) -> Vec<u32> {
        let is_kept = |member: &u32| !pass(crossings, time, *member, Direction::Inbound, data);
        members.into_iter().filter(is_kept).collect()
    }

    #[test]
    fn what_is_sent_to_all_is_left_out_at_each_and_as_often_as_it_was_sent() {
        let mut crossings = among(&[0, 1, 2, 3]);
        assert!(!pass(&mut crossings, NOW, 0, Direction::Outbound, b"ask"));
        // Its own interface is no other.
        assert_eq!(kept(&mut crossings, NOW + 1, [0, 1, 2, 3], b"ask"), [0]);
        assert_eq!(kept(&mut crossings, NOW + 2, [1, 2], b"ask"), [1, 2]);
        assert!(!pass(&mut crossings, NOW + 3, 0, Direction::Outbound, b"ask"));
        assert!(!pass(&mut crossings, NOW + 4, 2, Direction::Outbound, b"ask"));
        assert_eq!(kept(&mut crossings, NOW + 5, [1, 1, 1, 2, 2], b"ask"), [1, 2]);
    }

    #[test]
    fn what_differs_in_a_bit_or_comes_late_is_kept() {
        let mut crossings = among(&[0, 1]);
        pass(&mut crossings, NOW, 0, Direction::Outbound, b"packet");
        assert_eq!(kept(&mut crossings, NOW, [1], b"qacket"), [1]);
        assert_eq!(kept(&mut crossings, NOW, [1], b"packet "), [1]);
        assert_eq!(kept(&mut crossings, NOW + LATEST + 1, [1], b"packet"), [1]);
        assert!(crossings.sent.is_empty() && crossings.same.is_empty());
        // The clock was set back by an hour.
        pass(&mut crossings, NOW, 0, Direction::Outbound, b"packet");
        assert_eq!(kept(&mut crossings, NOW - 3_600_000 * MS, [1], b"packet"), [1]);
    }

    #[test]
    fn nothing_is_looked_at_for_one_container_or_where_both_are_wanted() {
        for mut crossings in [among(&[7, 7]), Crossings::new(Duplicates::Keep)] {
            if crossings.crossing == Duplicates::Keep {
                crossings.among([0, 1].into_iter());
            }
            pass(&mut crossings, NOW, 0, Direction::Outbound, b"packet");
            assert!(crossings.sent.is_empty());
            assert_eq!(kept(&mut crossings, NOW, [1], b"packet"), [1]);
        }
    }

    #[test]
    fn who_has_left_is_remembered_for_as_long_as_packets_are_under_way() {
        let mut crossings = among(&[0, 1]);
        pass(&mut crossings, NOW, 0, Direction::Outbound, b"last");
        crossings.among([1].into_iter());
        assert_eq!(kept(&mut crossings, NOW + 100 * MS, [1], b"last"), [0; 0]);
        // The same from somebody who is not captured.
        assert_eq!(kept(&mut crossings, NOW + 200 * MS, [1], b"last"), [1]);
    }

    #[test]
    fn no_flood_makes_it_grow() {
        let mut crossings = among(&[0, 1, 2]);
        for number in 0..3 * MOST as u64 {
            pass(&mut crossings, NOW + number, 0, Direction::Outbound, &number.to_le_bytes());
            kept(&mut crossings, NOW + number, [1, 2], &number.to_le_bytes());
        }
        let (sent, came) =
            (&crossings.sent, crossings.same.values().map(|same| same.came.len()).sum::<usize>());
        assert!(sent.len() + came <= MOST && came == crossings.came && crossings.same.len() == sent.len());
        for number in 0..3 * MOST as u64 {
            pass(&mut crossings, NOW + number, 0, Direction::Outbound, b"the same");
            assert_eq!(kept(&mut crossings, NOW + number, [0, 1, 2], b"the same"), [0]);
        }
        assert!(crossings.sent.len() <= MOST && crossings.same.len() == 1);
    }
}
