//! Tests of deduplication.

use std::collections::HashMap;

use proptest::prelude::*;

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
fn is_dropped(dedup: &mut Deduplicator, time: u64, member: u32, direction: Direction, data: &[u8]) -> bool {
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
fn kept_at<const N: usize>(dedup: &mut Deduplicator, time: u64, members: [u32; N], data: &[u8]) -> Vec<u32> {
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
    assert_eq!(dedup.remembered, 0);
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
        assert_eq!(dedup.remembered, 0);
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
    for number in 0..3 * u64::from(MAX_REMEMBERED) {
        is_dropped(&mut dedup, NOW + number, 0, Direction::Outbound, &number.to_le_bytes());
        kept_at(&mut dedup, NOW + number, [1, 2], &number.to_le_bytes());
    }
    assert!(dedup.remembered <= MAX_REMEMBERED && dedup.outbound.len() <= MAX_REMEMBERED as usize);
    assert!(dedup.received.len() < MAX_REMEMBERED as usize);
    for number in 0..3 * u64::from(MAX_REMEMBERED) {
        is_dropped(&mut dedup, NOW + number, 0, Direction::Outbound, b"the same");
        assert_eq!(kept_at(&mut dedup, NOW + number, [0, 1, 2], b"the same"), [0]);
    }
    assert!(dedup.remembered <= MAX_REMEMBERED);
}

#[test]
fn packets_of_the_same_content_are_forgotten_one_by_one() {
    let mut dedup = with_members(&[0, 1]);
    for number in 0..MAX_REMEMBERED {
        let own = number.to_le_bytes();
        let content = if number % 1000 == 0 { &b"the same"[..] } else { &own };
        is_dropped(&mut dedup, NOW, 0, Direction::Outbound, content);
    }
    // One of the same content is forgotten.
    is_dropped(&mut dedup, NOW, 0, Direction::Outbound, b"another");
    let times = MAX_REMEMBERED.div_ceil(1000) - 1;
    let kept = (0..=times).filter(|_| !kept_at(&mut dedup, NOW, [1], b"the same").is_empty()).count();
    assert_eq!(kept, 1);
}

/// What is dropped, by a list that is searched from its begin.
#[derive(Default)]
struct Model {
    sent: Vec<(u8, u64, u32)>,
    /// By content and interface: the packet behind the last one that was compared.
    next: HashMap<(u8, u32), usize>,
}

impl Model {
    fn is_dropped(&mut self, content: u8, time: u64, member: u32) -> bool {
        let next = self.next.entry((content, member)).or_default();
        for (number, (other, sent_at, sender)) in self.sent.iter().enumerate().skip(*next) {
            if *other == content {
                *next = number + 1;
                if sent_at.abs_diff(time) <= MAX_TRANSIT_NS && *sender != member {
                    return true;
                }
            }
        }
        false
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_are_dropped_as_a_search_of_all_would(
        packets in proptest::collection::vec((0..4_u8, 0..4_u32, any::<bool>(), 0..300 * MS), 1..300)
    ) {
        let (mut dedup, mut model, mut time) = (with_members(&[0, 1, 2, 3]), Model::default(), NOW);
        for (content, member, is_outbound, delay) in packets {
            time += delay;
            let direction = if is_outbound { Direction::Outbound } else { Direction::Inbound };
            let dropped = is_dropped(&mut dedup, time, member, direction, &[content]);
            if is_outbound {
                model.sent.push((content, time, member));
            } else {
                prop_assert_eq!(dropped, model.is_dropped(content, time, member));
            }
        }
    }
}
