//! The writing end.

use std::io::{self, IoSlice};
use std::time::Instant;

use zstd::bulk::Compressor;
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation as _, OutBuffer};

use super::adaptive::{AdaptiveLevel, Level};
use super::{
    CompressionMode, MAX_COMPRESSED_LEN, MAX_INPUT_LEN, MAX_RAW_LEN, RAW_MAGIC, WINDOW_LOG, ZSTD_MAGIC,
};

/// Parameters of zstd.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ZstdParameters {
    level: i32,
    /// Shortest match, in bytes; 0 for the default of the level.
    min_match: u32,
}

/// zstd's fastest ordinary level, and one nearly half as fast again; lower ones are no faster. Text: 600 and 810 MB/s
/// (Intel Xeon, 2 MiB of L2 cache), and 0.17 and 0.24 of its size.
const DENSE: ZstdParameters = ZstdParameters { level: 1, min_match: 0 };
const FAST: ZstdParameters = ZstdParameters { level: -3, min_match: 7 };
/// A chunk of this size is a frame of its own: continuing a frame saves little then (0.16 of the same text), and takes a
/// fifth of zstd's time.
const STANDALONE_LEN: usize = 32 * 1024;
/// Header of a compressed chunk.
const CHUNK_HEADER_LEN: usize = 12;
/// With the header no more slices than `writev` takes (`UIO_MAXIOV`, linux/uio.h).
const MAX_SLICES: usize = 1000;

/// Compresses a stream.
pub struct StreamCompressor {
    /// `None` after an error of zstd: the rest of the stream is raw.
    encoders: Option<Encoders>,
    level: AdaptiveLevel,
    /// A compressed chunk, or the header of a raw one.
    chunk: Vec<u8>,
}

struct Encoders {
    /// For small chunks, which continue one frame.
    small: Encoder<'static>,
    /// Whether that frame is open.
    is_open: bool,
    large: Compressor<'static>,
    /// Of `large`.
    parameters: ZstdParameters,
    /// Input of `large` that is scattered over several slices.
    joined: Vec<u8>,
}

/// The next chunk of a stream.
pub struct OutgoingChunk<'a> {
    /// The compressed chunk, or the header of a raw one.
    head: &'a [u8],
    is_compressed: bool,
    /// How many bytes of the stream it contains.
    pub bytes: usize,
}

impl<'a> OutgoingChunk<'a> {
    /// The bytes to write; `slices` are those that the chunk was made of.
    pub fn slices(&self, slices: &'a [IoSlice<'_>]) -> Vec<IoSlice<'a>> {
        let mut output = vec![IoSlice::new(self.head)];
        let mut remaining = if self.is_compressed { 0 } else { self.bytes };
        for slice in slices {
            let bytes = &slice[..slice.len().min(remaining)];
            remaining -= bytes.len();
            output.push(IoSlice::new(bytes));
            if remaining == 0 {
                break;
            }
        }
        output
    }
}

impl StreamCompressor {
    /// Fails when memory is short.
    pub fn new(mode: CompressionMode) -> io::Result<Self> {
        let encoders = Some(Encoders::new()?);
        let chunk = vec![0; CHUNK_HEADER_LEN + MAX_COMPRESSED_LEN];
        Ok(Self { encoders, level: AdaptiveLevel::new(mode, Instant::now()), chunk })
    }

