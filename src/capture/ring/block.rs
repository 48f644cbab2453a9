//! Reads the packets of a block (linux/if_packet.h, `struct tpacket3_hdr`), over plain memory.
//!
//! The bytes are those of a block behind its status word; offsets in them count from there. Each is checked, although the
//! kernel made them.

use std::ops::Range;

/// Offset of the bytes in a block: `version`, `offset_to_priv` and `block_status` precede them.
pub(super) const BYTES_OFFSET: usize = 12;

/// Offsets in `struct tpacket_hdr_v1`, behind its status.
const PACKET_COUNT: usize = 0;
const FIRST_PACKET: usize = 4;
const BLOCK_LEN: usize = 8;
const LAST_SECONDS: usize = 28;
const LAST_NANOSECONDS: usize = 32;

/// Offsets in `struct tpacket3_hdr`.
const NEXT_OFFSET: usize = 0;
const SECONDS: usize = 4;
const NANOSECONDS: usize = 8;
const CAPTURED_LEN: usize = 12;
const WIRE_LEN: usize = 16;
const STATUS: usize = 20;
const MAC_OFFSET: usize = 24;
const VLAN_TCI: usize = 32;
const VLAN_TPID: usize = 36;
/// Length of `struct tpacket3_hdr`, which a `struct sockaddr_ll` of 20 bytes follows.
const HEADER_LEN: usize = 48;
const ADDRESS_LEN: usize = 20;
/// Offsets in `struct sockaddr_ll`.
const PROTOCOL: usize = HEADER_LEN + 2;
const HARDWARE_TYPE: usize = HEADER_LEN + 8;
const PACKET_TYPE: usize = HEADER_LEN + 10;
const ADDRESS_SIZE: usize = HEADER_LEN + 11;
const ADDRESS: usize = HEADER_LEN + 12;

/// `TP_STATUS_VLAN_VALID` and `TP_STATUS_VLAN_TPID_VALID`.
const VLAN_VALID: u32 = 1 << 4;
const VLAN_TPID_VALID: u32 = 1 << 6;
const ETHERTYPE_VLAN: u16 = 0x8100;
/// `PACKET_OUTGOING`.
const OUTGOING: u8 = 4;

/// Room for a header before the bytes of any packet: the kernel's own, which has been read by then.
pub const ROOM_BEFORE: usize = 28;
/// Bytes behind a packet and its padding: up to there the kernel's header of the next one has been read.
pub const TRAILER_LEN: usize = 16;
const _: () = assert!(HEADER_LEN + ADDRESS_LEN >= ROOM_BEFORE);

/// Where a packet stands in its block, and what the kernel wrote about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPacket {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Length on the wire, without a VLAN tag that the kernel keeps apart.
    pub wire_len: u32,
    /// Whether the interface sent it.
    pub is_outgoing: bool,
    /// The VLAN tag that the kernel keeps apart, as on the wire.
    pub vlan_tag: Option<[u8; 4]>,
    /// Offset of its header.
    header: usize,
    /// Offset of its bytes.
    data: usize,
    captured: usize,
    /// Offset of the header of the next packet, 0 in the last one.
    next: usize,
    /// Offset up to which may be written once it has been taken: where the header of the next packet will be.
    room_end: usize,
}

/// The position in a block.
#[derive(Clone, Debug)]
pub struct BlockReader {
    head: Option<BlockPacket>,
    /// Packets behind `head`.
    behind: u32,
    /// Time of the last packet, in nanoseconds since the epoch.
    last_time: u64,
    used: usize,
}

impl BlockReader {
    /// Begins at the first packet of `block`.
    pub fn new(block: &[u8]) -> Self {
        let count = u32_at(block, PACKET_COUNT).unwrap_or_default();
        let first = u32_at(block, FIRST_PACKET).unwrap_or_default() as usize;
        let head = first.checked_sub(BYTES_OFFSET).filter(|_| count > 0).and_then(|at| packet_at(block, at));
        let last_time = time_at(block, LAST_SECONDS, LAST_NANOSECONDS).unwrap_or_default();
        let used = u32_at(block, BLOCK_LEN).unwrap_or_default() as usize;
        Self { head, behind: count.saturating_sub(1), last_time, used: used.min(block.len() + BYTES_OFFSET) }
    }

    /// The next packet.
    pub fn head(&self) -> Option<&BlockPacket> {
        self.head.as_ref()
    }

    /// Takes the next packet. The header of the one behind it has been read when this returns, so that it may be
    /// overwritten.
    #[inline]
    pub fn next(&mut self, block: &[u8]) -> Option<BlockPacket> {
        let mut packet = self.head.take()?;
        if self.behind > 0 && packet.next > 0 {
            self.behind -= 1;
            self.head = packet.header.checked_add(packet.next).and_then(|at| packet_at(block, at));
        }
        packet.room_end = self.head.map_or(block.len(), |head| head.data.saturating_sub(ROOM_BEFORE));
        Some(packet)
    }

