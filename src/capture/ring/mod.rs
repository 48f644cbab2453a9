//! A ring of the kernel that captures one interface (TPACKET_V3, linux/if_packet.h).
//!
//! ```text
//! kernel ──> block ──> taken ──> written to the output ──> given back
//! ```
//!
//! A block is handed over when it is full, or at the block timeout; it is given back when it is dropped. The only module
//! with unsafe code: the ring's memory is shared with the kernel, and its socket options are in no library.

mod block;
mod memory;
mod packet;
mod socket;

use std::ffi::c_int;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::libc::{ENETDOWN, ETH_P_ALL};
use socket2::{SockRef, Type};

pub use block::BlockReader;
use memory::{HeldBlock, RingMemory};
pub use packet::{BlockFormat, BlockPacket, LeftOut, ROOM_BEFORE, TRAILER_LEN};
pub(super) use socket::{NO_PROTOCOL, bind, interface};

/// Blocks of a ring of at least [`LARGE_RING_KIB`], in bytes. Smaller ones cost 10 % with large packets.
const BLOCK_LEN: usize = 1024 * 1024;
const LARGE_RING_KIB: usize = 8 * 1024;
/// Blocks of a smaller ring. A packet larger than a block is cut: those of BIG TCP have up to 512 KiB.
const SMALL_BLOCK_LEN: usize = 256 * 1024;

/// Whether link-layer headers are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkHeader {
    Captured,
    /// Left out by the kernel, as libpcap wants it for LINKTYPE_LINUX_SLL.
    Cooked,
}

/// A ring and the position in it.
pub(super) struct PacketRing {
    memory: Arc<RingMemory>,
    /// The block that the kernel hands over next.
    next: usize,
    interface: Option<c_int>,
    /// Whether the interface went down, and may be gone.
    is_down: bool,
}

/// A block of packets. Dropping it gives it back to the kernel, which then overwrites it, unless bytes of it have been lent.
pub struct RingBlock {
    held: HeldBlock,
    reader: BlockReader,
    /// The packets in order of time, the next one last, if the ring has another order. Each comes with the offset up to
    /// which may be written behind it.
    sorted: Option<Vec<(BlockPacket, usize)>>,
}

/// Whether there was a block.
pub(super) enum NextBlock {
    Block(RingBlock),
    Nothing,
    /// The interface is gone.
    Gone,
}

impl PacketRing {
    /// Creates a ring of `ring_kib` KiB, which captures nothing yet. Needs `CAP_NET_RAW`.
    ///
    /// Fails without that capability or memory, and where the kernel has no such rings.
    pub(super) fn create(header: LinkHeader, ring_kib: u32, block_timeout: Duration) -> io::Result<Self> {
        let kind = if header == LinkHeader::Cooked { Type::DGRAM } else { Type::RAW };
        let (block_len, blocks) = geometry(ring_kib);
        let socket = socket::open(kind, block_len, blocks, block_timeout)?;
        let memory = Arc::new(RingMemory::map(socket, block_len, blocks)?);
        Ok(Self { memory, next: 0, interface: None, is_down: false })
    }

    /// Begins to capture the interface with this index.
    ///
    /// Fails when it is gone.
    pub(super) fn capture(&mut self, interface: c_int) -> io::Result<()> {
        socket::bind(&self.as_fd(), interface, u16::try_from(ETH_P_ALL).unwrap_or_default())?;
        self.interface = Some(interface);
        Ok(())
    }

    /// Takes the next block, if the kernel has handed it over. Its packets are read as `format` says.
    pub(super) fn take(&mut self, format: BlockFormat) -> NextBlock {
        if let Some(mut held) = self.memory.take(self.next) {
            self.next = (self.next + 1) % self.memory.blocks();
            let reader = BlockReader::new(held.bytes_mut(), format);
            return NextBlock::Block(RingBlock { held, reader, sorted: None });
        }
        // Reported once. The interface may come up again, or be gone only a moment later.
        let error = SockRef::from(&self.as_fd()).take_error().ok().flatten();
        self.is_down |= error.is_some_and(|error| error.raw_os_error() == Some(ENETDOWN));
        if self.is_down && socket::interface(&self.as_fd()) != self.interface {
            NextBlock::Gone
        } else {
            NextBlock::Nothing
        }
    }

