//! Enhanced packet blocks, appended to a batch without an allocation: there are millions of them.
//!
//! Layout: draft-ietf-opsawg-pcapng, section 4.3.

use crate::capture::Direction;

/// Bytes of a block besides the packet and its padding.
const OVERHEAD: usize = 28 + FLAGS.len() + 4;
/// Option `epb_flags` (code 2, length 4), its value left zero, and the end of options.
const FLAGS: [u8; 12] = [2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Offset of the value in [`FLAGS`].
const FLAGS_VALUE: usize = 4;

/// Parses a block made by [`append`]: direction, length on the wire and captured bytes.
pub fn read(block: &[u8]) -> Option<(Direction, u32, &[u8])> {
    let head = block.first_chunk::<28>()?;
    let captured = u32::from_le_bytes(*head[20..].first_chunk()?) as usize;
    let length = u32::from_le_bytes(*head[24..].first_chunk()?);
    let data = block.get(28..28 + captured)?;
    let direction = match block.get(28 + captured.next_multiple_of(4) + FLAGS_VALUE)? {
        1 => Direction::Inbound,
        2 => Direction::Outbound,
        _ => Direction::Within,
    };
    Some((direction, length, data))
}

/// The length of a block with so many captured bytes.
pub const fn block_length(captured: usize) -> usize {
    OVERHEAD + captured.next_multiple_of(4)
}

/// Appends a packet to `batch`: interface number, time in nanoseconds since the epoch, length
/// on the wire, captured bytes.
pub fn append(
    batch: &mut Vec<u8>,
    interface: u32,
    direction: Direction,
    time: u64,
    length: u32,
    data: &[u8],
) {
    let captured = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let padding = data.len().next_multiple_of(4) - data.len();
    let total = u32::try_from(block_length(data.len())).unwrap_or(u32::MAX);

    let mut head = [0; 28];
    head[0..4].copy_from_slice(&6_u32.to_le_bytes());
    head[4..8].copy_from_slice(&total.to_le_bytes());
    head[8..12].copy_from_slice(&interface.to_le_bytes());
    // The upper half comes first, whatever the byte order.
    head[12..20].copy_from_slice(&time.rotate_left(32).to_le_bytes());
    head[20..24].copy_from_slice(&captured.to_le_bytes());
    head[24..28].copy_from_slice(&length.to_le_bytes());

    // Up to three bytes of padding, the flags, the length again.
    let mut tail = [0; 3 + FLAGS.len() + 4];
    tail[3..3 + FLAGS.len()].copy_from_slice(&FLAGS);
    tail[3 + FLAGS_VALUE] = match direction {
        Direction::Inbound => 1,
        Direction::Outbound => 2,
        Direction::Within => 0,
    };
    tail[3 + FLAGS.len()..].copy_from_slice(&total.to_le_bytes());

    batch.reserve(total as usize);
    batch.extend_from_slice(&head);
    batch.extend_from_slice(data);
    batch.extend_from_slice(&tail[3 - padding..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_parsed_as_it_was_written() {
        for direction in [Direction::Inbound, Direction::Outbound, Direction::Within] {
            for data in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
                let mut block = Vec::new();
                append(&mut block, 7, direction, 1, 1500, data);
                assert_eq!(read(&block), Some((direction, 1500, data)));
                assert_eq!(read(&block[..20]), None);
            }
        }
    }
}
