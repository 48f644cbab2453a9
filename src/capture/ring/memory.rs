//! The memory of a ring, which the kernel writes to, and its blocks while they are ours.
//!
//! A block belongs to the kernel until its status word is `TP_STATUS_USER`, and to us until we write
//! `TP_STATUS_KERNEL` (Documentation/networking/packet_mmap.rst).

#![expect(unsafe_code, reason = "memory that is shared with the kernel")]

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use socket2::Socket;

use super::block::BYTES_OFFSET;

/// Offset of `block_status` in `struct tpacket_block_desc`.
const STATUS_OFFSET: usize = 8;
const _: () = assert!(STATUS_OFFSET + 4 == BYTES_OFFSET);
const STATUS_KERNEL: u32 = 0;
const STATUS_USER: u32 = 1;

/// The mapped memory of a ring, with its socket.
pub(super) struct RingMemory {
    map: MmapRaw,
    socket: Socket,
    block_len: usize,
    /// For each block, whether a [`HeldBlock`] of it exists.
    is_held: Box<[AtomicBool]>,
}

impl RingMemory {
    /// Maps the ring of `socket`, of `blocks` blocks of `block_len` bytes, a multiple of the page size.
    ///
    /// Fails when memory is short.
    pub(super) fn map(socket: Socket, block_len: usize, blocks: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(block_len * blocks).map_raw(&socket)?;
        Ok(Self { map, socket, block_len, is_held: (0..blocks).map(|_| AtomicBool::new(false)).collect() })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn blocks(&self) -> usize {
        self.is_held.len()
    }

    /// Takes a block, if the kernel has handed it over and nobody holds it.
    pub(super) fn take(self: &Arc<Self>, block: usize) -> Option<HeldBlock> {
        let is_held = self.is_held.get(block)?;
        if self.status(block)?.load(Ordering::Acquire) & STATUS_USER == 0 {
            return None;
        }
        let was_held = is_held.swap(true, Ordering::Acquire);
        (!was_held).then(|| HeldBlock { memory: Arc::clone(self), block, is_lent: false })
    }

    fn status(&self, block: usize) -> Option<&AtomicU32> {
        (block < self.blocks()).then(|| {
            // SAFETY: within the map, which lives as long as `self` and is aligned to pages, as blocks are. Besides the
            // kernel, only atomic accesses are made to this word: `HeldBlock` leaves it out.
            unsafe {
                AtomicU32::from_ptr(self.map.as_mut_ptr().add(block * self.block_len + STATUS_OFFSET).cast())
            }
        })
    }
}

/// Bytes of a line of the processor's cache.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// Has the processor fetch a range of `bytes` into its cache, where there is an instruction for it.
#[inline]
pub(super) fn prefetch(bytes: &[u8], range: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.get(range).unwrap_or_default().chunks(CACHE_LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is within `bytes`, and the instruction changes nothing but the cache.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, range);
}

/// A block that is ours until it is dropped, and for as long as the ring exists if it is lent then.
pub(super) struct HeldBlock {
    memory: Arc<RingMemory>,
    block: usize,
    /// Whether a pipe refers to its pages.
    pub(super) is_lent: bool,
}

impl HeldBlock {
    /// The bytes behind the status word.
    pub(super) fn bytes(&self) -> &[u8] {
        let (begin, len) = self.range();
        // SAFETY: within the map, which `memory` keeps. The kernel does not write to a block whose status is
        // `TP_STATUS_USER`, `is_held` lets only one `HeldBlock` of it exist, and `&self` excludes `bytes_mut`.
        unsafe { std::slice::from_raw_parts(begin, len) }
    }

    /// The same, to write to.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let (begin, len) = self.range();
        // SAFETY: as in `bytes`; `&mut self` excludes every other reference.
        unsafe { std::slice::from_raw_parts_mut(begin, len) }
    }

    fn range(&self) -> (*mut u8, usize) {
        let RingMemory { map, block_len, .. } = &*self.memory;
        // SAFETY: `take` made sure that the block is within the map.
        let begin = unsafe { map.as_mut_ptr().add(self.block * block_len + BYTES_OFFSET) };
        (begin, block_len - BYTES_OFFSET)
    }
}

impl Drop for HeldBlock {
    fn drop(&mut self) {
        // The kernel must not write to pages that a pipe refers to. Once the ring is gone, they belong to the pipe.
        if self.is_lent {
            return;
        }
        // Before the kernel can hand it over again.
        self.memory.is_held[self.block].store(false, Ordering::Release);
        if let Some(status) = self.memory.status(self.block) {
            status.store(STATUS_KERNEL, Ordering::Release);
        }
    }
}
