//! Interfaces that see one direction only of established TCP connections.
//!
//! The other direction passes elsewhere: on an asymmetric route, or behind the veth, where an eBPF program puts packets
//! right into the container (`bpf_redirect_peer`, which Cilium uses). A connection that is never answered is no such
//! case, so only segments that answer count.

use std::collections::BTreeMap;

use super::merge::Merge;
use super::stage::Stage;
use super::stream::Stream;
use crate::capture::Direction;

/// Segments from which on the other direction is missed.
const MIN_SEGMENTS: u32 = 20;
/// Reports in a row in which it is missed: rings are not read at the same time.
const MIN_REPORTS: u8 = 2;

/// What one ring has shown of TCP.
#[derive(Debug, Default)]
pub(super) struct Segments {
    has_tcp: bool,
    /// Those of established connections, [`MIN_SEGMENTS`] at most.
    established: u32,
}

impl Segments {
    /// Looks at a packet, until enough were seen.
    pub(super) fn see(&mut self, packet: &[u8]) {
        if self.established >= MIN_SEGMENTS {
            return;
        }
        if let Some(flags) = tcp_flags(packet) {
            self.has_tcp = true;
            self.established += u32::from(flags & (ACK | SYN | RST) == ACK);
        }
    }
}

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const TCP: u8 = 6;

/// The flags of a TCP segment in an Ethernet frame without tags; `None` for anything else.
fn tcp_flags(frame: &[u8]) -> Option<u8> {
    let packet = frame.get(14..)?;
    let segment = match frame.get(12..14)? {
        [0x08, 0x00] if packet.get(9) == Some(&TCP) => {
            let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff;
            // A later fragment has no header of TCP.
            packet.get(usize::from(packet[0] & 0x0f) * 4..).filter(|_| fragment == 0)?
        }
        [0x86, 0xdd] if packet.get(6) == Some(&TCP) => packet.get(40..)?,
        _ => return None,
    };
    segment.get(13).copied()
}

impl Stream {
    /// Notes interfaces that see one direction only, each once. At the `end` there is no later report to wait for.
    pub(super) fn find_one_way(&mut self, merge: &Merge, end: bool) {
        let mut rings: BTreeMap<u32, Vec<(Direction, &Segments)>> = BTreeMap::new();
        for (interface, direction, segments) in merge.stages.iter().filter_map(Stage::segments) {
            rings.entry(interface).or_default().push((direction, segments));
        }
        for (interface, rings) in rings {
            let Some(lane) = self.lanes.get_mut(interface as usize) else { continue };
            // A capture filter may leave one direction out.
            if lane.interface.filter.is_some() || lane.one_way >= MIN_REPORTS {
                continue;
            }
            match seen(&rings) {
                None => lane.one_way = 0,
                Some(direction) => {
                    lane.one_way = if end { MIN_REPORTS } else { lane.one_way + 1 };
                    if lane.one_way >= MIN_REPORTS {
                        self.totals.one_way.push((lane.interface.name.clone(), direction));
                    }
                }
            }
        }
    }
}

/// The direction that is seen alone.
fn seen(rings: &[(Direction, &Segments)]) -> Option<Direction> {
    let [one, other] = rings else { return None };
    let alone = |(_, segments): &(Direction, &Segments), (_, others): &(Direction, &Segments)| {
        segments.established >= MIN_SEGMENTS && !others.has_tcp
    };
    if alone(one, other) { Some(one.0) } else { alone(other, one).then_some(other.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: u8) -> Vec<u8> {
        let mut frame = vec![0; 54];
        (frame[12], frame[14], frame[14 + 9], frame[34 + 13]) = (0x08, 0x45, TCP, flags);
        frame
    }

    fn segments(flags: u8, count: u32) -> Segments {
        let mut segments = Segments::default();
        (0..count).for_each(|_| segments.see(&segment(flags)));
        segments
    }

    #[test]
    fn one_direction_of_established_connections_is_found() {
        let (many, none) = (segments(ACK, 30), Segments::default());
        assert_eq!(
            seen(&[(Direction::Outbound, &many), (Direction::Inbound, &none)]),
            Some(Direction::Outbound)
        );
        assert_eq!(
            seen(&[(Direction::Outbound, &none), (Direction::Inbound, &many)]),
            Some(Direction::Inbound)
        );
        assert_eq!(seen(&[(Direction::Outbound, &many), (Direction::Inbound, &segments(ACK, 1))]), None);
        assert_eq!(seen(&[(Direction::Outbound, &segments(ACK, 5)), (Direction::Inbound, &none)]), None);
        assert_eq!(seen(&[(Direction::Within, &many)]), None);
    }

    #[test]
    fn connections_without_an_answer_do_not_count() {
        for flags in [SYN, RST, RST | ACK] {
            let (many, none) = (segments(flags, 1000), Segments::default());
            assert_eq!(seen(&[(Direction::Outbound, &many), (Direction::Inbound, &none)]), None);
        }
    }

    #[test]
    fn packets_that_are_cut_or_no_tcp_are_passed_over() {
        let whole = segment(ACK);
        assert!((0..48).all(|length| tcp_flags(&whole[..length]).is_none()));
        let mut fragment = whole.clone();
        fragment[14 + 7] = 1;
        let mut udp = whole.clone();
        udp[14 + 9] = 17;
        assert_eq!((tcp_flags(&fragment), tcp_flags(&udp), tcp_flags(&whole)), (None, None, Some(ACK)));
        let mut six = vec![0; 74];
        (six[12], six[13], six[14 + 6], six[54 + 13]) = (0x86, 0xdd, TCP, ACK);
        assert_eq!(tcp_flags(&six), Some(ACK));
    }
}
