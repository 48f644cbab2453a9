//! The end that packs.

use std::io::{self, IoSlice};
use std::time::Instant;

use zstd::bulk::Compressor;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};

use super::adaptive::{Effort, Worth};
use super::{AS_IT_IS, BY_ZSTD, CompressionMode, LONGEST_PACKED, MOST_AS_IT_IS, MOST_PACKED, WINDOW};

/// What zstd is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Parameters {
    level: i32,
    /// The shortest repetition that it looks for, in bytes; 0 for what belongs to the level.
    shortest: u32,
}

/// The fastest of zstd's ordinary levels, and one that gives up a third of what that saves to be nearly half as fast again;
/// those below are no faster. Text goes at 600 and 810 MB/s (Intel Xeon, 2 MiB of second-level cache) and becomes 0.17
/// and 0.24.
const DENSE: Parameters = Parameters { level: 1, shortest: 0 };
const QUICK: Parameters = Parameters { level: -3, shortest: 7 };
/// So many bytes have enough in themselves, and become a frame of their own. To lean on what came before as well saves
/// little then (0.16 of the same text), and takes a fifth of zstd's time: for a copy, and for looking in two places.
const ENOUGH: usize = 32 * 1024;
/// What stands before the bytes of a chunk by zstd.
const HEAD: usize = 12;
/// With what stands before them no more pieces than `writev` takes (`UIO_MAXIOV`, linux/uio.h).
const MOST_PIECES: usize = 1000;

/// Packs a stream.
pub struct StreamCompressor {
    /// `None` once one failed.
    encoders: Option<Encoders>,
    worth: Worth,
    /// A chunk, or what stands before it.
    chunk: Vec<u8>,
}

struct Encoders {
    /// For small chunks, which are one after the other a single frame.
    small: Encoder<'static>,
    /// Whether that frame has begun, and not ended.
    is_open: bool,
    large: Compressor<'static>,
    /// For the latter.
    parameters: Parameters,
    /// What is in several pieces, in one.
    whole: Vec<u8>,
}

/// What comes next of a stream.
pub struct OutgoingChunk<'a> {
    /// Packed, or what stands before bytes as they are.
    head: &'a [u8],
    is_packed: bool,
    /// How many bytes of the stream it stands for.
    pub bytes: usize,
}

impl<'a> OutgoingChunk<'a> {
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

impl StreamCompressor {
    /// One that packs as `compress` says.
    ///
    /// Fails where there is no memory for it.
    pub fn new(compress: CompressionMode) -> io::Result<Self> {
        let encoders = Some(Encoders::new()?);
        let chunk = vec![0; HEAD + LONGEST_PACKED];
        Ok(Self { encoders, worth: Worth::of(compress, Instant::now()), chunk })
    }

