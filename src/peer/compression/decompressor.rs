//! The end that unpacks. What comes is not trusted: a length is looked at before anything is done, memory does
//! not grow, and a chunk gives as many bytes as it says or none that count.

use std::fmt;
use std::io::{self, IoSliceMut, Read};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use super::{AS_IT_IS, BY_ZSTD, LONGEST_PACKED, MOST_AS_IT_IS, MOST_PACKED, WINDOW};

/// Bytes of chunks that are here: more than a socket holds (`net.core.wmem_default` is 208 KiB, and we ask for 256), and
/// than a packed chunk.
const SIZE: usize = 512 * 1024;
const _: () = assert!(SIZE > LONGEST_PACKED);

/// Unpacks a stream.
pub struct Decompressor {
    decoder: Decoder<'static>,
    /// What came and is not unpacked yet.
    bytes: Box<[u8]>,
    begin: usize,
    end: usize,
    chunk: ChunkState,
    /// Whether anything came since that was last asked.
    came: bool,
}

/// The chunk that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    /// None: the next one begins.
    None,
    /// So many of its bytes are to come.
    AsItIs(usize),
    /// So many of its bytes are to come, and so many when unpacked.
    Packed(usize, usize),
}

/// What came of a step.
enum Step {
    /// So many bytes were read.
    Read(usize),
    /// Another one can be done.
    On,
    /// Not without more from the source.
    Wanting,
}

impl Decompressor {
    /// One for a stream of which `begin` was read already.
    ///
    /// Fails where there is no memory for it.
    pub fn new(begin: [u8; 4]) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW))?;
        let mut bytes = vec![0; SIZE].into_boxed_slice();
        bytes[..4].copy_from_slice(&begin);
        Ok(Self { decoder, bytes, begin: 0, end: 4, chunk: ChunkState::None, came: false })
    }

    /// Whether a stream that begins so is packed.
    pub fn recognizes(begin: [u8; 4]) -> bool {
        [AS_IT_IS, BY_ZSTD].contains(&begin)
    }

    /// Reads from `source` what it unpacks into `into`, at most as much as that has room for, which must be
    /// some. None are read where `source` has ended.
    ///
    /// Fails when `source` does, and with `InvalidData` where what it has is no stream of ours.
    pub fn read(&mut self, source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.step(into)? {
                Step::Read(count) => return Ok(count),
                Step::On => {}
                Step::Wanting => match (self.chunk, self.begin == self.end) {
                    (ChunkState::AsItIs(left), true) => return self.pass_on(left, source, into),
                    _ if self.fill(source)? == 0 => return Ok(0),
                    _ => {}
                },
            }
        }
    }

    /// Whether nothing of a chunk is left.
    pub fn is_complete(&self) -> bool {
        self.chunk == ChunkState::None && self.begin == self.end
    }

    /// Whether anything came since this was last asked, though it need not have been enough to unpack.
    pub fn take_received(&mut self) -> bool {
        std::mem::take(&mut self.came)
    }

    /// Does what can be done with what is here.
    fn step(&mut self, into: &mut [u8]) -> io::Result<Step> {
        let here = self.end - self.begin;
        let step = match &mut self.chunk {
            ChunkState::None => match self.begun()? {
                ChunkState::None => Step::Wanting,
                chunk => {
                    self.chunk = chunk;
                    Step::On
                }
            },
            ChunkState::AsItIs(_) if here == 0 => Step::Wanting,
            ChunkState::AsItIs(left) => {
                let count = here.min(*left).min(into.len());
                into[..count].copy_from_slice(&self.bytes[self.begin..self.begin + count]);
                self.begin += count;
                *left -= count;
                Step::Read(count)
            }
            ChunkState::Packed(..) => self.unpack(into)?,
        };
        if let ChunkState::AsItIs(0) | ChunkState::Packed(0, 0) = self.chunk {
            self.chunk = ChunkState::None;
        }
        Ok(step)
    }

    /// Reads bytes that are as they are to where they belong at once, and what is behind them here.
    fn pass_on(&mut self, left: usize, source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
        let room = into.len().min(left);
        let pieces = &mut [IoSliceMut::new(&mut into[..room]), IoSliceMut::new(&mut self.bytes)];
        let count = source.read_vectored(pieces)?;
        let direct = count.min(room);
        self.came |= count > 0;
        (self.begin, self.end) = (0, count - direct);
        self.chunk = if direct == left { ChunkState::None } else { ChunkState::AsItIs(left - direct) };
        Ok(direct)
    }

    fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        self.bytes.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let count = source.read(&mut self.bytes[self.end..])?;
        self.end += count;
        self.came |= count > 0;
        Ok(count)
    }

    /// The chunk that begins here, once that is told.
    fn begun(&mut self) -> io::Result<ChunkState> {
        let here = &self.bytes[self.begin..self.end];
        let number = |at: usize| {
            let four = here.get(at..at + 4)?.first_chunk()?;
            Some(u32::from_le_bytes(*four) as usize)
        };
        let (Some(kind), Some(length)) = (here.first_chunk::<4>(), number(4)) else {
            return Ok(ChunkState::None);
        };
        let (head, chunk) = match (*kind, number(8)) {
            (AS_IT_IS, _) => {
                within(length, MOST_AS_IT_IS)?;
                (8, ChunkState::AsItIs(length))
            }
            (BY_ZSTD, None) => return Ok(ChunkState::None),
            (BY_ZSTD, Some(unpacked)) => {
                within(length, LONGEST_PACKED)?;
                within(unpacked, MOST_PACKED)?;
                (12, ChunkState::Packed(length, unpacked))
            }
            _ => return Err(wrong("a chunk of it is of an unknown kind".to_owned())),
        };
        self.begin += head;
        Ok(chunk)
    }

    /// Unpacks a chunk, once all of it is here.
    fn unpack(&mut self, into: &mut [u8]) -> io::Result<Step> {
        let ChunkState::Packed(packed, unpacked) = &mut self.chunk else { return Ok(Step::On) };
        let here = *packed;
        if here > self.end - self.begin {
            // Of a whole frame zstd makes one step, without a copy.
            return Ok(Step::Wanting);
        }
        let room = into.len().min(*unpacked);
        let mut input = InBuffer::around(&self.bytes[self.begin..self.begin + here]);
        let mut output = OutBuffer::around(&mut into[..room]);
        let outcome = self.decoder.run(&mut input, &mut output);
        outcome.map_err(|error| wrong(format!("a chunk of it cannot be unpacked: {error}")))?;
        let (read, written) = (input.pos(), output.pos());
        self.begin += read;
        *packed -= read;
        *unpacked -= written;
        match (written, read) {
            (1.., _) => Ok(Step::Read(written)),
            (0, 1..) => Ok(Step::On),
            // It has less than it says, or more.
            (0, 0) => Err(wrong("a chunk of it has not the length it says".to_owned())),
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unpacker").field("chunk", &self.chunk).finish_non_exhaustive()
    }
}

/// Fails when `length` is none that a chunk can have.
fn within(length: usize, most: usize) -> io::Result<()> {
    if (1..=most).contains(&length) {
        return Ok(());
    }
    Err(wrong(format!("a chunk of it has {length} bytes")))
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
