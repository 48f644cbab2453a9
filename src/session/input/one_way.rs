//! Detects interfaces that show only one direction of established TCP connections.
//!
//! The other direction takes another path: an asymmetric route, or an eBPF program that redirects packets behind the
//! veth (`bpf_redirect_peer`, used by Cilium). Unanswered connection attempts are no sign of that, so only segments of
//! established connections count.

use crate::capture::Direction;

/// Segments after which the other direction should have been seen.
const MIN_SEGMENTS: u32 = 20;

/// What a ring has shown of TCP in each direction.
#[derive(Debug, Default)]
pub(in crate::session) struct TcpDirections {
    outbound: TcpSegments,
    inbound: TcpSegments,
}

impl TcpDirections {
    /// Counts a packet.
    #[inline]
    pub(super) fn count(&mut self, direction: Direction, packet: &[u8]) {
        match direction {
            Direction::Outbound => self.outbound.count(packet),
            Direction::Inbound => self.inbound.count(packet),
            Direction::Within => {}
        }
    }

    /// The only direction that was shown of established connections, if there is one.
    pub(in crate::session) fn only_direction(&self) -> Option<Direction> {
        let is_alone = |segments: &TcpSegments, others: &TcpSegments| {
            segments.established >= MIN_SEGMENTS && !others.has_tcp
        };
        if is_alone(&self.outbound, &self.inbound) {
            Some(Direction::Outbound)
        } else {
            is_alone(&self.inbound, &self.outbound).then_some(Direction::Inbound)
        }
    }
}

/// What was seen of TCP in one direction.
#[derive(Debug, Default)]
struct TcpSegments {
    has_tcp: bool,
    /// Segments of established connections, counted up to [`MIN_SEGMENTS`].
    established: u32,
}

impl TcpSegments {
    /// Counts a packet.
    #[inline]
    fn count(&mut self, packet: &[u8]) {
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

/// The flags of a TCP segment in an untagged Ethernet frame; `None` for any other frame.
fn tcp_flags(frame: &[u8]) -> Option<u8> {
    let packet = frame.get(14..)?;
    let segment = match frame.get(12..14)? {
        [0x08, 0x00] if packet.get(9) == Some(&TCP) => {
            let fragment_offset = u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff;
            // Only the first fragment has the TCP header.
            packet.get(usize::from(packet[0] & 0x0f) * 4..).filter(|_| fragment_offset == 0)?
        }
        [0x86, 0xdd] if packet.get(6) == Some(&TCP) => packet.get(40..)?,
        _ => return None,
    };
    segment.get(13).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: u8) -> Vec<u8> {
        let mut frame = vec![0; 54];
        (frame[12], frame[14], frame[14 + 9], frame[34 + 13]) = (0x08, 0x45, TCP, flags);
        frame
    }

    fn only_direction(outbound: (u8, u32), inbound: (u8, u32)) -> Option<Direction> {
        let mut directions = TcpDirections::default();
        for (direction, (flags, count)) in [(Direction::Outbound, outbound), (Direction::Inbound, inbound)] {
            (0..count).for_each(|_| directions.count(direction, &segment(flags)));
        }
        directions.only_direction()
    }

    #[test]
    fn one_direction_of_established_connections_is_detected() {
        assert_eq!(only_direction((ACK, 30), (ACK, 0)), Some(Direction::Outbound));
        assert_eq!(only_direction((ACK, 0), (ACK, 30)), Some(Direction::Inbound));
        assert_eq!(only_direction((ACK, 30), (ACK, 1)), None);
        assert_eq!(only_direction((ACK, 5), (ACK, 0)), None);
    }

    #[test]
    fn unanswered_connection_attempts_do_not_count() {
        for flags in [SYN, RST, RST | ACK] {
            assert_eq!(only_direction((flags, 1000), (flags, 0)), None);
        }
    }

    #[test]
    fn truncated_and_other_packets_are_ignored() {
        let whole = segment(ACK);
        assert!((0..48).all(|length| tcp_flags(&whole[..length]).is_none()));
        let mut fragment = whole.clone();
        fragment[14 + 7] = 1;
        let mut udp = whole.clone();
        udp[14 + 9] = 17;
        assert_eq!((tcp_flags(&fragment), tcp_flags(&udp), tcp_flags(&whole)), (None, None, Some(ACK)));
        let mut ipv6 = vec![0; 74];
        (ipv6[12], ipv6[13], ipv6[14 + 6], ipv6[54 + 13]) = (0x86, 0xdd, TCP, ACK);
        assert_eq!(tcp_flags(&ipv6), Some(ACK));
    }
}
