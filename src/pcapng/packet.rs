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
    /// Writes what precedes the packet.
    #[inline]
    pub fn write_header(&self, header: &mut [u8; HEADER_LEN]) {
        put(header, 0, 6_u32.to_le_bytes());
        put(header, 4, self.block_len().to_le_bytes());
        put(header, 8, self.interface.to_le_bytes());
        // The upper half comes first, whatever the byte order.
        put(header, 12, self.time.rotate_left(32).to_le_bytes());
        put(header, 20, self.captured.to_le_bytes());
        put(header, 24, self.wire_len.to_le_bytes());
    }

    /// Writes what follows the packet and its padding.
    #[inline]
    pub fn write_trailer(&self, trailer: &mut [u8; TRAILER_LEN]) {
        put(trailer, 0, FLAGS);
        let value = match self.direction {
            Direction::Inbound => 1_u32,
            Direction::Outbound => 2,
            Direction::Within => 0,
        };
        put(trailer, FLAGS_VALUE, value.to_le_bytes());
        put(trailer, FLAGS.len(), self.block_len().to_le_bytes());
    }

    /// Writes the block of the packet `data`, of [`PacketFields::captured`] bytes, to the first [`block_length`] bytes of
    /// `room`.
    #[inline]
    pub fn write_block(&self, data: &[u8], room: &mut [u8]) {
        let captured = self.captured as usize;
        let block = &mut room[..block_length(captured)];
        block[HEADER_LEN..HEADER_LEN + captured].copy_from_slice(data);
        // The trailer overwrites what is no padding.
        block[HEADER_LEN + captured..HEADER_LEN + captured + 4].fill(0);
        if let Some(header) = block.first_chunk_mut() {
            self.write_header(header);
        }
        if let Some(trailer) = block.last_chunk_mut() {
            self.write_trailer(trailer);
        }
    }

    fn block_len(&self) -> u32 {
        u32::try_from(block_length(self.captured as usize)).unwrap_or(u32::MAX)
    }
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