    /// Whether the interface went down: that it is gone is then not signalled any more.
    pub(super) fn is_down(&self) -> bool {
        self.is_down
    }

    /// Blocks of the ring.
    pub(super) fn blocks(&self) -> usize {
        self.memory.blocks()
    }

    /// Packets that passed the filter, and those of them that were dropped, since the last call.
    pub(super) fn take_counts(&self) -> io::Result<(u32, u32)> {
        socket::take_counts(&self.as_fd())
    }
}

impl AsFd for PacketRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.socket().as_fd()
    }
}

impl RingBlock {
    /// Puts the packets in order of time: processors hand them over in slightly another one.
    pub fn sort(&mut self) {
        let packets = self.reader.packets(self.held.bytes());
        if self.sorted.is_some() || packets.is_sorted_by_key(|packet| packet.time) {
            return;
        }
        let mut packets = self.reader.take_all(self.held.bytes_mut());
        packets.reverse();
        packets.sort_by_key(|(packet, _)| std::cmp::Reverse(packet.time));
        self.sorted = Some(packets);
    }

    /// The next packet.
    #[inline]
    pub fn head(&self) -> Option<&BlockPacket> {
        match &self.sorted {
            None => self.reader.head(),
            Some(packets) => packets.last().map(|(packet, _)| packet),
        }
    }

    /// The bytes of a packet that has not been taken.
    #[inline]
    pub fn data(&self, packet: &BlockPacket) -> &[u8] {
        packet.data(self.held.bytes())
    }

    /// Takes the next packet.
    #[inline]
    pub fn skip(&mut self) {
        match &mut self.sorted {
            None => self.reader.skip(self.held.bytes_mut()),
            Some(packets) => drop(packets.pop()),
        }
    }

    /// Takes the next packet, and lets `write` fill the bytes before it and those behind its padding: at least
    /// [`TRAILER_LEN`], or all up to the next one if that has at least `joined_len` captured bytes, so that both are
    /// contiguous. Returns the range of all in [`RingBlock::bytes`]; `None`, without taking it, where there is no room.
    #[inline]
    pub fn enclose(
        &mut self,
        joined_len: u32,
        write: impl FnOnce(&mut [u8; ROOM_BEFORE], &mut [u8]),
    ) -> Option<Range<usize>> {
        let bytes = self.held.bytes_mut();
        let Some(packets) = &mut self.sorted else { return self.reader.enclose(bytes, joined_len, write) };
        let (packet, room_end) = packets.last()?;
        let range = packet.enclose(bytes, *room_end, false, write)?;
        packets.pop();
        Some(range)
    }

    /// The packets not taken yet.
    pub fn packets(&self) -> impl Iterator<Item = BlockPacket> {
        let sorted = self.sorted.iter().flat_map(|packets| packets.iter().rev().map(|(packet, _)| *packet));
        // It has none once they have been sorted.
        sorted.chain(self.reader.packets(self.held.bytes()))
    }

    /// Marks bytes of it as lent: from now on it is only given back by [`RingBlock::give_back`].
    pub fn mark_lent(&mut self) {
        self.held.is_lent = true;
    }

    /// Whether bytes of it have been lent.
    pub fn is_lent(&self) -> bool {
        self.held.is_lent
    }

    /// Gives it back, once what has been lent of it has been read.
    pub fn give_back(mut self) {
        self.held.is_lent = false;
    }

    /// Packets not taken yet, as the kernel counted them.
    pub(in crate::capture) fn remaining(&self) -> u64 {
        self.sorted.as_ref().map_or_else(|| self.reader.remaining(), |packets| packets.len() as u64)
    }

    /// Time of the last packet, in nanoseconds since the epoch.
    pub fn last_time(&self) -> u64 {
        self.reader.last_time()
    }

    /// Used bytes.
    pub fn used(&self) -> usize {
        self.reader.used()
    }

    /// Its memory.
    pub fn bytes(&self) -> &[u8] {
        self.held.bytes()
    }
}

/// Length and number of the blocks of a ring of `ring_kib` KiB: at least two.
pub(super) fn geometry(ring_kib: u32) -> (usize, usize) {
    let ring_kib = ring_kib as usize;
    let block_len = if ring_kib >= LARGE_RING_KIB { BLOCK_LEN } else { SMALL_BLOCK_LEN };
    (block_len, (ring_kib * 1024 / block_len).max(2))
}
