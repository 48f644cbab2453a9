//! Parses the blocks that our own writer makes, and no others (draft-ietf-opsawg-pcapng, section 4).

use super::ProtocolError;
use crate::capture::{Direction, MAX_SNAP_LEN, PacketCounts};

/// The longest packet with its header and options.
pub(super) const MAX_BLOCK_LEN: usize = MAX_SNAP_LEN as usize + PACKET_HEADER_LEN + PACKET_OPTIONS_LEN + 4;
/// Bytes before the data of a packet.
const PACKET_HEADER_LEN: usize = 28;
/// Bytes of a packet's options: `epb_flags` and the end.
const PACKET_OPTIONS_LEN: usize = 12;
/// Where a packet's block has the number of its interface.
pub(super) const INTERFACE_NUMBER: std::ops::Range<usize> = 8..12;
/// Longest packet on a wire: the kernel's are below 512 KiB (`GSO_MAX_SIZE`, linux/netdevice.h).
const MAX_WIRE_LEN: u32 = 1024 * 1024;
/// Bound of a count, so that sums do not overflow.
const MAX_COUNT: u64 = 1 << 48;
/// As read from a little-endian section.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// The kinds of blocks in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Section,
    Interface,
    Names,
    Statistics,
    Packet,
}

/// A packet of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPacket<'a> {
    /// Number of its interface in this stream.
    pub interface: usize,
    /// Its direction.
    pub direction: Direction,
    /// Nanoseconds since the epoch, by the clock of the writer.
    pub time: u64,
    /// Length on the wire.
    pub length: u32,
    /// Captured bytes.
    pub data: &'a [u8],
}

/// Where a packet's block has its padding.
#[inline]
pub(super) fn padding(captured: usize) -> std::ops::Range<usize> {
    PACKET_HEADER_LEN + captured..PACKET_HEADER_LEN + captured.next_multiple_of(4)
}

/// The length of the block that starts here; `None` if its header is incomplete.
#[inline]
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some(head) = bytes.first_chunk::<8>() else { return Ok(None) };
    kind(head)?;
    let length = u32_at(head, 4) as usize;
    if !(12..=MAX_BLOCK_LEN).contains(&length) || !length.is_multiple_of(4) {
        return Err(ProtocolError(format!("a block has {length} bytes")));
    }
    Ok(Some(length))
}

/// Checks that the length at the end of the block is the same.
#[inline]
pub(super) fn check_trailing_length(block: &[u8]) -> Result<&[u8], ProtocolError> {
    match (block.first_chunk::<8>(), block.last_chunk::<4>()) {
        (Some(head), Some(tail)) if head[4..] == tail[..] => Ok(block),
        _ => Err(ProtocolError::new("a block has two different lengths")),
    }
}

/// The kind of a block.
#[inline]
pub(super) fn kind(block: &[u8]) -> Result<BlockKind, ProtocolError> {
    match block.first_chunk::<4>().map(|head| u32::from_le_bytes(*head)) {
        Some(6) => Ok(BlockKind::Packet),
        Some(5) => Ok(BlockKind::Statistics),
        Some(1) => Ok(BlockKind::Interface),
        Some(4) => Ok(BlockKind::Names),
        Some(0x0a0d_0d0a) => Ok(BlockKind::Section),
        Some(other) => Err(ProtocolError(format!("unknown block type {other}"))),
        None => Err(ProtocolError::new("truncated block header")),
    }
}

impl BlockKind {
    /// Fails when such a block is not allowed between packets.
    pub(super) fn ensure_allowed_between_packets(self) -> Result<(), ProtocolError> {
        match self {
            // Names from a tap are ignored: the session names the containers of its own host.
            Self::Packet | Self::Statistics | Self::Names => Ok(()),
            Self::Section => Err(ProtocolError::new("unexpected second section")),
            Self::Interface => Err(ProtocolError::new("unexpected interface after the first packet")),
        }
    }
}

/// Checks that a section is little-endian and of version 1.
pub(super) fn check_section(block: &[u8]) -> Result<(), ProtocolError> {
    let head = block.first_chunk::<16>().ok_or(ProtocolError::new("truncated section header"))?;
    match (u32_at(head, 8), u32_at(head, 12) & 0xffff) {
        (BYTE_ORDER_MAGIC, 1) => Ok(()),
        (BYTE_ORDER_MAGIC, version) => Err(ProtocolError(format!("unknown pcapng version {version}"))),
        _ => Err(ProtocolError::new("not a little-endian pcapng stream")),
    }
}

