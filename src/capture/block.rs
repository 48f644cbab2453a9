//! The packets of a block, as the container's end of the link shows them.

use std::ops::Range;

use pcap::Linktype;

use super::filter::{self, VethSide};
use super::ring::{BlockPacket, ROOM_BEFORE, RingBlock, TRAILER_LEN};

/// Bytes of an Ethernet header before its VLAN tag.
const VLAN_TAG_AT: usize = 12;

/// The direction of a packet, from the container's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the container.
    Inbound,
    /// From the container.
    Outbound,
    /// From the container to itself.
    Within,
}

/// How the packets of a ring are to be understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketFormat {
    pub(super) link_type: Linktype,
    pub(super) side: VethSide,
    pub(super) is_loopback: bool,
    pub(super) snap_length: u32,
}

/// A block of a ring. Dropping it gives it back to the kernel, which then overwrites it, unless bytes of it have been lent.
pub struct CapturedBlock {
    block: RingBlock,
    format: PacketFormat,
}

/// A packet of a block.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Length on the wire, in bytes.
    pub wire_len: u32,
    /// Captured bytes.
    pub captured: usize,
    /// Its direction.
    pub direction: Direction,
    inserted: Inserted,
    packet: BlockPacket,
}

/// Bytes of a packet that do not stand before or in it in the ring.
#[derive(Clone, Copy, Debug)]
enum Inserted {
    Nothing,
    VlanTag([u8; 4]),
    CookedHeader([u8; 16]),
}

/// The bytes of a packet, in three parts.
#[derive(Clone, Copy, Debug)]
pub struct PacketBytes<'a>(pub [&'a [u8]; 3]);

impl CapturedBlock {
    pub(super) fn new(block: RingBlock, format: PacketFormat) -> Self {
        Self { block, format }
    }

    /// Sorts the packets by time, for a capture of several rings.
    pub fn sort(&mut self) {
        self.block.sort();
    }

    /// The next packet.
    #[inline]
    pub fn head(&self) -> Option<CapturedPacket> {
        self.block.head().map(|packet| self.understood(*packet))
    }

    /// Takes the next packet.
    pub fn skip(&mut self) {
        self.block.next();
    }

    /// The packets not taken yet.
    pub fn packets(&self) -> impl Iterator<Item = CapturedPacket> {
        self.block.packets().map(|packet| self.understood(packet))
    }

    /// The bytes of a packet that has not been taken.
    #[inline]
    pub fn packet_bytes<'a>(&'a self, packet: &'a CapturedPacket) -> PacketBytes<'a> {
        let data = packet.packet.data(self.block.bytes());
        match &packet.inserted {
            Inserted::Nothing => PacketBytes([&data[..packet.captured], &[], &[]]),
            Inserted::VlanTag(tag) => {
                let (addresses, rest) = data.split_at(VLAN_TAG_AT);
                let behind = packet.captured.saturating_sub(VLAN_TAG_AT);
                let tag = &tag[..behind.min(tag.len())];
                PacketBytes([addresses, tag, &rest[..behind - tag.len()]])
            }
            Inserted::CookedHeader(header) => {
                let header = &header[..packet.captured.min(header.len())];
                PacketBytes([header, &data[..packet.captured - header.len()], &[]])
            }
        }
    }

    /// Takes the next packet, which is `packet`, and writes `header` before its bytes and `trailer` behind them. Returns
    /// the range of all in [`CapturedBlock::bytes`]; `None`, without taking it, where there is no room.
    #[inline]
    pub fn enclose(
        &mut self,
        packet: &CapturedPacket,
        header: &[u8; ROOM_BEFORE],
        trailer: &[u8; TRAILER_LEN],
    ) -> Option<Range<usize>> {
        if !matches!(packet.inserted, Inserted::Nothing) {
            return None;
        }
        self.block.enclose_next(packet.captured, header, trailer)
    }

    /// Marks bytes of it as lent: from now on it is only given back by [`CapturedBlock::give_back`].
    pub fn mark_lent(&mut self) {
        self.block.mark_lent();
    }

    /// Whether bytes of it have been lent.
    pub fn is_lent(&self) -> bool {
        self.block.is_lent()
    }

    /// Gives it back, once what has been lent of it has been read.
    pub fn give_back(self) {
        self.block.give_back();
    }

    /// Time of the last packet, in nanoseconds since the epoch.
    pub fn last_time(&self) -> u64 {
        self.block.last_time()
    }

    /// Used bytes.
    pub fn used(&self) -> usize {
        self.block.used()
    }

    /// Its memory.
    pub fn bytes(&self) -> &[u8] {
        self.block.bytes()
    }

    #[inline]
    fn understood(&self, packet: BlockPacket) -> CapturedPacket {
        let PacketFormat { link_type, side, is_loopback, snap_length } = self.format;
        let direction = match (is_loopback, packet.is_outgoing, side) {
            (true, ..) => Direction::Within,
            // Outgoing at the host veth is inbound for the container.
            (_, true, VethSide::Host) | (_, false, VethSide::Container) => Direction::Inbound,
            (_, false, VethSide::Host) | (_, true, VethSide::Container) => Direction::Outbound,
        };
        let inserted = match packet.vlan_tag {
            Some(tag)
                if link_type == Linktype::ETHERNET
                    && packet.captured().min(snap_length as usize) >= VLAN_TAG_AT =>
            {
                Inserted::VlanTag(tag)
            }
            _ if filter::is_cooked(link_type) => {
                Inserted::CookedHeader(packet.cooked_header(self.block.bytes()))
            }
            _ => Inserted::Nothing,
        };
        let added = inserted.len();
        // The kernel has cut the packet without these; and not at all before the filter was installed.
        let captured = (packet.captured() + added).min(snap_length as usize);
        CapturedPacket {
            time: packet.time,
            wire_len: packet.wire_len.saturating_add(u32::try_from(added).unwrap_or_default()),
            captured,
            direction,
            inserted,
            packet,
        }
    }
}

impl Inserted {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::VlanTag(tag) => tag.len(),
            Self::CookedHeader(header) => header.len(),
        }
    }
}