    /// The next chunk of `slices`, which must not be empty.
    pub fn next_chunk(&mut self, slices: &[IoSlice<'_>]) -> OutgoingChunk<'_> {
        let started = Instant::now();
        if let Some(encoders) = &mut self.encoders
            && let Some(level) = self.level.next_level(started)
        {
            let (head, buffer) = self.chunk.split_at_mut(CHUNK_HEADER_LEN);
            if let Ok((bytes, compressed)) = encoders.compress(slices, level, buffer) {
                self.level.record_compressed(bytes, compressed, started.elapsed());
                head[..4].copy_from_slice(&ZSTD_MAGIC);
                head[4..8].copy_from_slice(&length_bytes(compressed));
                head[8..].copy_from_slice(&length_bytes(bytes));
                let head = &self.chunk[..CHUNK_HEADER_LEN + compressed];
                return OutgoingChunk { head, is_compressed: true, bytes };
            }
            // The decoder does not know what this encoder has seen.
            self.encoders = None;
        }
        let total: usize = slices.iter().take(MAX_SLICES).map(|slice| slice.len()).sum();
        let bytes = total.min(MAX_RAW_LEN);
        self.level.record_raw(bytes);
        self.chunk[..4].copy_from_slice(&RAW_MAGIC);
        self.chunk[4..8].copy_from_slice(&length_bytes(bytes));
        OutgoingChunk { head: &self.chunk[..8], is_compressed: false, bytes }
    }
}

impl Encoders {
    fn new() -> io::Result<Self> {
        let mut small = Encoder::new(DENSE.level)?;
        small.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        small.set_parameter(CParameter::ContentSizeFlag(false))?;
        let large = Compressor::new(DENSE.level)?;
        Ok(Self { small, is_open: false, large, parameters: DENSE, joined: Vec::new() })
    }

    /// Compresses the first bytes of `slices` into `output`, of [`MAX_COMPRESSED_LEN`]. Returns their size before and after.
    ///
    /// Fails when zstd does.
    fn compress(
        &mut self,
        slices: &[IoSlice<'_>],
        level: Level,
        output: &mut [u8],
    ) -> io::Result<(usize, usize)> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total < STANDALONE_LEN {
            return Ok((total, self.compress_small(slices, output)?));
        }
        let start = self.finish_small(output)?;
        let parameters = match level {
            Level::Fast => FAST,
            Level::Dense => DENSE,
        };
        if self.parameters != parameters {
            self.large.set_compression_level(parameters.level)?;
            self.large.set_parameter(CParameter::MinMatch(parameters.min_match))?;
            self.parameters = parameters;
        }
        let bytes = total.min(MAX_INPUT_LEN);
        let input = match slices.first() {
            Some(first) if first.len() >= bytes => &first[..bytes],
            _ => {
                self.joined.clear();
                for slice in slices {
                    let left = bytes - self.joined.len();
                    self.joined.extend_from_slice(&slice[..slice.len().min(left)]);
                }
                &self.joined
            }
        };
        Ok((bytes, start + self.large.compress_to_buffer(input, &mut output[start..])?))
    }

    /// Compresses all of `slices`. Returns the compressed size.
    fn compress_small(&mut self, slices: &[IoSlice<'_>], buffer: &mut [u8]) -> io::Result<usize> {
        self.is_open = true;
        let mut output = OutBuffer::around(buffer);
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

    /// Ends the frame of small chunks if one is open. Returns how many bytes that took.
    fn finish_small(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.is_open) {
            return Ok(0);
        }
        let mut output = OutBuffer::around(buffer);
        if self.small.finish(&mut output, true)? > 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.small.reinit()?;
        Ok(output.pos())
    }
}

/// A length field; no length is larger.
fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Decompresses all frames as zstd does with a file.
    fn decompress(frames: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        zstd::stream::read::Decoder::new(frames)
            .and_then(|mut file| file.read_to_end(&mut all))
            .expect("frames");
        all
    }

    #[test]
    fn level_and_size_may_change_at_any_chunk() {
        let text: Vec<u8> =
            (0..50_000_u32).flat_map(|number| format!("item {}\n", number % 977).into_bytes()).collect();
        let mut encoders = Encoders::new().expect("memory");
        let (mut frames, mut sent) = (Vec::new(), Vec::new());
        for (level, from, bytes) in [
            (Level::Dense, 0, 500),
            (Level::Dense, 400, MAX_INPUT_LEN),
            (Level::Fast, 0, MAX_INPUT_LEN),
            (Level::Fast, 300, 700),
            (Level::Fast, 300, 700),
            (Level::Dense, 100, STANDALONE_LEN),
            (Level::Fast, 9, STANDALONE_LEN - 1),
            (Level::Fast, 9, STANDALONE_LEN),
        ] {
            let (mut buffer, bytes) = (vec![0; MAX_COMPRESSED_LEN], &text[from..from + bytes]);
            let (first, second) = bytes.split_at(bytes.len() / 3);
            let slices = [IoSlice::new(first), IoSlice::new(second)];
            let (count, compressed) = encoders.compress(&slices, level, &mut buffer).expect("zstd does");
            assert_eq!(count, bytes.len());
            assert!(compressed < bytes.len() / 2, "{compressed} of {count}");
            frames.extend_from_slice(&buffer[..compressed]);
            sent.extend_from_slice(bytes);
        }
        assert!(decompress(&frames) == sent);
    }
}
