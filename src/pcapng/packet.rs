//! Enhanced packet blocks, written around or behind one another without an allocation: there are millions of them.
//!
//! Layout: draft-ietf-opsawg-pcapng, section 4.3.

use crate::capture::Direction;

/// Bytes before and, besides padding to 4 bytes, behind the packet.
const HEADER_LEN: usize = 28;
const TRAILER_LEN: usize = FLAGS.len() + 4;
/// Option `epb_flags` (code 2, length 4), its value left zero, and the end of options.
const FLAGS: [u8; 12] = [2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Offset of the value in [`FLAGS`].
const FLAGS_VALUE: usize = 4;

/// Parses a block made here: direction, length on the wire and captured bytes.
pub fn read(block: &[u8]) -> Option<(Direction, u32, &[u8])> {
    let head = block.first_chunk::<HEADER_LEN>()?;
    let captured = u32::from_le_bytes(*head[20..].first_chunk()?) as usize;
    let length = u32::from_le_bytes(*head[24..].first_chunk()?);
    let data = block.get(HEADER_LEN..HEADER_LEN + captured)?;
    let direction = match block.get(HEADER_LEN + captured.next_multiple_of(4) + FLAGS_VALUE)? {
        1 => Direction::Inbound,
        2 => Direction::Outbound,
        _ => Direction::Within,
    };
    Some((direction, length, data))
}

/// The length of a block with so many captured bytes.
pub const fn block_length(captured: usize) -> usize {
    HEADER_LEN + captured.next_multiple_of(4) + TRAILER_LEN
}

/// What precedes a packet: interface number, time in nanoseconds since the epoch, captured bytes, length on the wire.
#[inline]
pub fn header(interface: u32, time: u64, captured: usize, length: u32) -> [u8; HEADER_LEN] {
    let mut head = [0; HEADER_LEN];
    head[0..4].copy_from_slice(&6_u32.to_le_bytes());
    head[4..8].copy_from_slice(&saturated(block_length(captured)).to_le_bytes());
    head[8..12].copy_from_slice(&interface.to_le_bytes());
    // The upper half comes first, whatever the byte order.
    head[12..20].copy_from_slice(&time.rotate_left(32).to_le_bytes());
    head[20..24].copy_from_slice(&saturated(captured).to_le_bytes());
    head[24..28].copy_from_slice(&length.to_le_bytes());
    head
}

/// What follows a packet and its padding.
#[inline]
pub fn trailer(direction: Direction, captured: usize) -> [u8; TRAILER_LEN] {
    let mut tail = [0; TRAILER_LEN];
    tail[..FLAGS.len()].copy_from_slice(&FLAGS);
    tail[FLAGS_VALUE] = match direction {
        Direction::Inbound => 1,
        Direction::Outbound => 2,
        Direction::Within => 0,
    };
    tail[FLAGS.len()..].copy_from_slice(&saturated(block_length(captured)).to_le_bytes());
    tail
}

/// Appends a packet to `batch`: interface number, time in nanoseconds since the epoch, length on the wire, captured bytes.
pub fn append(
    batch: &mut Vec<u8>,
    interface: u32,
    direction: Direction,
    time: u64,
    length: u32,
    data: &[u8],
) {
    append_parts(batch, interface, direction, time, length, [data, &[], &[]]);
}

/// The same with the captured bytes in parts.
pub fn append_parts(
    batch: &mut Vec<u8>,
    interface: u32,
    direction: Direction,
    time: u64,
    length: u32,
    parts: [&[u8]; 3],
) {
    let captured = parts.iter().map(|part| part.len()).sum();
    batch.reserve(block_length(captured));
    batch.extend_from_slice(&header(interface, time, captured, length));
    for part in parts {
        batch.extend_from_slice(part);
    }
    batch.extend_from_slice(&[0; 3][..captured.next_multiple_of(4) - captured]);
    batch.extend_from_slice(&trailer(direction, captured));
}

fn saturated(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_parsed_as_it_was_written() {
        for direction in [Direction::Inbound, Direction::Outbound, Direction::Within] {
            for data in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
                let mut block = Vec::new();
                append_parts(
                    &mut block,
                    7,
                    direction,
                    1,
                    1500,
                    [&data[..data.len() / 2], &data[data.len() / 2..], &[]],
                );
                assert_eq!(read(&block), Some((direction, 1500, data)));
                assert_eq!(read(&block[..20]), None);
            }
        }
    }
}
