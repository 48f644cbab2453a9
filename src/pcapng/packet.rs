//! Enhanced packet blocks, written around or behind one another without an allocation: there are millions of them.
//!
//! Layout: draft-ietf-opsawg-pcapng, section 4.3.

use crate::capture::Direction;

/// Bytes before and, besides padding to 4 bytes, behind the packet.
const HEADER_LEN: usize = 28;
const TRAILER_LEN: usize = FLAGS_LEN + END_LEN;
/// Option `epb_flags` (type 2, length 4).
const FLAGS_LEN: usize = 8;
/// The end of options, and the length of the block again.
const END_LEN: usize = 8;
/// Offset of its value in the option.
const FLAGS_VALUE: usize = 4;
/// Type of an option that only fills room, which readers skip: such types are for local use (section 3.5).
const FILL_OPTION: u16 = 0x8000;

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

/// What a block says of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketFields {
    /// Number of its interface block.
    pub interface: u32,
    /// Its direction.
    pub direction: Direction,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Length on the wire, in bytes.
    pub wire_len: u32,
    /// Captured bytes.
    pub captured: u32,
}

impl PacketFields {
    /// Writes what precedes the packet, and what follows it and its padding: at least 16 bytes, further ones as an option
    /// without a meaning.
    #[inline]
    pub fn write_around(&self, before: &mut [u8; HEADER_LEN], behind: &mut [u8]) {
        let block_len = HEADER_LEN + (self.captured as usize).next_multiple_of(4) + behind.len();
        let block_len = u32::try_from(block_len).unwrap_or(u32::MAX).to_le_bytes();
        put(before, 0, 6_u32.to_le_bytes());
        put(before, 4, block_len);
        put(before, 8, self.interface.to_le_bytes());
        // The upper half comes first, whatever the byte order.
        put(before, 12, self.time.rotate_left(32).to_le_bytes());
        put(before, 20, self.captured.to_le_bytes());
        put(before, 24, self.wire_len.to_le_bytes());
        let Some((flags, rest)) = behind.split_first_chunk_mut::<FLAGS_LEN>() else { return };
        let Some((room, end)) = rest.split_last_chunk_mut::<END_LEN>() else { return };
        let direction = match self.direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
            Direction::Within => 0,
        };
        *flags = [2, 0, 4, 0, direction, 0, 0, 0];
        if !room.is_empty() {
            fill(room);
        }
        put(end, 0, [0; 4]);
        put(end, 4, block_len);
    }

    /// Writes the block of the packet `data`, of [`PacketFields::captured`] bytes, to the first [`block_length`] bytes of
    /// `room`.
    #[inline]
    pub fn write_block(&self, data: &[u8], room: &mut [u8]) {
        let captured = self.captured as usize;
        let block = &mut room[..block_length(captured)];
        let Some((before, rest)) = block.split_first_chunk_mut() else { return };
        rest[..captured].copy_from_slice(data);
        // What follows overwrites what is no padding.
        rest[captured..captured + 4].fill(0);
        self.write_around(before, &mut rest[captured.next_multiple_of(4)..]);
    }
}

/// Fills `room` with an option; a multiple of 4 bytes.
fn fill(room: &mut [u8]) {
    room.fill(0);
    let Some((option, value)) = room.split_first_chunk_mut::<4>() else { return };
    let [a, b] = FILL_OPTION.to_le_bytes();
    let [c, d] = u16::try_from(value.len()).unwrap_or_default().to_le_bytes();
    *option = [a, b, c, d];
}

/// Puts `bytes` at a constant offset: a store, where `copy_from_slice` may be a call for each field.
#[inline]
fn put<const N: usize>(room: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(chunk) = room[at..].first_chunk_mut() {
        *chunk = bytes;
    }
}

/// Appends a packet to `batch`: interface number, time in nanoseconds since the epoch, length on the wire, captured bytes.
pub fn append(
    batch: &mut Vec<u8>,
    interface: u32,
    direction: Direction,
    time: u64,
    wire_len: u32,
    data: &[u8],
) {
    let captured = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let fields = PacketFields { interface, direction, time, wire_len, captured };
    let begin = batch.len();
    batch.resize(begin + block_length(data.len()), 0);
    fields.write_block(data, &mut batch[begin..]);
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
