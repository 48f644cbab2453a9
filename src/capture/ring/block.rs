//! Reads the packets of a block (linux/if_packet.h, `struct tpacket3_hdr`), over plain memory.
//!
//! The bytes are those of a block behind its status word; offsets in them count from there. Each is checked, although the
//! kernel made them.

use std::ops::Range;

use super::packet::{BlockFormat, BlockPacket, ROOM_BEFORE, packet_at, u32_at};

/// Offset of the bytes in a block: `version`, `offset_to_priv` and `block_status` precede them.
pub(super) const BYTES_OFFSET: usize = 12;

/// Offsets in `struct tpacket_hdr_v1`, behind its status.
const PACKET_COUNT: usize = 0;
const FIRST_PACKET: usize = 4;
const BLOCK_LEN: usize = 8;
const LAST_SECONDS: usize = 28;
const LAST_NANOSECONDS: usize = 32;

/// The position in a block.
#[derive(Clone, Debug)]
pub struct BlockReader {
    format: BlockFormat,
    head: Option<BlockPacket>,
    /// Packets behind `head`.
    behind: u32,
    /// Offset of the header of the last packet into which was inserted what the kernel had left out.
    completed: u32,
    /// Time of the last packet, in nanoseconds since the epoch.
    last_time: u64,
    used: usize,
}

impl BlockReader {
    /// Begins at the first packet of `block`.
    pub fn new(block: &mut [u8], format: BlockFormat) -> Self {
        let count = u32_at(block, PACKET_COUNT).unwrap_or_default();
        let first = u32_at(block, FIRST_PACKET).unwrap_or_default() as usize;
        let first = first.checked_sub(BYTES_OFFSET).filter(|_| count > 0);
        let head = first.and_then(|at| packet_at(block, at, format));
        let mut completed = u32::MAX;
        if let Some(packet) = &head {
            packet.complete(block, &mut completed);
        }
        let last_time = time_at(block, LAST_SECONDS, LAST_NANOSECONDS).unwrap_or_default();
        let used = u32_at(block, BLOCK_LEN).unwrap_or_default() as usize;
        let used = used.min(block.len() + BYTES_OFFSET);
        Self { format, head, behind: count.saturating_sub(1), completed, last_time, used }
    }

    /// The next packet.
    #[inline]
    pub fn head(&self) -> Option<&BlockPacket> {
        self.head.as_ref()
    }

    /// Takes the next packet. The header of the one behind it has been read when this returns.
    #[inline]
    pub fn skip(&mut self, block: &mut [u8]) {
        let behind = self.packet_behind(block);
        self.advance(behind);
    }

    /// Takes the next packet, and lets `write` fill the bytes before it and those behind its padding: all up to the next one
    /// if that has at least `joined_len` captured bytes, so that both are contiguous. Returns the range of all; `None`,
    /// without taking it, where there is no room.
    #[inline]
    pub fn enclose(
        &mut self,
        block: &mut [u8],
        joined_len: u32,
        write: impl FnOnce(&mut [u8; ROOM_BEFORE], &mut [u8]),
    ) -> Option<Range<usize>> {
        let behind = self.packet_behind(block);
        let room_end = room_end(behind.as_ref(), block);
        let joins = behind.as_ref().is_some_and(|packet| packet.captured >= joined_len);
        let range = self.head.as_ref()?.enclose(block, room_end, joins, write)?;
        self.advance(behind);
        Some(range)
    }

    /// Takes all packets. Each comes with the offset up to which may be written behind it.
    pub fn take_all(&mut self, block: &mut [u8]) -> Vec<(BlockPacket, usize)> {
        let mut packets = Vec::new();
        while let Some(packet) = self.head {
            self.skip(block);
            packets.push((packet, room_end(self.head.as_ref(), block)));
        }
        packets
    }

    /// The packets not taken yet, whose bytes may be incomplete.
    pub fn packets(&self, block: &[u8]) -> impl Iterator<Item = BlockPacket> {
        let mut next = self.head;
        let mut behind = self.behind;
        std::iter::from_fn(move || {
            let packet = next?;
            packet.prefetch_later(block);
            next = if behind > 0 { packet.behind(block, self.format) } else { None };
            behind = behind.saturating_sub(1);
            Some(packet)
        })
    }

