//! Memory that is lent to a pipe (`vmsplice`), until its reader has read it.
//!
//! The pipe refers to our pages instead of copies. What has been lent must not change before it has been read; how much
//! that is, `FIONREAD` tells. A reader that copies (`read`) is required: one that passes pages on (`splice`, `tee`) keeps
//! them for longer.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;

use crate::capture::RingBlock;
use crate::peer::PeerBuffer;
use crate::session::pending::GatherBuffer;

/// Buffers kept for reuse.
const MAX_SPARE_BUFFERS: usize = 4;

/// What has been lent to a pipe.
#[derive(Default)]
pub(super) struct Lender {
    /// Bytes written to the pipe, lent or copied.
    position: u64,
    /// Those up to the last one that was lent.
    lent_until: u64,
    blocks: VecDeque<(u64, RingBlock)>,
    buffers: VecDeque<(u64, GatherBuffer)>,
    peer_buffers: VecDeque<(u64, PeerBuffer)>,
    read_peer_buffers: Vec<PeerBuffer>,
    spare: Vec<GatherBuffer>,
    /// Whether the kernel lends nothing to a pipe.
    is_refused: bool,
}

impl Lender {
    /// Records that bytes have been written, lent or copied.
    pub(super) fn record(&mut self, bytes: usize, is_lent: bool) {
        self.position += bytes as u64;
        if is_lent {
            self.lent_until = self.position;
        }
    }

    /// Whether memory can be lent.
    pub(super) fn lends(&self) -> bool {
        !self.is_refused
    }

    /// Records that the kernel refused to.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
    }

    /// Keeps a block until what has been lent of it has been read.
    pub(super) fn keep_block(&mut self, block: RingBlock) {
        self.blocks.push_back((self.lent_until, block));
    }

    /// Keeps memory of a peer likewise.
    pub(super) fn keep_peer_buffer(&mut self, buffer: PeerBuffer) {
        self.peer_buffers.push_back((self.lent_until, buffer));
    }

    /// Whether there is memory of peers that has not been read, or not been taken again.
    pub(super) fn has_peer_buffers(&self) -> bool {
        !self.peer_buffers.is_empty() || !self.read_peer_buffers.is_empty()
    }

    /// Takes the memory of peers that has been read.
    pub(super) fn take_read_peer_buffers(&mut self) -> Vec<PeerBuffer> {
        std::mem::take(&mut self.read_peer_buffers)
    }

    /// Keeps a buffer likewise, and puts an empty one in its place.
    ///
    /// Fails when memory is short.
    pub(super) fn exchange(&mut self, buffer: &mut GatherBuffer) -> io::Result<()> {
        let spare = self.spare.pop().map_or_else(GatherBuffer::new, Ok)?;
        self.buffers.push_back((self.lent_until, std::mem::replace(buffer, spare)));
        Ok(())
    }

    /// Whether a block has not been given back.
    pub(super) fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Whether everything that was lent has been read from `pipe`. Gives back what has been.
    pub(super) fn reclaim(&mut self, pipe: impl AsFd) -> bool {
        // What was to be lent, and was refused, waits too.
        let waits = !self.blocks.is_empty() || !self.buffers.is_empty() || !self.peer_buffers.is_empty();
        if self.lent_until == 0 && !waits {
            return true;
        }
        // If it cannot be known, nothing has been read.
        let unread = rustix::io::ioctl_fionread(pipe).unwrap_or(self.position);
        let read = self.position.saturating_sub(unread);
        while let Some((_, block)) = self.blocks.pop_front_if(|(until, _)| *until <= read) {
            block.give_back();
        }
        while let Some((_, mut buffer)) = self.buffers.pop_front_if(|(until, _)| *until <= read) {
            buffer.reset();
            if self.spare.len() < MAX_SPARE_BUFFERS {
                self.spare.push(buffer);
            }
        }
        while let Some((_, buffer)) = self.peer_buffers.pop_front_if(|(until, _)| *until <= read) {
            self.read_peer_buffers.push(buffer);
        }
        self.lent_until <= read
    }
}
