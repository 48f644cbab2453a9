//! A packet in its block (linux/if_packet.h, `struct tpacket3_hdr`), over plain memory.

use std::ops::Range;

use super::memory::prefetch;
use crate::capture::direction::{Direction, InterfaceDirections};

/// Offsets in `struct tpacket3_hdr`.
pub(super) const NEXT_OFFSET: usize = 0;
pub(super) const SECONDS: usize = 4;
pub(super) const NANOSECONDS: usize = 8;
pub(super) const CAPTURED_LEN: usize = 12;
pub(super) const WIRE_LEN: usize = 16;
pub(super) const STATUS: usize = 20;
pub(super) const MAC_OFFSET: usize = 24;
pub(super) const VLAN_TCI: usize = 32;
pub(super) const VLAN_TPID: usize = 36;
/// Length of `struct tpacket3_hdr`, which a `struct sockaddr_ll` of 20 bytes follows.
const HEADER_LEN: usize = 48;
/// Offsets in `struct sockaddr_ll`.
const PROTOCOL: usize = HEADER_LEN + 2;
const HARDWARE_TYPE: usize = HEADER_LEN + 8;
pub(super) const PACKET_TYPE: usize = HEADER_LEN + 10;
const ADDRESS_SIZE: usize = HEADER_LEN + 11;
const ADDRESS: usize = HEADER_LEN + 12;
/// Length of both.
const HEADERS_LEN: usize = HEADER_LEN + 20;

/// `TP_STATUS_VLAN_VALID` and `TP_STATUS_VLAN_TPID_VALID`.
pub(super) const VLAN_VALID: u32 = 1 << 4;
const VLAN_TPID_VALID: u32 = 1 << 6;
const ETHERTYPE_VLAN: u16 = 0x8100;
/// Bytes of an Ethernet header before its VLAN tag.
const VLAN_TAG_AT: usize = 12;
/// `PACKET_OUTGOING`.
pub(super) const OUTGOING: u8 = 4;

/// Room for a header before the bytes of any packet: the kernel's own, which has been read by then.
pub const ROOM_BEFORE: usize = 28;
/// Bytes behind a packet and its padding: up to there the kernel's header of the next one has been read.
pub const TRAILER_LEN: usize = 16;
const _: () = assert!(HEADERS_LEN >= ROOM_BEFORE);

/// Bytes between two blocks that are filled: the kernel leaves up to 52 behind a packet that is not cut, without a tag.
const MAX_GAP: usize = 64;

/// How far ahead bytes are prefetched: about as long as another processor's cache takes to deliver them.
const PREFETCH_DISTANCE: usize = 1024;
/// Longer packets, of which only headers are touched, are not prefetched whole.
const MAX_PREFETCHED: usize = 512;

/// What the kernel leaves out of a packet's bytes. It is inserted before them in the block, as libpcap does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Nothing.
    Nothing,
    /// The VLAN tag of an Ethernet frame.
    VlanTag,
    /// The header of LINKTYPE_LINUX_SLL, <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html>.
    CookedHeader,
}

/// How the packets of a block are read.
#[derive(Clone, Copy, Debug)]
pub struct BlockFormat {
    /// What may be left out of them.
    pub left_out: LeftOut,
    /// Bytes kept of each.
    pub snap_length: u32,
    /// Their directions.
    pub directions: InterfaceDirections,
}

/// A packet of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPacket {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Length on the wire, in bytes.
    pub wire_len: u32,
    /// Captured bytes.
    pub captured: u32,
    /// Its direction.
    pub direction: Direction,
    left_out: LeftOut,
    /// Offset of its header.
    header: u32,
    /// Offset of its bytes.
    pub(super) data: u32,
    /// Offset of the next header from its own, 0 in the last one.
    next: u32,
}

