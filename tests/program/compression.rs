//! Compressed streams: they decompress to what was written, at once, and no other input is accepted.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read};

use containerdump::peer::compression::{CompressionMode, Decompressor, StreamCompressor};
use proptest::collection::vec;
use proptest::prelude::*;
use zstd::stream::raw::{CParameter, Encoder, Operation as _};

/// Compresses each write. Returns the output of each.
fn compressed(compress: CompressionMode, writes: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let mut compressor = StreamCompressor::new(compress).expect("memory");
    let compress_write = |write: &Vec<Vec<u8>>| {
        let mut slices: Vec<IoSlice> = write.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let (mut slices, mut out) = (slices.as_mut_slice(), Vec::new());
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let chunk = compressor.next_chunk(slices);
            let bytes = chunk.bytes;
            assert!(bytes > 0, "it goes on");
            chunk.slices(slices).iter().for_each(|piece| out.extend_from_slice(piece));
            IoSlice::advance_slices(&mut slices, bytes);
        }
        out
    };
    writes.iter().map(compress_write).collect()
}

/// A source that returns one of these pieces at each read, and then `WouldBlock` or its end.
struct ChunkedReader {
    pieces: VecDeque<Vec<u8>>,
    ends: bool,
}

impl Read for ChunkedReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return if self.ends { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        };
        let count = piece.len().min(into.len());
        into[..count].copy_from_slice(&piece[..count]);
        piece.drain(..count);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(count)
    }
}

/// Decompresses `pieces`, at most so many bytes at a time. Returns the output and the error at its end.
fn decompressed(
    decompressor: &mut Decompressor,
    pieces: impl IntoIterator<Item = Vec<u8>>,
    read_len: usize,
) -> (Vec<u8>, ErrorKind, String) {
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let mut source = ChunkedReader { pieces, ends: false };
    let (mut all, mut room) = (Vec::new(), vec![0; read_len]);
    loop {
        match decompressor.read(&mut source, &mut room) {
            Ok(count) => all.extend_from_slice(&room[..count]),
            Err(error) => return (all, error.kind(), error.to_string()),
        }
    }
}

/// An decompressor, and the rest of a stream.
fn begin(stream: &[u8]) -> (Decompressor, &[u8]) {
    let (first, rest) = stream.split_first_chunk().expect("a first chunk");
    assert!(Decompressor::recognizes(*first), "{first:?}");
    (Decompressor::new(*first).expect("memory"), rest)
}

/// A zstd chunk that declares this decompressed length.
fn chunk(zstd: &[u8], declared: u32) -> Vec<u8> {
    let length = u32::try_from(zstd.len()).expect("few").to_le_bytes();
    [&b"cd-z"[..], &length, &declared.to_le_bytes(), zstd].concat()
}

fn text(bytes: usize) -> Vec<u8> {
    let line = |number| format!("GET /items/{number} HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\n\r\n");
    (0..).flat_map(|number: u32| line(number * 7919 % 1000).into_bytes()).take(bytes).collect()
}

/// Incompressible bytes.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn each_compressed_write_is_decodable_at_once() {
    let request = text(900);
    let writes: Vec<Vec<Vec<u8>>> = (0..50).map(|_| vec![request.clone()]).collect();
    let all = compressed(CompressionMode::Auto, &writes);
    let (mut decompressor, _) = begin(&all[0]);
    for (number, out) in all.iter().enumerate() {
        let out = if number == 0 { out[4..].to_vec() } else { out.clone() };
        let (bytes, kind, _) = decompressed(&mut decompressor, [out], 512);
        assert_eq!((bytes == request, kind), (true, ErrorKind::WouldBlock), "write {number}");
        assert!(decompressor.is_complete());
    }
    assert!(all[1..].iter().all(|out| out.len() < 60), "{:?}", all.iter().map(Vec::len).collect::<Vec<_>>());
}

#[test]
fn incompressible_data_is_sent_uncompressed() {
    let megabytes = vec![vec![noise(8 << 20)]];
    for (compress, most) in [(CompressionMode::Auto, 200), (CompressionMode::On, 2000)] {
        let out = compressed(compress, &megabytes).concat();
        assert!(out.len() < (8 << 20) + most, "{}", out.len());
        let raw_chunks = out.windows(4).filter(|four| four == b"cd-0").count();
        assert_eq!(raw_chunks > 0, compress == CompressionMode::Auto);
    }
    // Text after it is compressed again.
    let out =
        compressed(CompressionMode::Auto, &[vec![noise(9 << 20)], vec![text(8 << 20)], vec![text(8 << 20)]]);
    assert!(out[2].len() < 4 << 20, "{}", out[2].len());
}

