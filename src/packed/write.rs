//! The end that packs.

use std::io::{self, IoSlice};
use std::time::Instant;

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};

use super::worth::Worth;
use super::{AS_IT_IS, BY_ZSTD, Compress, LONGEST_PACKED, MOST_AS_IT_IS, MOST_PACKED, WINDOW};

/// The fastest of the ordinary ones, about 400 MB/s of text on the machine of docs/speed.md. Those below, which give up
/// more for speed, are no faster than what follows them here.
const LEVEL: i32 = 1;
/// What stands before the bytes of a chunk by zstd.
const HEAD: usize = 12;
/// With what stands before them no more pieces than `writev` takes (`UIO_MAXIOV`, linux/uio.h).
const MOST_PIECES: usize = 1000;

/// Packs a stream.
pub struct Packer {
    /// `None` once it failed.
    encoder: Option<Encoder<'static>>,
    worth: Worth,
    /// A chunk, or what stands before it.
    chunk: Vec<u8>,
}

/// What comes next of a stream.
pub struct Chunk<'a> {
    /// Packed, or what stands before bytes as they are.
    head: &'a [u8],
    is_packed: bool,
    /// How many bytes of the stream it stands for.
    pub bytes: usize,
}

impl<'a> Chunk<'a> {
    /// What is to be written: the chunk of `slices`, which it was made of.
    pub fn pieces(&self, slices: &'a [IoSlice<'_>]) -> Vec<IoSlice<'a>> {
        let mut pieces = vec![IoSlice::new(self.head)];
        let mut left = if self.is_packed { 0 } else { self.bytes };
        for slice in slices {
            let bytes = &slice[..slice.len().min(left)];
            left -= bytes.len();
            pieces.push(IoSlice::new(bytes));
            if left == 0 {
                break;
            }
        }
        pieces
    }
}

impl Packer {
    /// One that packs as `compress` says.
    ///
    /// Fails where there is no memory for it.
    pub fn new(compress: Compress) -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
        encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
        let chunk = vec![0; HEAD + LONGEST_PACKED];
        Ok(Self { encoder: Some(encoder), worth: Worth::of(compress, Instant::now()), chunk })
    }

    /// The next chunk of `slices`, which are not empty.
    pub fn next(&mut self, slices: &[IoSlice<'_>]) -> Chunk<'_> {
        let begun = Instant::now();
        if self.encoder.is_some() && self.worth.pack(begun) {
            if let Ok((bytes, packed)) = self.pack(slices) {
                self.worth.packed(bytes, packed, begun.elapsed());
                return Chunk { head: &self.chunk[..HEAD + packed], is_packed: true, bytes };
            }
            // What it had told last is not known at the other end.
            self.encoder = None;
        }
        let all: usize = slices.iter().take(MOST_PIECES).map(|slice| slice.len()).sum();
        let bytes = all.min(MOST_AS_IT_IS);
        self.worth.told_as_it_is(bytes);
        self.chunk[..4].copy_from_slice(&AS_IT_IS);
        self.chunk[4..8].copy_from_slice(&four(bytes));
        Chunk { head: &self.chunk[..8], is_packed: false, bytes }
    }

    /// Packs the first bytes of `slices`; tells how many, and how many they have become.
    fn pack(&mut self, slices: &[IoSlice<'_>]) -> io::Result<(usize, usize)> {
        let encoder = self.encoder.as_mut().ok_or(io::ErrorKind::Other)?;
        let (head, packed) = self.chunk.split_at_mut(HEAD);
        let mut output = OutBuffer::around(packed);
        let mut left = MOST_PACKED;
        for slice in slices {
            let bytes = &slice[..slice.len().min(left)];
            let mut input = InBuffer::around(bytes);
            while input.pos() < bytes.len() {
                let before = (input.pos(), output.pos());
                encoder.run(&mut input, &mut output)?;
                if before == (input.pos(), output.pos()) {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
            left -= bytes.len();
            if left == 0 {
                break;
            }
        }
        while encoder.flush(&mut output)? > 0 {
            if output.pos() == output.capacity() {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        let (bytes, packed) = (MOST_PACKED - left, output.pos());
        head[..4].copy_from_slice(&BY_ZSTD);
        head[4..8].copy_from_slice(&four(packed));
        head[8..].copy_from_slice(&four(bytes));
        Ok((bytes, packed))
    }
}

/// A length, none of which is larger.
fn four(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
