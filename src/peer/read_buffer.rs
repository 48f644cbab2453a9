//! The buffered part of a stream: filled by large reads, parsed in place.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use memmap2::MmapMut;

use super::ProtocolError;
use super::block::{self, MAX_BLOCK_LEN};
use crate::peer::compression::Decompressor;

/// Bytes of a buffer: more than a socket holds (`net.core.wmem_default` is 208 KiB), and more than the longest block.
const BUFFER_LEN: usize = 512 * 1024;
const _: () = assert!(BUFFER_LEN >= MAX_BLOCK_LEN);

/// The memory of a buffer, in pages of its own, which can be lent to a pipe.
pub type PeerBuffer = MmapMut;

/// A buffer of 512 KiB.
///
/// Fails when memory is short.
pub fn new_buffer() -> io::Result<PeerBuffer> {
    MmapMut::map_anon(BUFFER_LEN)
}

/// A buffer of [`BUFFER_LEN`] bytes and the position in it.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: PeerBuffer,
    start: usize,
    end: usize,
    encoding: StreamEncoding,
}

/// How the stream is encoded.
#[derive(Debug)]
enum StreamEncoding {
    Plain,
    /// Known from its first bytes.
    Undetected,
    Compressed(Box<Decompressor>),
}

/// The outcome of a read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FillOutcome {
    Filled,
    /// No data for now. `received`: a part of a compressed chunk has arrived.
    Pending {
        received: bool,
    },
    End,
}

impl ReadBuffer {
    /// With `may_be_compressed` the encoding is detected.
    ///
    /// Fails when memory is short.
    pub(super) fn new(may_be_compressed: bool) -> io::Result<Self> {
        let encoding = if may_be_compressed { StreamEncoding::Undetected } else { StreamEncoding::Plain };
        Ok(Self { bytes: new_buffer()?, start: 0, end: 0, encoding })
    }

    /// The next block, once all of it is buffered.
    #[inline]
    pub(super) fn block(&self) -> Result<Option<&[u8]>, ProtocolError> {
        let buffered = &self.bytes[self.start..self.end];
        match block::length(buffered)? {
            Some(length) => buffered.get(..length).map(block::check_trailing_length).transpose(),
            None => Ok(None),
        }
    }

    /// Offset of the next block in the memory that [`ReadBuffer::exchange`] returns.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        self.start
    }

    /// Replaces the number of the interface in the next block, a packet of `captured` bytes, and clears its padding.
    #[inline]
    pub(super) fn renumber_packet(&mut self, interface: u32, captured: usize) {
        let block = &mut self.bytes[self.start..self.end];
        if let Some(field) = block.get_mut(block::INTERFACE_NUMBER) {
            field.copy_from_slice(&interface.to_le_bytes());
        }
        if let Some(padding) = block.get_mut(block::padding(captured)) {
            padding.fill(0);
        }
    }

    /// The bytes of the blocks that were removed, until the next call of [`ReadBuffer::fill`].
    pub(super) fn removed(&self) -> &[u8] {
        &self.bytes[..self.start]
    }

    /// Returns the memory of the blocks that were removed, and goes on in `spare`.
    pub(super) fn exchange(&mut self, mut spare: PeerBuffer) -> PeerBuffer {
        let rest = &self.bytes[self.start..self.end];
        spare[..rest.len()].copy_from_slice(rest);
        (self.start, self.end) = (0, rest.len());
        std::mem::replace(&mut self.bytes, spare)
    }

    /// Removes `length` bytes, those of the last block.
    #[inline]
    pub(super) fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
    }

    /// Reads more of the stream.
    pub(super) fn fill(&mut self, stream: &UnixStream) -> Result<FillOutcome, ProtocolError> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        match self.read(stream) {
            Ok(0) => Ok(FillOutcome::End),
            Ok(count) => {
                self.end += count;
                Ok(FillOutcome::Filled)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    let received = match &mut self.encoding {
                        StreamEncoding::Compressed(decompressor) => decompressor.take_received(),
                        StreamEncoding::Plain | StreamEncoding::Undetected => false,
                    };
                    Ok(FillOutcome::Pending { received })
                }
                io::ErrorKind::ConnectionReset => Ok(FillOutcome::End),
                io::ErrorKind::InvalidData => Err(ProtocolError(error.to_string())),
                _ => Err(ProtocolError::connection(&error)),
            },
        }
    }

    fn read(&mut self, mut stream: &UnixStream) -> io::Result<usize> {
        if let StreamEncoding::Undetected = self.encoding
            && let Some(first) = self.bytes[..self.end].first_chunk::<4>()
        {
            if Decompressor::recognizes(*first) {
                self.encoding = StreamEncoding::Compressed(Box::new(Decompressor::new(*first)?));
                self.end = 0;
            } else {
                self.encoding = StreamEncoding::Plain;
            }
        }
        let free = &mut self.bytes[self.end..];
        match &mut self.encoding {
            StreamEncoding::Plain => stream.read(free),
            StreamEncoding::Undetected => stream.read(&mut free[..4 - self.end]),
            StreamEncoding::Compressed(decompressor) => decompressor.read(&mut stream, free),
        }
    }

    /// Whether the input ends after a whole block.
    pub(super) fn is_empty(&self) -> bool {
        let is_complete = !matches!(&self.encoding, StreamEncoding::Compressed(decompressor) if !decompressor.is_complete());
        self.start == self.end && is_complete
    }
}
