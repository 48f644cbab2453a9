//! The reading end. The input is hostile: each length is checked first, buffers do not grow, and a chunk that does not
//! decompress to its declared length is an error.

use std::fmt;
use std::io::{self, IoSliceMut, Read};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::{MAX_COMPRESSED_LEN, MAX_INPUT_LEN, MAX_RAW_LEN, RAW_MAGIC, WINDOW_LOG, ZSTD_MAGIC};

/// Size of the input buffer: more than a socket holds (`net.core.wmem_default` is 208 KiB, and we ask for 256), and more
/// than a compressed chunk.
const INPUT_LEN: usize = 512 * 1024;
const _: () = assert!(INPUT_LEN > MAX_COMPRESSED_LEN);

/// Decompresses a stream.
pub struct Decompressor {
    decoder: Decoder<'static>,
    /// Received and not yet decompressed.
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    chunk: ChunkState,
    /// Whether anything was received since [`take_received`](Self::take_received).
    received: bool,
}

/// The position in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// Before its header.
    Header,
    /// Remaining bytes of a raw chunk.
    Raw(usize),
    /// Remaining bytes of a compressed chunk, compressed and decompressed.
    Zstd(usize, usize),
}

/// The outcome of a step.
enum StepOutcome {
    /// So many bytes were written.
    Output(usize),
    /// Another step is possible.
    Continue,
    /// A step needs more input.
    NeedsInput,
}

impl Decompressor {
    /// For a stream whose first bytes were read already.
    ///
    /// Fails when memory is short.
    pub fn new(magic: [u8; 4]) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        let mut bytes = vec![0; INPUT_LEN].into_boxed_slice();
        bytes[..4].copy_from_slice(&magic);
        Ok(Self { decoder, bytes, start: 0, end: 4, chunk: ChunkState::Header, received: false })
    }

    /// Whether a stream with these first bytes is compressed.
    pub fn recognizes(magic: [u8; 4]) -> bool {
        [RAW_MAGIC, ZSTD_MAGIC].contains(&magic)
    }

    /// Reads from `source` and decompresses output `output`, which must not be empty. Returns 0 at the end of `source`.
    ///
    /// Fails when `source` does, and with `InvalidData` where it is not a compressed stream.
    pub fn read(&mut self, source: &mut impl Read, output: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.step(output)? {
                StepOutcome::Output(count) => return Ok(count),
                StepOutcome::Continue => {}
                StepOutcome::NeedsInput => match (self.chunk, self.start == self.end) {
                    (ChunkState::Raw(remaining), true) => return self.read_raw(remaining, source, output),
                    _ if self.fill(source)? == 0 => return Ok(0),
                    _ => {}
                },
            }
        }
    }

    /// Whether the input ends after a whole chunk.
    pub fn is_complete(&self) -> bool {
        self.chunk == ChunkState::Header && self.start == self.end
    }

    /// Whether anything was received since the last call, even if it was too little to decompress.
    pub fn take_received(&mut self) -> bool {
        std::mem::take(&mut self.received)
    }

    /// Processes buffered input.
    fn step(&mut self, output: &mut [u8]) -> io::Result<StepOutcome> {
        let available = self.end - self.start;
        let step = match &mut self.chunk {
            ChunkState::Header => match self.parse_header()? {
                ChunkState::Header => StepOutcome::NeedsInput,
                chunk => {
                    self.chunk = chunk;
                    StepOutcome::Continue
                }
            },
            ChunkState::Raw(_) if available == 0 => StepOutcome::NeedsInput,
            ChunkState::Raw(remaining) => {
                let count = available.min(*remaining).min(output.len());
                output[..count].copy_from_slice(&self.bytes[self.start..self.start + count]);
                self.start += count;
                *remaining -= count;
                StepOutcome::Output(count)
            }
            ChunkState::Zstd(..) => self.decompress(output)?,
        };
        if let ChunkState::Raw(0) | ChunkState::Zstd(0, 0) = self.chunk {
            self.chunk = ChunkState::Header;
        }
        Ok(step)
    }

    /// Reads raw bytes directly output `output`, and what follows them output the buffer.
    fn read_raw(&mut self, remaining: usize, source: &mut impl Read, output: &mut [u8]) -> io::Result<usize> {
        let room = output.len().min(remaining);
        let buffers = &mut [IoSliceMut::new(&mut output[..room]), IoSliceMut::new(&mut self.bytes)];
        let count = source.read_vectored(buffers)?;
        let direct = count.min(room);
        self.received |= count > 0;
        (self.start, self.end) = (0, count - direct);
        self.chunk =
            if direct == remaining { ChunkState::Header } else { ChunkState::Raw(remaining - direct) };
        Ok(direct)
    }

    fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let count = source.read(&mut self.bytes[self.end..])?;
        self.end += count;
        self.received |= count > 0;
        Ok(count)
    }

    /// Reads the header of a chunk, once all of it was received.
    fn parse_header(&mut self) -> io::Result<ChunkState> {
        let available = &self.bytes[self.start..self.end];
        let number = |at: usize| {
            let four = available.get(at..at + 4)?.first_chunk()?;
            Some(u32::from_le_bytes(*four) as usize)
        };
        let (Some(kind), Some(length)) = (available.first_chunk::<4>(), number(4)) else {
            return Ok(ChunkState::Header);
        };
        let (head, chunk) = match (*kind, number(8)) {
            (RAW_MAGIC, _) => {
                check_length(length, MAX_RAW_LEN)?;
                (8, ChunkState::Raw(length))
            }
            (ZSTD_MAGIC, None) => return Ok(ChunkState::Header),
            (ZSTD_MAGIC, Some(decompressed)) => {
                check_length(length, MAX_COMPRESSED_LEN)?;
                check_length(decompressed, MAX_INPUT_LEN)?;
                (12, ChunkState::Zstd(length, decompressed))
            }
            _ => return Err(invalid_data("unknown chunk type".to_owned())),
        };
        self.start += head;
        Ok(chunk)
    }

    /// Decompresses a chunk, once all of it was received.
    fn decompress(&mut self, output: &mut [u8]) -> io::Result<StepOutcome> {
        let ChunkState::Zstd(compressed, decompressed) = &mut self.chunk else {
            return Ok(StepOutcome::Continue);
        };
        let length = *compressed;
        if length > self.end - self.start {
            // zstd decompresses a whole frame in one step, without a copy.
            return Ok(StepOutcome::NeedsInput);
        }
        let room = output.len().min(*decompressed);
        let mut input = InBuffer::around(&self.bytes[self.start..self.start + length]);
        let mut decoded = OutBuffer::around(&mut output[..room]);
        let outcome = self.decoder.run(&mut input, &mut decoded);
        outcome.map_err(|error| invalid_data(format!("a chunk cannot be decompressed: {error}")))?;
        let (read, written) = (input.pos(), decoded.pos());
        self.start += read;
        *compressed -= read;
        *decompressed -= written;
        match (written, read) {
            (1.., _) => Ok(StepOutcome::Output(written)),
            (0, 1..) => Ok(StepOutcome::Continue),
            (0, 0) => Err(invalid_data("decompressed length mismatch".to_owned())),
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Decompressor").field("chunk", &self.chunk).finish_non_exhaustive()
    }
}

fn check_length(length: usize, max: usize) -> io::Result<()> {
    if (1..=max).contains(&length) {
        return Ok(());
    }
    Err(invalid_data(format!("a chunk has {length} bytes")))
}

fn invalid_data(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