/// Parses a packet of one of `interfaces`.
#[inline]
pub(super) fn parse_packet<'a>(
    block: &'a [u8],
    interfaces: &[(u32, PacketCounts)],
) -> Result<PeerPacket<'a>, ProtocolError> {
    let short = || ProtocolError::new("a packet is longer than its block");
    let head = block.first_chunk::<PACKET_HEADER_LEN>().ok_or_else(short)?;
    let interface = u32_at(head, 8) as usize;
    let Some((snap_length, _)) = interfaces.get(interface) else {
        return Err(ProtocolError(format!("unknown interface {interface}")));
    };
    let time = u64::from(u32_at(head, 12)) << 32 | u64::from(u32_at(head, 16));
    let (captured, length) = (u32_at(head, 20), u32_at(head, 24));
    if captured > *snap_length || captured > length || length > MAX_WIRE_LEN {
        return Err(ProtocolError(format!("a packet has {captured} of {length} bytes")));
    }
    let captured = captured as usize;
    let data = block.get(PACKET_HEADER_LEN..PACKET_HEADER_LEN + captured).ok_or_else(short)?;
    let end = block.len().saturating_sub(4);
    let options = block.get(PACKET_HEADER_LEN + captured.next_multiple_of(4)..end).ok_or_else(short)?;
    Ok(PeerPacket { interface, direction: parse_direction(options)?, time, length, data })
}

/// The direction in the options of a packet. The block is passed on as it is, so that others are not allowed.
#[inline]
fn parse_direction(options: &[u8]) -> Result<Direction, ProtocolError> {
    match options {
        [2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Ok(Direction::Within),
        [2, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0] => Ok(Direction::Inbound),
        [2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0] => Ok(Direction::Outbound),
        _ => Err(ProtocolError::new("a packet has other options than its direction")),
    }
}

/// Parses statistics of one of `interfaces`. Returns its number and the writer's counts.
pub(super) fn parse_statistics(
    block: &[u8],
    interfaces: &[(u32, PacketCounts)],
) -> Result<(usize, PacketCounts), ProtocolError> {
    let head = block.first_chunk::<20>().ok_or(ProtocolError::new("truncated statistics"))?;
    let interface = u32_at(head, 8) as usize;
    if interface >= interfaces.len() {
        return Err(ProtocolError(format!("unknown interface {interface}")));
    }
    let (mut received, mut dropped, mut in_kernel, mut written, mut accepted) = (0, 0, 0, 0, 0);
    for option in BlockOptions(block.get(20..block.len().saturating_sub(4)).unwrap_or_default()) {
        let (code, value) = option?;
        let Some(value) = value.first_chunk().map(|value| u64::from_le_bytes(*value)) else { continue };
        match code {
            4 => received = value.min(MAX_COUNT),
            5 => dropped = value.min(MAX_COUNT),
            6 => accepted = value.min(MAX_COUNT),
            7 => in_kernel = value.min(MAX_COUNT),
            8 => written = value.min(MAX_COUNT),
            _ => {}
        }
    }
    // The inverse of `BlockWriter::add_statistics`.
    let lost = received.saturating_sub(written);
    let counts = PacketCounts {
        received: received.max(accepted),
        delivered: 0,
        kernel_drops: in_kernel.min(lost),
        abandoned: lost.saturating_sub(in_kernel),
        interface_drops: dropped.saturating_sub(lost),
    };
    Ok((interface, counts))
}

/// The comment of statistics.
pub(super) fn comment(block: &[u8]) -> Option<&[u8]> {
    let options = BlockOptions(block.get(20..block.len().saturating_sub(4))?);
    options.map_while(Result::ok).find_map(|(code, value)| (code == 1).then_some(value))
}

/// Iterates over the options of a block, with code and value.
pub(super) struct BlockOptions<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for BlockOptions<'a> {
    type Item = Result<(u16, &'a [u8]), ProtocolError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        let code = u16::from_le_bytes([head[0], head[1]]);
        if code == 0 {
            return None;
        }
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let (Some(value), Some(after)) = (rest.get(..length), rest.get(length.next_multiple_of(4)..)) else {
            self.0 = &[];
            return Some(Err(ProtocolError::new("an option is longer than its block")));
        };
        self.0 = after;
        Some(Ok((code, value)))
    }
}

/// The number at offset `at`. With constants the compiler removes the bounds checks.
#[inline]
pub(super) fn u32_at<const N: usize>(head: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}
