//! The blocks to write next: packets where they stand in memory, and small ones gathered.

use std::io;
use std::ops::Range;

use memmap2::{Advice, MmapMut};

use crate::capture::{MAX_SNAP_LEN, RingBlock};
use crate::pcapng::{self, PacketFields};
use crate::peer::PeerBuffer;

/// Bytes of a gather buffer: a huge page, which is lent for less than 512 small ones.
const BUFFER_LEN: usize = 2 * 1024 * 1024;
/// Room for the longest packet.
const MAX_GATHERED: usize = pcapng::packet_block_length(MAX_SNAP_LEN as usize);
/// Bytes of blocks that are gathered: more are worth a write of their own.
const MAX_GATHERED_BLOCKS: usize = 16 * 1024;
const _: () = assert!(MAX_GATHERED_BLOCKS < MAX_GATHERED);
/// Bytes written at once: they fit into a pipe and the CPU cache.
const MAX_BYTES: usize = 512 * 1024;
/// Slices of one `writev` or `vmsplice` (`UIO_MAXIOV`, linux/uio.h).
pub(super) const MAX_SLICES: usize = 1024;

/// Blocks that are to be written, in order.
pub(super) struct PendingWrite {
    pub(super) buffer: GatherBuffer,
    pub(super) pieces: Vec<Piece>,
    pub(super) bytes: usize,
    pub(super) packets: u64,
    /// Captured bytes of these packets.
    pub(super) captured: u64,
    /// Whether packets that stand behind one another in a ring are made contiguous, which takes up to 52 bytes for each:
    /// where memory is lent.
    pub(super) joins_blocks: bool,
}

/// Contiguous blocks in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// In the gather buffer.
    Gathered(Range<usize>),
    /// In a batch of a queue.
    Queued { queue: usize, batch: usize, bytes: Range<usize> },
}

/// Memory of a queue whose packets have been taken.
pub(super) enum TakenMemory {
    /// Of a ring.
    Ring(RingBlock),
    /// Of a peer, which was lent.
    Peer(PeerBuffer),
}

/// Memory in pages of its own, which can be lent to a pipe. Once unmapped, its pages stay with the pipe until they are read.
pub(super) struct GatherBuffer {
    memory: MmapMut,
    /// Used bytes.
    len: usize,
    /// Whether some of them have been lent.
    pub(super) is_lent: bool,
}

impl PendingWrite {
    pub(super) fn new() -> io::Result<Self> {
        let buffer = GatherBuffer::new()?;
        Ok(Self {
            buffer,
            pieces: Vec::with_capacity(MAX_SLICES),
            bytes: 0,
            packets: 0,
            captured: 0,
            joins_blocks: false,
        })
    }

    /// Whether it is to be written before another packet is added.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES || self.pieces.len() + 1 >= MAX_SLICES || self.buffer.is_full()
    }

    /// Adds a packet, gathered. Requires that it is not full.
    #[inline]
    pub(super) fn gather(&mut self, fields: &PacketFields, data: &[u8]) {
        let begin = self.buffer.len;
        self.buffer.append(fields, data);
        self.add_gathered(begin);
    }

    /// Adds blocks, gathered, if they are few and there is room. Returns whether that was so.
    pub(super) fn gather_blocks(&mut self, blocks: &[u8]) -> bool {
        let begin = self.buffer.len;
        if blocks.len() > MAX_GATHERED_BLOCKS || self.pieces.len() >= MAX_SLICES || self.buffer.is_full() {
            return false;
        }
        self.buffer.append_bytes(blocks);
        self.add_gathered(begin);
        true
    }

    #[inline]
    fn add_gathered(&mut self, begin: usize) {
        let end = self.buffer.len;
        self.bytes += end - begin;
        match self.pieces.last_mut() {
            Some(Piece::Gathered(range)) if range.end == begin => range.end = end,
            _ => self.pieces.push(Piece::Gathered(begin..end)),
        }
    }

    /// Adds a block in a batch of a queue.
    #[inline]
    pub(super) fn add_queued(&mut self, queue: usize, batch: usize, bytes: Range<usize>) {
        self.bytes += bytes.len();
        match self.pieces.last_mut() {
            Some(Piece::Queued { queue: last_queue, batch: last_batch, bytes: last })
                if (*last_queue, *last_batch, last.end) == (queue, batch, bytes.start) =>
            {
                last.end = bytes.end;
            }
            _ => self.pieces.push(Piece::Queued { queue, batch, bytes }),
        }
    }

    /// Forgets what has been written. Bytes of the buffer that are lent stay as they are.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        (self.bytes, self.packets, self.captured) = (0, 0, 0);
        if !self.buffer.is_lent {
            self.buffer.len = 0;
        }
    }
}

impl GatherBuffer {
    /// Fails when memory is short.
    pub(super) fn new() -> io::Result<Self> {
        let memory = MmapMut::map_anon(BUFFER_LEN)?;
        // Where there are none, small pages do.
        let _ = memory.advise(Advice::HugePage);
        Ok(Self { memory, len: 0, is_lent: false })
    }

    /// Makes it empty, once what was lent of it has been read.
    pub(super) fn reset(&mut self) {
        (self.len, self.is_lent) = (0, false);
    }

    pub(super) fn is_full(&self) -> bool {
        BUFFER_LEN - self.len < MAX_GATHERED
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.memory[range]
    }

    fn append_bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.memory[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    #[inline]
    fn append(&mut self, fields: &PacketFields, data: &[u8]) {
        let end = self.len + pcapng::packet_block_length(data.len());
        fields.write_block(data, &mut self.memory[self.len..end]);
        self.len = end;
    }
}