    /// Packets not taken yet, as the kernel counted them.
    pub fn remaining(&self) -> u64 {
        if self.head.is_some() { u64::from(self.behind) + 1 } else { 0 }
    }

    /// Time of the last packet of the block, in nanoseconds since the epoch.
    pub fn last_time(&self) -> u64 {
        self.last_time
    }

    /// Used bytes of the block.
    pub fn used(&self) -> usize {
        self.used
    }
}

impl BlockPacket {
    /// Its bytes.
    pub fn data<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.data..self.data + self.captured]
    }

    /// Writes `header` before its first `captured` bytes, and padding to 4 bytes and `trailer` behind them. Returns the range of
    /// all; `None` where there is no room. Requires that the packet has been taken.
    #[inline]
    pub fn enclose(
        &self,
        block: &mut [u8],
        captured: usize,
        header: &[u8; ROOM_BEFORE],
        trailer: &[u8; TRAILER_LEN],
    ) -> Option<Range<usize>> {
        let begin = self.data.checked_sub(ROOM_BEFORE).filter(|begin| *begin >= self.header)?;
        let captured = captured.min(self.captured);
        let data_end = self.data + captured;
        let trailer_at = self.data + captured.next_multiple_of(4);
        let end = trailer_at + trailer.len();
        if end > self.room_end.min(block.len()) {
            return None;
        }
        block[begin..self.data].copy_from_slice(header);
        block[data_end..trailer_at].fill(0);
        block[trailer_at..end].copy_from_slice(trailer);
        Some(begin..end)
    }

    /// Captured bytes.
    pub fn captured(&self) -> usize {
        self.captured
    }

    /// The header of LINKTYPE_LINUX_SLL, <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html>.
    pub fn cooked_header(&self, block: &[u8]) -> [u8; 16] {
        let mut cooked = [0; 16];
        let header = &block[self.header..self.header + HEADER_LEN + ADDRESS_LEN];
        cooked[1] = header[PACKET_TYPE];
        let hardware_type = u16::from_ne_bytes([header[HARDWARE_TYPE], header[HARDWARE_TYPE + 1]]);
        cooked[2..4].copy_from_slice(&hardware_type.to_be_bytes());
        cooked[5] = header[ADDRESS_SIZE];
        cooked[6..14].copy_from_slice(&header[ADDRESS..ADDRESS + 8]);
        // In network byte order already.
        cooked[14..16].copy_from_slice(&header[PROTOCOL..PROTOCOL + 2]);
        cooked
    }
}