    #[expect(
        clippy::inline_always,
        reason = "a returned packet would be copied by loads that wait for all stores before"
    )]
    #[inline(always)]
    fn packet_behind(&mut self, block: &mut [u8]) -> Option<BlockPacket> {
        let head = self.head.as_ref().filter(|_| self.behind > 0)?;
        let behind = head.behind(block, self.format)?;
        behind.prefetch_later(block);
        behind.complete(block, &mut self.completed);
        Some(behind)
    }

    #[inline]
    fn advance(&mut self, behind: Option<BlockPacket>) {
        self.head = behind;
        self.behind = self.behind.saturating_sub(1);
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

/// Offset up to which may be written: where the header before the packet `behind` will begin.
#[inline]
fn room_end(behind: Option<&BlockPacket>, block: &[u8]) -> usize {
    behind.map_or(block.len(), |packet| (packet.data as usize).saturating_sub(ROOM_BEFORE))
}

fn time_at(bytes: &[u8], seconds: usize, nanoseconds: usize) -> Option<u64> {
    Some(u64::from(u32_at(bytes, seconds)?) * 1_000_000_000 + u64::from(u32_at(bytes, nanoseconds)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::packet::*;
    use super::*;
    use crate::capture::direction::{Direction, InterfaceDirections};

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

    const DIRECTIONS: InterfaceDirections =
        InterfaceDirections { incoming: Direction::Outbound, outgoing: Direction::Inbound };

    fn format(left_out: LeftOut) -> BlockFormat {
        BlockFormat { left_out, snap_length: 262_144, directions: DIRECTIONS }
    }

    /// No packet is so long.
    const NEVER: u32 = u32::MAX;

    /// The bytes that are written around packets.
    fn fill(before: &mut [u8; ROOM_BEFORE], behind: &mut [u8]) {
        before.fill(0xaa);
        behind.fill(0xbb);
    }

    #[test]
    fn packets_are_read_with_direction_and_tag() {
        let frame: Vec<u8> = (0..61).collect();
        let packets = [sample(60, 1), (frame.clone(), false, Some(5)), sample(0, 3)];
        let mut bytes = block(&packets);
        let mut reader = BlockReader::new(&mut bytes, format(LeftOut::VlanTag));
        let tagged = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
        assert_eq!((reader.remaining(), reader.packets(&bytes).count()), (3, 3));
        for (number, (data, is_outgoing, tag)) in packets.iter().enumerate() {
            let packet = *reader.head().expect("a packet");
            let data = if tag.is_some() { &tagged } else { data };
            let direction = if *is_outgoing { Direction::Inbound } else { Direction::Outbound };
            assert_eq!((packet.data(&bytes), packet.direction), (&data[..], direction));
            assert_eq!(packet.time, 7_000_000_000 + number as u64);
            assert_eq!(packet.wire_len as usize, data.len() + 1000);
            reader.skip(&mut bytes);
        }
        assert_eq!((reader.head(), reader.remaining()), (None, 0));
    }

    #[test]
    fn a_tag_is_inserted_once_where_a_packet_has_no_room() {
        let frame: Vec<u8> = (0..61).collect();
        let mut bytes = block(&[sample(60, 1), (frame.clone(), false, Some(5))]);
        // It overlaps the next packet, as no kernel lays it out.
        let long = 200_u32;
        let at = 48 - BYTES_OFFSET + CAPTURED_LEN;
        bytes[at..at + 4].copy_from_slice(&long.to_ne_bytes());
        let mut reader = BlockReader::new(&mut bytes, format(LeftOut::VlanTag));
        assert_eq!(reader.enclose(&mut bytes, NEVER, fill), None);
        reader.skip(&mut bytes);
        let tagged = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
        assert_eq!(reader.head().map(|packet| packet.data(&bytes)), Some(&tagged[..]));
    }

    #[test]
    fn what_is_inserted_counts_for_the_snap_length() {
        for (snap_length, expected) in [(12, 12), (13, 13), (64, 24)] {
            let mut bytes = block(&[((0..20).collect(), false, Some(5))]);
            let format = BlockFormat { snap_length, ..format(LeftOut::VlanTag) };
            let reader = BlockReader::new(&mut bytes, format);
            let packet = reader.head().expect("a packet");
            assert_eq!((packet.captured, packet.wire_len), (expected, 1024));
            let whole: Vec<u8> = (0..12).chain([0x81, 0, 0, 5]).chain(12..20).collect();
            assert_eq!(packet.data(&bytes), &whole[..expected as usize]);
        }
    }

    #[test]
    fn enclosing_a_packet_leaves_those_behind_it_as_they_are() {
        let packets: Vec<Sample> = (60..90).map(|length| sample(length, 9)).collect();
        let mut bytes = block(&packets);
        let mut reader = BlockReader::new(&mut bytes, format(LeftOut::VlanTag));
        let mut enclosed = Vec::new();
        while reader.head().is_some() {
            enclosed.push(reader.enclose(&mut bytes, NEVER, fill).expect("room"));
        }
        assert_eq!(enclosed.len(), packets.len());
        for (range, (data, ..)) in enclosed.iter().zip(&packets) {
            let padding = vec![0; data.len().next_multiple_of(4) - data.len()];
            let expected = [&[0xaa; ROOM_BEFORE], &data[..], &padding, &[0xbb; TRAILER_LEN]].concat();
            assert_eq!(bytes[range.clone()], expected);
        }
    }

    #[test]
    fn packets_are_joined_up_to_a_short_one() {
        let lengths = [60, 61, 75, 90, 59, 90, 90];
        let mut bytes = block(&lengths.map(|length| sample(length, 9)));
        let mut reader = BlockReader::new(&mut bytes, format(LeftOut::Nothing));
        let ranges: Vec<Range<usize>> =
            lengths.map(|_| reader.enclose(&mut bytes, 60, fill).expect("room")).into();
        let is_joined: Vec<bool> = ranges.windows(2).map(|two| two[0].end == two[1].start).collect();
        assert_eq!(is_joined, [true, true, true, false, true, true]);
        for (range, length) in ranges.iter().zip(lengths) {
            let padding = vec![0; length.next_multiple_of(4) - length];
            let expected = [&[0xaa; ROOM_BEFORE], &vec![9; length][..], &padding].concat();
            let (begin, behind) = bytes[range.clone()].split_at(expected.len());
            assert_eq!(begin, expected);
            assert!(behind.len() >= TRAILER_LEN && behind.iter().all(|byte| *byte == 0xbb));
        }
    }

    #[test]
    fn the_last_packet_is_enclosed_only_if_there_is_room_behind_it() {
        let at_end = BLOCK_LEN - (48 - BYTES_OFFSET) - 82;
        for (length, has_room) in [(at_end, false), (at_end - 15, false), (at_end - 18, true)] {
            let mut bytes = block(&[sample(length, 1)]);
            let mut reader = BlockReader::new(&mut bytes, format(LeftOut::Nothing));
            let packet = *reader.head().expect("a packet");
            let range = reader.enclose(&mut bytes, 0, fill);
            assert_eq!((range.is_some(), reader.head().is_none()), (has_room, has_room), "{length}");
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
            left_out in prop_oneof![
                Just(LeftOut::Nothing),
                Just(LeftOut::VlanTag),
                Just(LeftOut::CookedHeader)
            ],
            snap_length in 0..3000_u32,
            joined_len in 0..300_u32,
        ) {
            for (at, word) in words {
                let at = at / 4 * 4;
                if let Some(room) = bytes.get_mut(at..at + 4) {
                    room.copy_from_slice(&word.to_ne_bytes());
                }
            }
            let mut reader = BlockReader::new(&mut bytes, BlockFormat { snap_length, ..format(left_out) });
            prop_assert!(reader.used() <= bytes.len() + BYTES_OFFSET);
            let count = reader.remaining();
            prop_assert!(reader.packets(&bytes).count() as u64 <= count);
            let mut all = bytes.clone();
            for (packet, room_end) in reader.clone().take_all(&mut all) {
                packet.enclose(&mut all, room_end, true, fill);
            }
            let mut taken = 0_u64;
            while let Some(packet) = reader.head().copied() {
                taken += 1;
                prop_assert!(taken <= count && packet.captured <= snap_length);
                let data = packet.data(&bytes).to_vec();
                let is_enclosed = reader.enclose(&mut bytes, joined_len, fill).is_some();
                if left_out == LeftOut::Nothing {
                    prop_assert_eq!(packet.data(&bytes), &data[..]);
                }
                if !is_enclosed {
                    reader.skip(&mut bytes);
                }
            }
        }
    }
}
