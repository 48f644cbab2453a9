//! A stream between two of our programs, made smaller on its way. The only place that names zstd.
//!
//! ```text
//! session ── pcapng ──> [`Packer`] ── chunks ──> sshd ─ ssh ──> [`Unpacker`] ── pcapng ──> remote
//! ```
//!
//! A stream is cut into chunks, each of which is told as it is, or by zstd (RFC 8878). A large chunk is a frame of its
//! own. Small ones are one after the other a single frame, so that what stood in one need not be told again in the next:
//!
//! ```text
//! "cd-0", length, bytes                             as they are
//! "cd-z", length, length when unpacked, bytes       the next piece of frames, up to the end of a block
//! ```
//!
//! Lengths are four bytes, the least first. Nothing waits for a chunk to be full. A pcapng stream begins
//! otherwise, so whoever reads knows at once whether it is packed.

mod adaptive;
mod compressor;
mod decompressor;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use compressor::StreamCompressor;
pub use decompressor::Decompressor;

/// What a chunk begins with.
const AS_IT_IS: [u8; 4] = *b"cd-0";
const BY_ZSTD: [u8; 4] = *b"cd-z";
/// Bytes told as they are in one chunk.
const MOST_AS_IT_IS: usize = 1024 * 1024;
/// Bytes packed into one chunk: two of zstd's own blocks. With half as many, ours and `ssh` have more to do for each byte.
const MOST_PACKED: usize = 256 * 1024;
/// Bytes that these take where they do not become smaller (`ZSTD_compressBound`, a frame's header, and the end of the frame
/// before).
const LONGEST_PACKED: usize = MOST_PACKED + MOST_PACKED / 128 + 64;
/// How far back zstd looks, as a power of two: what its level 1 has for long inputs. Both ends keep as much.
const WINDOW: u32 = 19;

/// Whether a stream is packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionMode {
    /// Compress what becomes smaller, as long as the link is slower than the compression
    Auto,
    /// Compress everything
    On,
    /// Compress nothing
    #[default]
    Off,
}

impl CompressionMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::On, Self::Off];

    /// The word that asks for it: `auto`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// The one that `word` asks for; `None` where it asks for none of them.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compress| compress.word() == word)
    }
}