    /// The next chunk of `slices`, which are not empty.
    pub fn next_chunk(&mut self, slices: &[IoSlice<'_>]) -> OutgoingChunk<'_> {
        let begun = Instant::now();
        if let Some(encoders) = &mut self.encoders
            && let Some(effort) = self.worth.effort(begun)
        {
            let (head, room) = self.chunk.split_at_mut(HEAD);
            if let Ok((bytes, packed)) = encoders.pack(slices, effort, room) {
                self.worth.packed(bytes, packed, begun.elapsed());
                head[..4].copy_from_slice(&BY_ZSTD);
                head[4..8].copy_from_slice(&four(packed));
                head[8..].copy_from_slice(&four(bytes));
                return OutgoingChunk { head: &self.chunk[..HEAD + packed], is_packed: true, bytes };
            }
            // What it had told last is not known at the other end.
            self.encoders = None;
        }
        let all: usize = slices.iter().take(MOST_PIECES).map(|slice| slice.len()).sum();
        let bytes = all.min(MOST_AS_IT_IS);
        self.worth.told_as_it_is(bytes);
        self.chunk[..4].copy_from_slice(&AS_IT_IS);
        self.chunk[4..8].copy_from_slice(&four(bytes));
        OutgoingChunk { head: &self.chunk[..8], is_packed: false, bytes }
    }
}

impl Encoders {
    fn new() -> io::Result<Self> {
        let mut small = Encoder::new(DENSE.level)?;
        small.set_parameter(CParameter::WindowLog(WINDOW))?;
        small.set_parameter(CParameter::ContentSizeFlag(false))?;
        let large = Compressor::new(DENSE.level)?;
        Ok(Self { small, is_open: false, large, parameters: DENSE, whole: Vec::new() })
    }

    /// Packs the first bytes of `slices` into `room`, which has [`LONGEST_PACKED`]; tells how many, and how many they have
    /// become.
    ///
    /// Fails when zstd does.
    fn pack(
        &mut self,
        slices: &[IoSlice<'_>],
        effort: Effort,
        room: &mut [u8],
    ) -> io::Result<(usize, usize)> {
        let here: usize = slices.iter().map(|slice| slice.len()).sum();
        if here < ENOUGH {
            return Ok((here, self.pack_small(slices, room)?));
        }
        let begun = self.end_small(room)?;
        let parameters = match effort {
            Effort::Quick => QUICK,
            Effort::Dense => DENSE,
        };
        if self.parameters != parameters {
            self.large.set_compression_level(parameters.level)?;
            self.large.set_parameter(CParameter::MinMatch(parameters.shortest))?;
            self.parameters = parameters;
        }
        let bytes = here.min(MOST_PACKED);
        let whole = match slices.first() {
            Some(first) if first.len() >= bytes => &first[..bytes],
            _ => {
                self.whole.clear();
                for slice in slices {
                    let left = bytes - self.whole.len();
                    self.whole.extend_from_slice(&slice[..slice.len().min(left)]);
                }
                &self.whole
            }
        };
        Ok((bytes, begun + self.large.compress_to_buffer(whole, &mut room[begun..])?))
    }

    /// Packs all of `slices`; tells how many bytes they have become.
    fn pack_small(&mut self, slices: &[IoSlice<'_>], room: &mut [u8]) -> io::Result<usize> {
        self.is_open = true;
        let mut output = OutBuffer::around(room);
        for slice in slices {
            let mut input = InBuffer::around(slice);
            while input.pos() < slice.len() {
                let before = (input.pos(), output.pos());
                self.small.run(&mut input, &mut output)?;
                if before == (input.pos(), output.pos()) {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
        }
        while self.small.flush(&mut output)? > 0 {
            if output.pos() == output.capacity() {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(output.pos())
    }

    /// Ends the frame of small chunks, if there is one; tells how many bytes that took.
    fn end_small(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.is_open) {
            return Ok(0);
        }
        let mut output = OutBuffer::around(room);
        if self.small.finish(&mut output, true)? > 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.small.reinit()?;
        Ok(output.pos())
    }
}

/// A length, none of which is larger.
fn four(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// What all pieces of frames are, unpacked by zstd as it unpacks a file.
    fn unpacked(frames: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        zstd::stream::read::Decoder::new(frames)
            .and_then(|mut file| file.read_to_end(&mut all))
            .expect("frames");
        all
    }

    #[test]
    fn effort_and_size_may_change_at_any_chunk() {
        let text: Vec<u8> =
            (0..50_000_u32).flat_map(|number| format!("item {}\n", number % 977).into_bytes()).collect();
        let mut encoders = Encoders::new().expect("memory");
        let (mut frames, mut sent) = (Vec::new(), Vec::new());
        for (effort, from, bytes) in [
            (Effort::Dense, 0, 500),
            (Effort::Dense, 400, MOST_PACKED),
            (Effort::Quick, 0, MOST_PACKED),
            (Effort::Quick, 300, 700),
            (Effort::Quick, 300, 700),
            (Effort::Dense, 100, ENOUGH),
            (Effort::Quick, 9, ENOUGH - 1),
            (Effort::Quick, 9, ENOUGH),
        ] {
            let (mut room, bytes) = (vec![0; LONGEST_PACKED], &text[from..from + bytes]);
            let (first, second) = bytes.split_at(bytes.len() / 3);
            let slices = [IoSlice::new(first), IoSlice::new(second)];
            let (count, packed) = encoders.pack(&slices, effort, &mut room).expect("zstd does");
            assert_eq!(count, bytes.len());
            assert!(packed < bytes.len() / 2, "{packed} of {count}");
            frames.extend_from_slice(&room[..packed]);
            sent.extend_from_slice(bytes);
        }
        assert!(unpacked(&frames) == sent);
    }
}