impl BlockPacket {
    /// Its bytes.
    #[inline]
    pub fn data<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        let data = self.data as usize;
        &block[data..data + self.captured as usize]
    }

    /// Lets `write` fill the bytes before it and those behind its padding: [`TRAILER_LEN`], or with `joins` all up to
    /// `room_end` if these are few. Returns the range of all; `None` where that would reach beyond `room_end`. Requires that
    /// it and the header of the packet behind it have been read.
    #[inline]
    pub fn enclose(
        &self,
        block: &mut [u8],
        room_end: usize,
        joins: bool,
        write: impl FnOnce(&mut [u8; ROOM_BEFORE], &mut [u8]),
    ) -> Option<Range<usize>> {
        let (data, captured) = (self.data as usize, self.captured as usize);
        let begin = data.checked_sub(ROOM_BEFORE)?;
        let padded = captured.next_multiple_of(4);
        let end = data + padded + TRAILER_LEN;
        let gap = room_end.checked_sub(end)?;
        let end = if joins && gap <= MAX_GAP && gap.is_multiple_of(4) { room_end } else { end };
        let (before, rest) = block.get_mut(begin..end)?.split_first_chunk_mut()?;
        // What is written behind overwrites what is no padding.
        rest[captured..captured + 4].fill(0);
        write(before, &mut rest[padded..]);
        Some(begin..end)
    }

    /// The packet behind it.
    #[inline]
    pub(super) fn behind(&self, block: &[u8], format: BlockFormat) -> Option<Self> {
        if self.next == 0 {
            return None;
        }
        packet_at(block, self.header as usize + self.next as usize, format)
    }

    /// Has the processor fetch the bytes of a later packet: the kernel wrote them on another one.
    #[inline]
    pub(super) fn prefetch_later(&self, block: &[u8]) {
        let len = self.next as usize;
        if len <= MAX_PREFETCHED {
            let begin = self.header as usize + PREFETCH_DISTANCE;
            prefetch(block, begin..begin + len);
        } else {
            // Packets of the same length mostly follow each other. Only their headers are touched here.
            let begin = self.header as usize + 2 * len;
            prefetch(block, begin..begin + HEADERS_LEN);
        }
    }

    /// Inserts what the kernel has left out, unless this is the packet whose header is at `completed`: the bytes would be
    /// moved twice.
    #[inline]
    pub(super) fn complete(&self, block: &mut [u8], completed: &mut u32) {
        if self.left_out != LeftOut::Nothing && *completed != self.header {
            *completed = self.header;
            self.insert(block);
        }
    }

    /// By value: a packet whose address is taken does not stay in registers.
    #[cold]
    fn insert(self, block: &mut [u8]) {
        let (before, data) = block.split_at_mut(self.data as usize);
        let header = &before[self.header as usize..];
        match self.left_out {
            LeftOut::Nothing => {}
            LeftOut::VlanTag => {
                let tag = vlan_tag(header);
                data.copy_within(tag.len()..tag.len() + VLAN_TAG_AT, 0);
                data[VLAN_TAG_AT..VLAN_TAG_AT + tag.len()].copy_from_slice(&tag);
            }
            LeftOut::CookedHeader => {
                let cooked = cooked_header(header);
                data[..cooked.len()].copy_from_slice(&cooked);
            }
        }
    }
}

impl LeftOut {
    #[inline]
    fn len(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::VlanTag => 4,
            Self::CookedHeader => 16,
        }
    }
}

/// The packet whose header is at `at`; `None` if it is not within the block.
#[inline]
pub(super) fn packet_at(block: &[u8], at: usize, format: BlockFormat) -> Option<BlockPacket> {
    let header: &[u8; HEADERS_LEN] = block.get(at..)?.first_chunk()?;
    let word = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let captured = word(CAPTURED_LEN) as usize;
    let is_tagged = word(VLAN_TCI) != 0 || word(STATUS) & VLAN_VALID != 0;
    let has_left_out = match format.left_out {
        LeftOut::Nothing => false,
        LeftOut::VlanTag => is_tagged && captured.min(format.snap_length as usize) >= VLAN_TAG_AT,
        LeftOut::CookedHeader => true,
    };
    let left_out = if has_left_out { format.left_out } else { LeftOut::Nothing };
    let kernel_data = at + usize::from(u16::from_ne_bytes([header[MAC_OFFSET], header[MAC_OFFSET + 1]]));
    let data = kernel_data.checked_sub(left_out.len())?;
    if data < at + HEADERS_LEN || kernel_data.checked_add(captured)? > block.len() {
        return None;
    }
    // The kernel has cut the packet without what it left out, and not at all before the filter was installed.
    let captured = (captured + left_out.len()).min(format.snap_length as usize);
    let is_outgoing = header[PACKET_TYPE] == OUTGOING;
    let short = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Some(BlockPacket {
        time: u64::from(word(SECONDS)) * 1_000_000_000 + u64::from(word(NANOSECONDS)),
        wire_len: word(WIRE_LEN).saturating_add(short(left_out.len())),
        captured: short(captured),
        direction: if is_outgoing { format.directions.outgoing } else { format.directions.incoming },
        left_out,
        header: u32::try_from(at).ok()?,
        data: u32::try_from(data).ok()?,
        next: word(NEXT_OFFSET),
    })
}

/// The VLAN tag in the kernel's header, as on the wire.
fn vlan_tag(header: &[u8]) -> [u8; 4] {
    let word = |at: usize| u32_at(header, at).unwrap_or_default();
    let protocol = u16::from_ne_bytes([header[VLAN_TPID], header[VLAN_TPID + 1]]);
    let is_known = protocol != 0 || word(STATUS) & VLAN_TPID_VALID != 0;
    let protocol = if is_known { protocol } else { ETHERTYPE_VLAN };
    let ([a, b], [_, _, c, d]) = (protocol.to_be_bytes(), word(VLAN_TCI).to_be_bytes());
    [a, b, c, d]
}

/// The header of LINKTYPE_LINUX_SLL, of what stands in the kernel's header.
fn cooked_header(header: &[u8]) -> [u8; 16] {
    let mut cooked = [0; 16];
    cooked[1] = header[PACKET_TYPE];
    let hardware_type = u16::from_ne_bytes([header[HARDWARE_TYPE], header[HARDWARE_TYPE + 1]]);
    cooked[2..4].copy_from_slice(&hardware_type.to_be_bytes());
    cooked[5] = header[ADDRESS_SIZE];
    cooked[6..14].copy_from_slice(&header[ADDRESS..ADDRESS + 8]);
    // In network byte order already.
    cooked[14..16].copy_from_slice(&header[PROTOCOL..PROTOCOL + 2]);
    cooked
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}