#[test]
fn an_invalid_compressed_stream_is_rejected() {
    let good = zstd::bulk::compress(&text(1000), 1).expect("memory");
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).expect("memory");
    assert!(bomb.len() < 128 << 10, "{}", bomb.len());
    let mut far_back = Encoder::new(1).expect("memory");
    far_back.set_parameter(CParameter::WindowLog(27)).expect("a window of 128 MiB");
    let mut room = vec![0; 4096];
    let written = far_back.run_on_buffers(&text(1000), &mut room).expect("room").bytes_written;
    let flushed =
        far_back.flush(&mut zstd::stream::raw::OutBuffer::around(&mut room[written..])).expect("room");
    assert_eq!(flushed, 0);
    let long = u32::MAX.to_le_bytes();
    for (stream, why) in [
        ([chunk(&good, 1000), b"cd-q0000".to_vec()].concat(), "unknown chunk type"),
        ([b"cd-0".to_vec(), vec![0; 4]].concat(), "has 0 bytes"),
        ([&b"cd-0"[..], &long].concat(), "has 4294967295 bytes"),
        ([&b"cd-z"[..], &long, &[1, 0, 0, 0]].concat(), "has 4294967295 bytes"),
        (chunk(&good, 0), "has 0 bytes"),
        (chunk(&good, 1 << 20), "has 1048576 bytes"),
        (chunk(&good, 999), "length mismatch"),
        (chunk(&good, 1001), "length mismatch"),
        (chunk(&bomb, 128 << 10), "length mismatch"),
        (chunk(&noise(1000), 1000), "cannot be decompressed"),
        (chunk(&room, 1000), "cannot be decompressed"),
    ] {
        let (mut decompressor, rest) = begin(&stream);
        let (bytes, kind, said) = decompressed(&mut decompressor, [rest.to_vec()], 1 << 20);
        assert_eq!(kind, ErrorKind::InvalidData, "{why}: {said}");
        assert!(said.contains(why), "{why}: {said}");
        assert!(bytes.len() <= 128 << 10, "{} bytes came out", bytes.len());
    }
    for other in [*b"\x0a\x0d\x0d\x0a", *b"cd-1", [0; 4]] {
        assert!(!Decompressor::recognizes(other));
    }
}

#[test]
fn a_truncated_compressed_stream_is_detected() {
    let out = compressed(CompressionMode::On, &[vec![text(5000)]]).concat();
    for cut in 4..out.len() {
        let (mut decompressor, rest) = begin(&out[..cut]);
        let mut source = ChunkedReader { pieces: [rest.to_vec()].into(), ends: true };
        let mut room = vec![0; 10_000];
        while decompressor.read(&mut source, &mut room).expect("nothing is wrong so far") > 0 {}
        assert!(!decompressor.is_complete(), "{cut} of {}", out.len());
    }
}

/// Bytes, some compressible.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let ways = (0..3_u8, 1..300_000_usize, 0..2000_usize);
    ways.prop_map(|(way, many, few)| match way {
        0 => text(many),
        1 => noise(many),
        _ => noise(few),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compression_round_trips(
        writes in vec(vec(bytes(), 0..4), 1..6),
        always in any::<bool>(),
        cut in 1..100_000_usize,
        read_len in 1..200_000_usize,
    ) {
        let compress = if always { CompressionMode::On } else { CompressionMode::Auto };
        let out = compressed(compress, &writes).concat();
        if !out.is_empty() {
            let (mut decompressor, rest) = begin(&out);
            let pieces = rest.chunks(cut).map(<[u8]>::to_vec);
            let (all, kind, said) = decompressed(&mut decompressor, pieces, read_len);
            prop_assert_eq!(kind, ErrorKind::WouldBlock, "{}", said);
            prop_assert!(all == writes.concat().concat());
            prop_assert!(decompressor.is_complete());
        }
    }

    #[test]
    fn decompression_never_exceeds_the_announced_length(
        writes in vec(vec(bytes(), 1..3), 1..3),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        read_len in 1..100_000_usize,
    ) {
        let mut out = compressed(CompressionMode::On, &writes).concat();
        if out.len() > 12 {
            for (at, byte) in changes {
                let at = 4 + at.index(out.len() - 4);
                out[at] = byte;
            }
            let (mut decompressor, rest) = begin(&out);
            let (all, ..) = decompressed(&mut decompressor, [rest.to_vec()], read_len);
            // As many chunks as there are, each with the maximum length.
            let chunks = out.windows(4).filter(|four| four.starts_with(b"cd-")).count();
            prop_assert!(all.len() <= chunks * (1 << 20));
        }
    }
}
