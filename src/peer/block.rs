//! Blocks as our own writer makes them, and nothing else (draft-ietf-opsawg-pcapng, section 4).

use super::Defect;
use crate::capture::{Direction, MAX_SNAP_LEN, PacketCounts};

/// The longest packet, and what stands around it.
pub(super) const LONGEST_BLOCK: usize = MAX_SNAP_LEN as usize + HEAD + MOST_PACKET_OPTIONS + 4;
/// What stands before the bytes of a packet.
const HEAD: usize = 28;
/// Bytes of a packet's options; ours has 12.
const MOST_PACKET_OPTIONS: usize = 64;
/// Longest packet on a wire: the kernel makes none of 512 KiB (`GSO_MAX_SIZE`, linux/netdevice.h).
const LONGEST_ON_WIRE: u32 = 1024 * 1024;
/// More than can be: what is told is added up, and must not overflow.
const MOST_COUNTED: u64 = 1 << 48;
/// `epb_flags`.
const FLAGS: u16 = 2;
const LITTLE_ENDIAN: u32 = 0x1a2b_3c4d;

/// Kinds of blocks that a stream may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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
    /// Which way it went.
    pub direction: Direction,
    /// Nanoseconds since the epoch, by the clock there.
    pub time: u64,
    /// Length on the wire.
    pub length: u32,
    /// Captured bytes.
    pub data: &'a [u8],
}

/// The length of the block that begins here; `None` where that is not told yet.
#[inline]
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Defect> {
    let Some(head) = bytes.first_chunk::<8>() else { return Ok(None) };
    kind(head)?;
    let length = word(head, 4) as usize;
    if !(12..=LONGEST_BLOCK).contains(&length) || !length.is_multiple_of(4) {
        return Err(Defect(format!("a block of it has {length} bytes")));
    }
    Ok(Some(length))
}

/// The block itself, whose length must stand at its end, too.
#[inline]
pub(super) fn whole(block: &[u8]) -> Result<&[u8], Defect> {
    match (block.first_chunk::<8>(), block.last_chunk::<4>()) {
        (Some(head), Some(tail)) if head[4..] == tail[..] => Ok(block),
        _ => Err(Defect::new("a block of it has two lengths")),
    }
}

/// What kind of block this is.
#[inline]
pub(super) fn kind(block: &[u8]) -> Result<Kind, Defect> {
    match block.first_chunk::<4>().map(|head| u32::from_le_bytes(*head)) {
        Some(6) => Ok(Kind::Packet),
        Some(5) => Ok(Kind::Statistics),
        Some(1) => Ok(Kind::Interface),
        Some(4) => Ok(Kind::Names),
        Some(0x0a0d_0d0a) => Ok(Kind::Section),
        Some(other) => Err(Defect(format!("it has a block of the unknown kind {other}"))),
        None => Err(Defect::new("it has a block without a kind")),
    }
}

impl Kind {
    /// Fails when such a block may not stand between packets.
    pub(super) fn in_its_place(self) -> Result<(), Defect> {
        match self {
            // Where the other end is on this host, names are this side's to give and are passed over. A host speaks
            // for itself (`super::names`).
            Self::Packet | Self::Statistics | Self::Names => Ok(()),
            Self::Section => Err(Defect::new("a second section begins in it")),
            Self::Interface => Err(Defect::new("an interface came up in it after the first packet")),
        }
    }
}

/// Looks whether a section is written as ours are.
pub(super) fn section(block: &[u8]) -> Result<(), Defect> {
    let head = block.first_chunk::<16>().ok_or(Defect::new("its section header is too short"))?;
    match (word(head, 8), word(head, 12) & 0xffff) {
        (LITTLE_ENDIAN, 1) => Ok(()),
        (LITTLE_ENDIAN, version) => Err(Defect(format!("it is of the unknown pcapng version {version}"))),
        _ => Err(Defect::new("it is no little-endian pcapng stream")),
    }
}

