//! Packets of a block of the kernel's ring, made in plain memory (linux/if_packet.h, `struct tpacket3_hdr`).

use std::hint::black_box;

use containerdump::capture::{
    BlockFormat, BlockPacket, BlockReader, Direction, InterfaceDirections, LeftOut,
};
use containerdump::pcapng::{self, PacketFields};

/// Packets of a block, by which those of a run are divisible.
const PACKETS: u32 = 100;
/// Offset of the first packet in a block, and in its bytes behind its status word.
const FIRST: u32 = 48;
const FIRST_AT: usize = 36;
/// Bytes of a packet in the ring before its own.
const MAC_OFFSET: u16 = 82;

/// Reads so many packets of `size` bytes and gathers their blocks, as small packets are.
pub(crate) fn gather(size: usize, count: u32) {
    let mut block = block(size);
    let mut gathered = vec![0; 2 * block.len()];
    each_block(count, || {
        let (mut reader, mut taken, mut len) = (BlockReader::new(&mut block, FORMAT), 0, 0);
        while let Some(packet) = reader.head() {
            let data = packet.data(black_box(&block));
            fields(packet).write_block(data, &mut gathered[len..]);
            len += pcapng::packet_block_length(data.len());
            reader.skip(&mut block);
            taken += 1;
        }
        black_box(&gathered);
        taken
    });
}

/// Reads so many packets of `size` bytes and writes blocks around them, as around large packets. Includes a copy of each
/// kernel block, since it is overwritten.
pub(crate) fn enclose(size: usize, count: u32) {
    let original = block(size);
    let mut block = original.clone();
    each_block(count, || {
        block.copy_from_slice(&original);
        let (mut reader, mut taken) = (BlockReader::new(&mut block, FORMAT), 0);
        while let Some(packet) = reader.head() {
            let fields = fields(packet);
            let enclosed =
                reader.enclose(&mut block, 0, |before, behind| fields.write_around(before, behind));
            black_box(enclosed).expect("room");
            taken += 1;
        }
        taken
    });
}

const FORMAT: BlockFormat = BlockFormat {
    left_out: LeftOut::VlanTag,
    snap_length: 262_144,
    directions: InterfaceDirections { incoming: Direction::Outbound, outgoing: Direction::Inbound },
};

fn fields(packet: &BlockPacket) -> PacketFields {
    let BlockPacket { direction, time, wire_len, captured, .. } = *packet;
    PacketFields { interface: 0, direction, time, wire_len, captured }
}

/// Repeats `read`, which returns the packets it took, until it took `count`.
fn each_block(count: u32, mut read: impl FnMut() -> u32) {
    let mut taken = 0;
    while taken < count {
        taken += read();
    }
}

/// The bytes of a block behind its status word, with packets of `size` bytes.
fn block(size: usize) -> Vec<u8> {
    let (len, next) = (small(size), (usize::from(MAC_OFFSET) + size).next_multiple_of(16));
    let mut block = vec![0x77; FIRST_AT + (next + 16) * PACKETS as usize];
    let mut put = |at: usize, word: u32| block[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    put(0, PACKETS);
    put(4, FIRST);
    for number in 0..PACKETS {
        let at = FIRST_AT + next * number as usize;
        let is_last = number + 1 == PACKETS;
        // Offset of the next, time, captured and wire length, status, offset of the bytes, no VLAN tag.
        put(at, if is_last { 0 } else { small(next) });
        let words =
            [(4, 7), (8, number), (12, len), (16, len), (20, 1), (24, MAC_OFFSET.into()), (32, 0), (36, 0)];
        for (offset, word) in words {
            put(at + offset, word);
        }
    }
    block
}

fn small(length: usize) -> u32 {
    u32::try_from(length).expect("few")
}
