//! Packets that cross from one captured container to another, which pass two taps.
//!
//! What comes in has the very bytes that went out, for as long as it stays on one network. So what comes
//! in is left out if the same went out from another container just before, as often as it went out and
//! no more often. Nothing is missing then that is not in the stream already: what was changed on its way
//! is another packet, and what its sender has lost for want of room is kept where it comes in.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

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

/// Which packets a capture keeps that cross from one of its containers to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crossing {
    /// Each once, where it is sent.
    #[default]
    Sender,
    /// Each twice: where it is sent, and where it comes in.
    Both,
}

impl Crossing {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Sender, Self::Both];

    /// The word that asks for it: `sender`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Both => "both",
        }
    }

    /// The one that `word` asks for; `None` where it asks for neither.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|crossing| crossing.word() == word)
    }
}

/// What went out just before, to be known again where it comes in.
pub(super) struct Crossings {
    crossing: Crossing,
    /// Whether there are two containers for packets to cross between.
    several: bool,
    /// Nobody else knows which packets would be taken for the same.
    keys: RandomState,
    sent: VecDeque<Sent>,
    /// How many were forgotten: the number of the oldest of `sent`.
    forgotten: u64,
    /// The numbers of the oldest and the latest of each.
    same: HashMap<u64, (u64, u64)>,
    /// How many came in.
    came: usize,
}

/// A packet that went out.
struct Sent {
    packet: u64,
    time: u64,
    member: u32,
    /// The number of the next that is the same.
    next: Option<u64>,
    /// The interfaces where it came in.
    came: Vec<u32>,
}

/// What tells a packet from others, and which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passing {
    packet: u64,
    direction: Direction,
}

impl Crossings {
    pub(super) fn new(crossing: Crossing) -> Self {
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
        self.several = self.crossing == Crossing::Sender && members.any(|member| Some(member) != first);
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
        let mut next = self.same.get(&passing.packet).map(|(oldest, _)| *oldest);
        while let Some(number) = next.filter(|_| passing.direction == Direction::Inbound) {
            let Some(sent) = self.sent_as(number) else { break };
            let is_now = sent.time.abs_diff(packet.time) <= LATEST;
            if is_now && sent.member != member && !sent.came.contains(&packet.interface) {
                sent.came.push(packet.interface);
                self.came += 1;
                self.make_room();
                return true;
            }
            next = sent.next;
        }
        false
    }

    /// Remembers the packet, if it goes out from `member`: it stands in the stream.
    pub(super) fn went(&mut self, passing: Passing, packet: Packet, member: u32) {
        if passing.direction != Direction::Outbound {
            return;
        }
        self.make_room();
        let number = self.forgotten + self.sent.len() as u64;
        let (_, latest) = self.same.entry(passing.packet).or_insert((number, number));
        let before = std::mem::replace(latest, number);
        let (time, packet) = (packet.time, passing.packet);
        if let Some(before) = self.sent_as(before) {
            before.next = Some(number);
        }
        self.sent.push_back(Sent { packet, time, member, next: None, came: Vec::new() });
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
        self.came -= sent.came.len();
        match sent.next {
            Some(next) => {
                self.same.entry(sent.packet).and_modify(|(oldest, _)| *oldest = next);
            }
            None => {
                self.same.remove(&sent.packet);
            }
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
        let mut crossings = Crossings::new(Crossing::Sender);
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
        for mut crossings in [among(&[7, 7]), Crossings::new(Crossing::Both)] {
            if crossings.crossing == Crossing::Both {
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
            (&crossings.sent, crossings.sent.iter().map(|sent| sent.came.len()).sum::<usize>());
        assert!(sent.len() + came <= MOST && came == crossings.came && crossings.same.len() == sent.len());
        for number in 0..3 * MOST as u64 {
            pass(&mut crossings, NOW + number, 0, Direction::Outbound, b"the same");
        }
        assert!(crossings.sent.len() <= MOST && crossings.same.len() == 1);
    }
}