/// Reads a packet of one of `interfaces`.
#[inline]
pub(super) fn packet<'a>(
    block: &'a [u8],
    interfaces: &[(u32, PacketCounts)],
) -> Result<PeerPacket<'a>, Defect> {
    let short = || Defect::new("a packet in it is longer than its block");
    let head = block.first_chunk::<HEAD>().ok_or_else(short)?;
    let interface = word(head, 8) as usize;
    let Some((snap_length, _)) = interfaces.get(interface) else {
        return Err(Defect(format!("it has no interface {interface}")));
    };
    let time = u64::from(word(head, 12)) << 32 | u64::from(word(head, 16));
    let (captured, length) = (word(head, 20), word(head, 24));
    if captured > *snap_length || captured > length || length > LONGEST_ON_WIRE {
        return Err(Defect(format!("a packet in it has {captured} of {length} bytes")));
    }
    let captured = captured as usize;
    let data = block.get(HEAD..HEAD + captured).ok_or_else(short)?;
    let end = block.len().saturating_sub(4);
    let options = block.get(HEAD + captured.next_multiple_of(4)..end).ok_or_else(short)?;
    Ok(PeerPacket { interface, direction: direction(options)?, time, length, data })
}

/// The direction told in the options of a packet.
#[inline]
fn direction(options: &[u8]) -> Result<Direction, Defect> {
    if options.len() > MOST_PACKET_OPTIONS {
        return Err(Defect::new("a packet in it has too many options"));
    }
    let mut flags = 0;
    // As our own writer has them, which is always.
    if let [2, 0, 4, 0, first, 0, 0, 0, 0, 0, 0, 0] = options {
        flags = *first;
    } else {
        for option in Options(options) {
            if let (FLAGS, [first, ..]) = option? {
                flags = *first;
            }
        }
    }
    match flags & 3 {
        0 => Ok(Direction::Within),
        1 => Ok(Direction::Inbound),
        2 => Ok(Direction::Outbound),
        _ => Err(Defect::new("a packet in it went neither in nor out")),
    }
}

/// What became of the packets of one of `interfaces`, whose number comes first. What is read here is
/// not told there.
pub(super) fn statistics(
    block: &[u8],
    interfaces: &[(u32, PacketCounts)],
) -> Result<(usize, PacketCounts), Defect> {
    let head = block.first_chunk::<20>().ok_or(Defect::new("its statistics are too short"))?;
    let interface = word(head, 8) as usize;
    if interface >= interfaces.len() {
        return Err(Defect(format!("it has no interface {interface}")));
    }
    let (mut received, mut dropped, mut in_kernel, mut written, mut came) = (0, 0, 0, 0, 0);
    for option in Options(block.get(20..block.len().saturating_sub(4)).unwrap_or_default()) {
        let (code, value) = option?;
        let Some(value) = value.first_chunk().map(|value| u64::from_le_bytes(*value)) else { continue };
        match code {
            4 => received = value.min(MOST_COUNTED),
            5 => dropped = value.min(MOST_COUNTED),
            6 => came = value.min(MOST_COUNTED),
            7 => in_kernel = value.min(MOST_COUNTED),
            8 => written = value.min(MOST_COUNTED),
            _ => {}
        }
    }
    // See `Blocks::statistics`, which this turns round.
    let lost = received.saturating_sub(written);
    let counts = PacketCounts {
        received: received.max(came),
        delivered: 0,
        kernel_drops: in_kernel.min(lost),
        abandoned: lost.saturating_sub(in_kernel),
        interface_drops: dropped.saturating_sub(lost),
    };
    Ok((interface, counts))
}

/// The comment of statistics, if there is one.
pub(super) fn comment(block: &[u8]) -> Option<&[u8]> {
    let options = Options(block.get(20..block.len().saturating_sub(4))?);
    options.map_while(Result::ok).find_map(|(code, value)| (code == 1).then_some(value))
}

/// The options of a block, each with its code and value, up to the one that ends them.
pub(super) struct Options<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), Defect>;

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
            return Some(Err(Defect::new("an option in it is longer than its block")));
        };
        self.0 = after;
        Some(Ok((code, value)))
    }
}

/// The number at `at`, which must lie within; a constant, so that nothing is left to be checked.
#[inline]
pub(super) fn word<const N: usize>(head: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}
