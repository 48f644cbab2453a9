//! The part of a stream that is in memory: read in large pieces, looked at where it lies.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use super::Defect;
use super::block::{self, LONGEST_BLOCK};
use crate::peer::compression::Decompressor;

/// More than a socket holds (`net.core.wmem_default` is 208 KiB), and than the longest block.
const SIZE: usize = 512 * 1024;
const _: () = assert!(SIZE >= LONGEST_BLOCK);

/// A piece of a stream; never grows.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Box<[u8]>,
    begin: usize,
    end: usize,
    way: Way,
}

/// How the stream comes.
#[derive(Debug)]
enum Way {
    AsItIs,
    /// As its first bytes will tell.
    Unknown,
    Packed(Box<Decompressor>),
}

/// What came of reading more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Some,
    /// There is nothing for now that could be looked at; whether something came.
    None(bool),
    /// There will be nothing more.
    End,
}

impl Window {
    /// One for a stream as it is; with `may_be_packed`, for one that tells itself.
    pub(super) fn new(may_be_packed: bool) -> Self {
        let way = if may_be_packed { Way::Unknown } else { Way::AsItIs };
        Self { bytes: vec![0; SIZE].into_boxed_slice(), begin: 0, end: 0, way }
    }

    /// The next block, once all of it is here.
    #[inline]
    pub(super) fn block(&self) -> Result<Option<&[u8]>, Defect> {
        let here = &self.bytes[self.begin..self.end];
        match block::length(here)? {
            Some(length) => here.get(..length).map(block::whole).transpose(),
            None => Ok(None),
        }
    }

    /// Moves on by `length` bytes, those of the block that was looked at.
    #[inline]
    pub(super) fn forget(&mut self, length: usize) {
        self.begin = (self.begin + length).min(self.end);
    }

    /// Reads more, where no whole block is here.
    pub(super) fn fill(&mut self, stream: &UnixStream) -> Result<Filled, Defect> {
        if self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        match self.read(stream) {
            Ok(0) => Ok(Filled::End),
            Ok(count) => {
                self.end += count;
                Ok(Filled::Some)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                    Ok(Filled::None(match &mut self.way {
                        Way::Packed(unpacker) => unpacker.take_received(),
                        Way::AsItIs | Way::Unknown => false,
                    }))
                }
                io::ErrorKind::ConnectionReset => Ok(Filled::End),
                io::ErrorKind::InvalidData => Err(Defect(error.to_string())),
                _ => Err(Defect::link(&error)),
            },
        }
    }

    fn read(&mut self, mut stream: &UnixStream) -> io::Result<usize> {
        if let Way::Unknown = self.way
            && let Some(first) = self.bytes[..self.end].first_chunk::<4>()
        {
            if Decompressor::recognizes(*first) {
                self.way = Way::Packed(Box::new(Decompressor::new(*first)?));
                self.end = 0;
            } else {
                self.way = Way::AsItIs;
            }
        }
        let room = &mut self.bytes[self.end..];
        match &mut self.way {
            Way::AsItIs => stream.read(room),
            Way::Unknown => stream.read(&mut room[..4 - self.end]),
            Way::Packed(unpacker) => unpacker.read(&mut stream, room),
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        let is_whole = !matches!(&self.way, Way::Packed(unpacker) if !unpacker.is_complete());
        self.begin == self.end && is_whole
    }
}
