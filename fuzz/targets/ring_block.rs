//! A block of the kernel's ring with any content: reading stays within it and ends, what is not enclosed stays as it is,
//! and each enclosed packet is a block of pcapng.

#![no_main]

use containerdump::capture::{
    BlockFormat, BlockReader, Direction, InterfaceDirections, LeftOut, ROOM_BEFORE, TRAILER_LEN,
};
use containerdump::pcapng::{PacketFields, packet_in};
use containerdump_fuzz::parameters;
use libfuzzer_sys::fuzz_target;

/// Offset of the bytes in a block.
const BYTES_OFFSET: usize = 12;

fuzz_target!(|data: &[u8]| {
    let Some(([kind, sorts, a, b, c, d], block)) = parameters(data) else { return };
    let left_out = [LeftOut::Nothing, LeftOut::VlanTag, LeftOut::CookedHeader][usize::from(kind) % 3];
    let (snap_length, joined_len) = (u32::from_le_bytes([a, b, 0, 0]), u32::from_le_bytes([c, d, 0, 0]));
    let directions = InterfaceDirections { incoming: Direction::Inbound, outgoing: Direction::Outbound };
    let format = BlockFormat { left_out, snap_length, directions };
    let mut block = block.to_vec();

    let mut reader = BlockReader::new(&mut block, format);
    assert!(reader.used() <= block.len() + BYTES_OFFSET);
    let count = reader.remaining();
    assert!(reader.packets(&block).count() as u64 <= count);
    if sorts % 2 == 1 {
        let mut packets = reader.take_all(&mut block);
        assert!(packets.len() as u64 <= count);
        packets.sort_by_key(|(packet, _)| packet.time);
        for (packet, room_end) in packets {
            assert!(packet.captured <= snap_length);
            packet.enclose(&mut block, room_end, false, |_, _| ());
            assert_eq!(packet.data(&block).len(), packet.captured as usize);
        }
        return;
    }
    let mut taken = 0_u64;
    while let Some(packet) = reader.head().copied() {
        taken += 1;
        assert!(taken <= count && packet.captured <= snap_length);
        let data = packet.data(&block).to_vec();
        let fields = PacketFields {
            interface: 7,
            direction: packet.direction,
            time: packet.time,
            wire_len: packet.wire_len,
            captured: packet.captured,
        };
        let write = |before: &mut [u8; ROOM_BEFORE], behind: &mut [u8]| {
            assert!(behind.len() >= TRAILER_LEN);
            fields.write_around(before, behind);
        };
        let Some(range) = reader.enclose(&mut block, joined_len, write) else {
            // What was inserted into the packet behind is not inserted again.
            let before = block.clone();
            reader.skip(&mut block);
            assert!(block == before);
            continue;
        };
        let enclosed = &block[range.clone()];
        let length = u32::try_from(range.len()).expect("a short block").to_le_bytes();
        assert!(range.len().is_multiple_of(4) && enclosed[4..8] == length && enclosed.ends_with(&length));
        if left_out == LeftOut::Nothing {
            // What the kernel left out is inserted into the next packet, which may overlap in a block of the fuzzer.
            assert_eq!(packet_in(enclosed), Some((packet.direction, packet.wire_len, &data[..])));
        }
    }
});
