//! Compression of a stream between two hosts. The only module that names zstd.
//!
//! ```text
//! session ── pcapng ──> [`StreamCompressor`] ── chunks ──> sshd ─ ssh ──> [`Decompressor`] ── pcapng ──> PeerStream
//! ```
//!
//! A stream is cut into chunks, raw or compressed by zstd (RFC 8878). A large chunk is a frame of its own. Small chunks
//! continue one frame, so that repeated headers cost little:
//!
//! ```text
//! "cd-0", length, bytes                             raw
//! "cd-z", length, decompressed length, bytes        the next part of frames, flushed to the end of a block
//! ```
//!
//! Lengths are four bytes, little-endian. Nothing waits for a chunk to be full. A pcapng stream begins with other bytes,
//! so the reader detects whether a stream is compressed.

mod adaptive;
mod compressor;
mod decompressor;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use compressor::StreamCompressor;
pub use decompressor::Decompressor;

/// First bytes of a raw chunk.
const RAW_MAGIC: [u8; 4] = *b"cd-0";
/// First bytes of a chunk compressed by zstd.
const ZSTD_MAGIC: [u8; 4] = *b"cd-z";
/// Longest raw chunk, in bytes.
const MAX_RAW_LEN: usize = 1024 * 1024;
/// Most bytes compressed into one chunk: two of zstd's blocks. Half as many cost more time per byte, here and in `ssh`.
const MAX_INPUT_LEN: usize = 256 * 1024;
/// Longest result for incompressible input (`ZSTD_compressBound`, a frame header, the end of the frame before).
const MAX_COMPRESSED_LEN: usize = MAX_INPUT_LEN + MAX_INPUT_LEN / 128 + 64;
/// zstd's window as a power of two, that of its level 1 for long inputs. Both ends keep as much.
const WINDOW_LOG: u32 = 19;

/// Whether a stream is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionMode {
    /// Compress what becomes smaller
    Auto,
    /// Compress everything
    On,
    /// Compress nothing
    #[default]
    Off,
}
