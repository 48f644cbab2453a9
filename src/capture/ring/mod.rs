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
mod socket;

use std::ffi::c_int;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::libc::{ENETDOWN, ETH_P_ALL};
use socket2::{SockRef, Type};

pub use block::{BlockPacket, BlockReader, ROOM_BEFORE, TRAILER_LEN};
use memory::{HeldBlock, RingMemory};
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
pub(in crate::capture) struct RingBlock {
    held: HeldBlock,
    reader: BlockReader,
    /// The packets in order of time, the next one last, once they have been sorted.
    sorted: Option<Vec<BlockPacket>>,
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

    /// Takes the next block, if the kernel has handed it over.
    pub(super) fn take(&mut self) -> NextBlock {
        if let Some(held) = self.memory.take(self.next) {
            self.next = (self.next + 1) % self.memory.blocks();
            let reader = BlockReader::new(held.bytes());
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
    /// Sorts the packets by time: processors hand them over in slightly another order.
    pub(in crate::capture) fn sort(&mut self) {
        let mut packets: Vec<BlockPacket> = self.packets().collect();
        packets.reverse();
        packets.sort_by_key(|packet| std::cmp::Reverse(packet.time));
        self.sorted = Some(packets);
    }

    /// The next packet.
    #[inline]
    pub(in crate::capture) fn head(&self) -> Option<&BlockPacket> {
        match &self.sorted {
            Some(packets) => packets.last(),
            None => self.reader.head(),
        }
    }

    /// Takes the next packet.
    #[inline]
    pub(in crate::capture) fn next(&mut self) -> Option<BlockPacket> {
        match &mut self.sorted {
            Some(packets) => packets.pop(),
            None => self.reader.next(self.held.bytes()),
        }
    }

    /// The packets not taken yet.
    pub(in crate::capture) fn packets(&self) -> impl Iterator<Item = BlockPacket> {
        let mut reader = self.reader.clone();
        let sorted = self.sorted.as_ref().map(|packets| packets.iter().rev().copied());
        let in_ring = std::iter::from_fn(move || reader.next(self.held.bytes()));
        let in_ring = in_ring.take(if sorted.is_some() { 0 } else { usize::MAX });
        sorted.into_iter().flatten().chain(in_ring)
    }

    /// Marks bytes of it as lent: from now on it is only given back by [`RingBlock::give_back`].
    pub(in crate::capture) fn mark_lent(&mut self) {
        self.held.is_lent = true;
    }

    /// Whether bytes of it have been lent.
    pub(in crate::capture) fn is_lent(&self) -> bool {
        self.held.is_lent
    }

    /// Gives it back.
    pub(in crate::capture) fn give_back(mut self) {
        self.held.is_lent = false;
    }

    /// Packets not taken yet, as the kernel counted them.
    pub(in crate::capture) fn remaining(&self) -> u64 {
        self.sorted.as_ref().map_or_else(|| self.reader.remaining(), |packets| packets.len() as u64)
    }

    /// Time of the last packet, in nanoseconds since the epoch.
    pub(in crate::capture) fn last_time(&self) -> u64 {
        self.reader.last_time()
    }

    /// Used bytes.
    pub(in crate::capture) fn used(&self) -> usize {
        self.reader.used()
    }

    /// Its memory, which the ranges of [`RingBlock::enclose_next`] refer to.
    pub(in crate::capture) fn bytes(&self) -> &[u8] {
        self.held.bytes()
    }

    /// Takes the next packet, and writes `header` before its first `captured` bytes, and padding to 4 bytes and `trailer`
    /// behind them. Returns the range of all; `None`, without taking it, where there is no room.
    #[inline]
    pub(in crate::capture) fn enclose_next(
        &mut self,
        captured: usize,
        header: &[u8; ROOM_BEFORE],
        trailer: &[u8; TRAILER_LEN],
    ) -> Option<Range<usize>> {
        let before = if self.sorted.is_none() { Some(self.reader.clone()) } else { None };
        let packet = self.next()?;
        let range = packet.enclose(self.held.bytes_mut(), captured, header, trailer);
        if range.is_none() {
            match (before, &mut self.sorted) {
                (Some(reader), _) => self.reader = reader,
                (None, Some(packets)) => packets.push(packet),
                (None, None) => {}
            }
        }
        range
    }
}

/// Length and number of the blocks of a ring of `ring_kib` KiB: at least two.
pub(super) fn geometry(ring_kib: u32) -> (usize, usize) {
    let ring_kib = ring_kib as usize;
    let block_len = if ring_kib >= LARGE_RING_KIB { BLOCK_LEN } else { SMALL_BLOCK_LEN };
    (block_len, (ring_kib * 1024 / block_len).max(2))
}
