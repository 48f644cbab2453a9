//! The decompressor: a compressed stream is what it was, and with any other input the result does not depend on how the
//! input is split and is never longer than the chunks declare.

#![no_main]

use std::io::{self, IoSlice, Read};

use containerdump::peer::compression::{CompressionMode, Decompressor, StreamCompressor};
use containerdump_fuzz::parameters;
use libfuzzer_sys::fuzz_target;

/// Most bytes that a chunk yields, and the least that declares them.
const MAX_CHUNK: usize = 256 * 1024;
const MIN_HEADER: usize = 8;

fuzz_target!(|data: &[u8]| {
    let Some(([mode, size], data)) = parameters(data) else { return };
    let piece = 1 + usize::from(size);
    if mode % 2 == 0 {
        let mut whole = Vec::new();
        let is_valid = decompress(data, usize::MAX, 512 * 1024, &mut whole);
        assert!(whole.len() <= MAX_CHUNK * (data.len() / MIN_HEADER + 1));
        if whole.len() <= MAX_CHUNK {
            let mut parts = Vec::new();
            assert_eq!(decompress(data, piece, 1 + 64 * piece, &mut parts), is_valid);
            assert!(if is_valid.is_some() { parts == whole } else { common(&parts, &whole) });
        }
    } else {
        let compression = if mode & 2 == 0 { CompressionMode::On } else { CompressionMode::Auto };
        if data.is_empty() {
            return;
        }
        // Repeated, so that some chunks are large.
        let data = data.repeat(1 + 8 * usize::from(mode >> 2));
        let compressed = compress(&data, compression, piece);
        let mut result = Vec::new();
        assert_eq!(decompress(&compressed, usize::MAX, 512 * 1024, &mut result), Some(true));
        assert!(result == data);
    }
});

/// Whether one of the two begins with the other.
fn common(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Appends what `data` yields, read in pieces. `None` if it is invalid, else whether it ends after a chunk.
fn decompress(data: &[u8], piece: usize, room: usize, output: &mut Vec<u8>) -> Option<bool> {
    let (magic, rest) = data.split_first_chunk::<4>()?;
    if !Decompressor::recognizes(*magic) {
        return None;
    }
    let mut decompressor = Decompressor::new(*magic).expect("memory");
    let (mut source, mut buffer) = (Pieces { rest, piece }, vec![0; room]);
    loop {
        match decompressor.read(&mut source, &mut buffer) {
            Ok(0) => return Some(decompressor.is_complete()),
            Ok(count) => output.extend_from_slice(&buffer[..count]),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                return None;
            }
        }
    }
}

fn compress(mut data: &[u8], mode: CompressionMode, piece: usize) -> Vec<u8> {
    let mut compressor = StreamCompressor::new(mode).expect("memory");
    let mut output = Vec::new();
    while !data.is_empty() {
        let slices: Vec<IoSlice<'_>> = data.chunks(piece * 16).take(100).map(IoSlice::new).collect();
        let chunk = compressor.next_chunk(&slices);
        chunk.slices(&slices).iter().for_each(|slice| output.extend_from_slice(slice));
        assert!(chunk.bytes > 0);
        data = &data[chunk.bytes..];
    }
    output
}

/// A source that returns at most `piece` bytes at once.
struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.piece.min(into.len());
        (&mut self.rest).take(count as u64).read(into)
    }
}