#[inline]
fn packet_at(block: &[u8], at: usize) -> Option<BlockPacket> {
    let header: &[u8; HEADER_LEN + ADDRESS_LEN] = block.get(at..)?.first_chunk()?;
    let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let (status, tci) = (word(STATUS), word(VLAN_TCI));
    let vlan_tag = (tci != 0 || status & VLAN_VALID != 0).then(|| {
        let is_known = half(VLAN_TPID) != 0 || status & VLAN_TPID_VALID != 0;
        let protocol = if is_known { half(VLAN_TPID) } else { ETHERTYPE_VLAN };
        let ([a, b], [_, _, c, d]) = (protocol.to_be_bytes(), tci.to_be_bytes());
        [a, b, c, d]
    });
    let data = at.checked_add(usize::from(half(MAC_OFFSET)))?;
    let captured = word(CAPTURED_LEN) as usize;
    if data < at + HEADER_LEN + ADDRESS_LEN || data.checked_add(captured)? > block.len() {
        return None;
    }
    Some(BlockPacket {
        time: u64::from(word(SECONDS)) * 1_000_000_000 + u64::from(word(NANOSECONDS)),
        wire_len: word(WIRE_LEN),
        is_outgoing: header[PACKET_TYPE] == OUTGOING,
        vlan_tag,
        header: at,
        data,
        captured,
        next: word(NEXT_OFFSET) as usize,
        room_end: 0,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

fn time_at(bytes: &[u8], seconds: usize, nanoseconds: usize) -> Option<u64> {
    Some(u64::from(u32_at(bytes, seconds)?) * 1_000_000_000 + u64::from(u32_at(bytes, nanoseconds)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet as the kernel lays it out: its data, and whether it is outgoing and tagged.
    type Sample = (Vec<u8>, bool, Option<u16>);

    const BLOCK_LEN: usize = 8192;

    /// The bytes of a block with `packets`, laid out as `struct tpacket3_hdr` says.
    fn block(packets: &[Sample]) -> Vec<u8> {
        let mut block = vec![0xee; BLOCK_LEN];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(PACKET_COUNT, &u32::try_from(packets.len()).expect("few").to_ne_bytes());
        put(FIRST_PACKET, &48_u32.to_ne_bytes());
        let mut at = 48 - BYTES_OFFSET;
        for (number, (data, is_outgoing, tag)) in (0_u32..).zip(packets) {
            let mac = 82_u16;
            let next = (usize::from(mac) + data.len()).next_multiple_of(16);
            let is_last = number as usize + 1 == packets.len();
            let len = u32::try_from(data.len()).expect("short");
            put(
                at + NEXT_OFFSET,
                &if is_last { 0 } else { u32::try_from(next).expect("short") }.to_ne_bytes(),
            );
            put(at + SECONDS, &7_u32.to_ne_bytes());
            put(at + NANOSECONDS, &number.to_ne_bytes());
            put(at + CAPTURED_LEN, &len.to_ne_bytes());
            put(at + WIRE_LEN, &(len + 1000).to_ne_bytes());
            put(at + STATUS, &if tag.is_some() { VLAN_VALID | 1 } else { 1 }.to_ne_bytes());
            put(at + MAC_OFFSET, &mac.to_ne_bytes());
            put(at + VLAN_TCI, &u32::from(tag.unwrap_or_default()).to_ne_bytes());
            put(at + VLAN_TPID, &0_u16.to_ne_bytes());
            put(at + PACKET_TYPE, &[if *is_outgoing { OUTGOING } else { 0 }]);
            put(at + usize::from(mac), data);
            at += next;
        }
        block
    }

    fn sample(length: usize, fill: u8) -> Sample {
        (vec![fill; length], fill % 2 == 1, None)
    }

    #[test]
    fn packets_are_read_with_direction_and_tag() {
        let packets = [sample(60, 1), (vec![2; 61], false, Some(5)), sample(0, 3)];
        let bytes = block(&packets);
        let mut reader = BlockReader::new(&bytes);
        assert_eq!(reader.remaining(), 3);
        for (number, (data, is_outgoing, tag)) in packets.iter().enumerate() {
            let packet = reader.next(&bytes).expect("a packet");
            assert_eq!((packet.data(&bytes), packet.is_outgoing), (&data[..], *is_outgoing));
            assert_eq!(packet.time, 7_000_000_000 + number as u64);
            assert_eq!(packet.wire_len as usize, data.len() + 1000);
            assert_eq!(packet.vlan_tag, tag.map(|tag| [0x81, 0, 0, u8::try_from(tag).expect("small")]));
        }
        assert_eq!((reader.next(&bytes), reader.remaining()), (None, 0));
    }

    #[test]
    fn enclosing_a_packet_leaves_those_behind_it_as_they_are() {
        let packets: Vec<Sample> = (60..90).map(|length| sample(length, 9)).collect();
        let mut bytes = block(&packets);
        let mut reader = BlockReader::new(&bytes);
        let mut enclosed = Vec::new();
        while let Some(packet) = reader.next(&bytes) {
            let (header, trailer) = ([0xaa; ROOM_BEFORE], [0xbb; TRAILER_LEN]);
            let range = packet.enclose(&mut bytes, packet.captured(), &header, &trailer);
            enclosed.push(range.expect("room"));
        }
        assert_eq!(enclosed.len(), packets.len());
        for (range, (data, ..)) in enclosed.iter().zip(&packets) {
            let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
            let expected = [&[0xaa; ROOM_BEFORE], &data[..], &padding, &[0xbb; TRAILER_LEN]].concat();
            assert_eq!(bytes[range.clone()], expected);
        }
    }

    #[test]
    fn the_last_packet_is_enclosed_only_if_there_is_room_behind_it() {
        let at_end = BLOCK_LEN - (48 - BYTES_OFFSET) - 82;
        for (length, has_room) in [(at_end, false), (at_end - 15, false), (at_end - 18, true)] {
            let mut bytes = block(&[sample(length, 1)]);
            let mut reader = BlockReader::new(&bytes);
            let packet = reader.next(&bytes).expect("a packet");
            let range = packet.enclose(&mut bytes, length, &[0xaa; ROOM_BEFORE], &[0xbb; TRAILER_LEN]);
            assert_eq!(range.is_some(), has_room, "{length}");
            assert_eq!(packet.data(&bytes), &vec![1; length][..]);
        }
    }

    proptest! {
        // Under an interpreter, such as Miri, a few cases take as long as thousands otherwise.
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 2000 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Made-up blocks: whatever stands in them, reading stays within and ends.
        #[test]
        fn no_content_of_a_block_leads_outside(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..2048),
            words in proptest::collection::vec((0..2048_usize, 0..2200_u32), 0..64),
        ) {
            for (at, word) in words {
                let at = at / 4 * 4;
                if let Some(room) = bytes.get_mut(at..at + 4) {
                    room.copy_from_slice(&word.to_ne_bytes());
                }
            }
            let mut reader = BlockReader::new(&bytes);
            prop_assert!(reader.used() <= bytes.len() + BYTES_OFFSET);
            let mut taken = 0_u64;
            let count = reader.remaining();
            while let Some(packet) = reader.next(&bytes) {
                taken += 1;
                prop_assert!(taken <= count);
                let data = packet.data(&bytes).to_vec();
                packet.cooked_header(&bytes);
                let trailer = [0xbb; TRAILER_LEN];
                packet.enclose(&mut bytes, packet.captured(), &[0xaa; ROOM_BEFORE], &trailer);
                prop_assert_eq!(packet.data(&bytes), &data[..]);
            }
        }
    }
}
