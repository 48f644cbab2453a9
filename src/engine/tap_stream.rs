//! What passes between a tap container and us: its standard streams, in frames on one connection.
//!
//! ```text
//! kind (1: stdout, 2: stderr) 0 0 0  length (32 bits, big-endian)  bytes …
//! ```
//!
//! That is how an engine carries streams without a terminal (Docker Engine API, "Attach to a
//! container", stream format). No frame is ever kept: its length may be anything.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::safe_text::SafeText;

/// More than a Unix socket holds at a time (net.core.wmem_default, 208 KiB).
const BUFFER: usize = 256 * 1024;
/// Most bytes kept of what the program says, from its end.
const MOST_SAID: usize = 4096;
const HEADER: usize = 8;

/// What the program in a tap container said on stderr: the end of it.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<VecDeque<u8>>);

impl Said {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&bytes[bytes.len().saturating_sub(MOST_SAID)..]);
        let beyond = kept.len().saturating_sub(MOST_SAID);
        kept.drain(..beyond);
    }

    pub(super) fn label(&self) -> SafeText {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        SafeText::with_limit(&String::from_utf8_lossy(kept.make_contiguous()), MOST_SAID)
    }
}

/// Takes frames apart, wherever what is read of them begins and ends.
#[derive(Default)]
struct Frames {
    header: [u8; HEADER],
    /// Bytes of the header that were read.
    read: usize,
    /// Bytes that are left of the frame's content.
    left: usize,
}

impl Frames {
    /// Moves what `bytes` hold of stdout to their beginning and returns how much that is.
    ///
    /// Fails when they make no sense.
    fn take_apart(&mut self, bytes: &mut [u8], said: &Said) -> io::Result<usize> {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() {
            if self.left == 0 && self.read < HEADER {
                let count = (HEADER - self.read).min(bytes.len() - at);
                self.header[self.read..self.read + count].copy_from_slice(&bytes[at..at + count]);
                self.read += count;
                at += count;
                if self.read < HEADER {
                    break;
                }
                let [kind, 0, 0, 0, length @ ..] = self.header else { return Err(no_sense()) };
                if !(1..=3).contains(&kind) {
                    return Err(no_sense());
                }
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
            let count = self.left.min(bytes.len() - at);
            if self.header[0] == 1 {
                bytes.copy_within(at..at + count, kept);
                kept += count;
            } else {
                // 3 is what the engine itself has to say (moby, pkg/stdcopy, `Systemerr`).
                said.add(&bytes[at..at + count]);
            }
            at += count;
            self.left -= count;
            if self.left == 0 {
                self.read = 0;
            }
        }
        Ok(kept)
    }
}

fn no_sense() -> io::Error {
    io::Error::other("what the engine sends of its streams makes no sense")
}

/// Hands what comes from `far` on to `near` until it ends. A `near` that is gone is no trouble: then
/// the rest is read and thrown away, so that the program is not held up on its way out.
///
/// Fails when the connection breaks, or what comes makes no sense.
pub(super) async fn hand_on(
    first: Bytes,
    mut far: impl AsyncRead + Unpin,
    mut near: impl tokio::io::AsyncWrite + Unpin,
    said: &Said,
) -> io::Result<()> {
    let (mut frames, mut is_wanted) = (Frames::default(), true);
    let mut buffer = vec![0; BUFFER.max(first.len())];
    buffer[..first.len()].copy_from_slice(&first);
    let mut length = first.len();
    loop {
        let kept = frames.take_apart(&mut buffer[..length], said)?;
        if is_wanted && kept > 0 {
            is_wanted = near.write_all(&buffer[..kept]).await.is_ok();
        }
        length = far.read(&mut buffer).await?;
        if length == 0 {
            // Best effort: whoever reads may be gone.
            let _ = near.shutdown().await;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("a short frame");
        [&[kind, 0, 0, 0], &length.to_be_bytes()[..], content].concat()
    }

    #[test]
    fn frames_are_taken_apart_wherever_they_are_cut() {
        let sent =
            [frame(1, b"one"), frame(2, b"why"), frame(1, b""), frame(1, b" two"), frame(2, b"!")].concat();
        for size in 1..sent.len() {
            let (mut frames, said, mut out) = (Frames::default(), Said::default(), Vec::new());
            for piece in sent.chunks(size) {
                let mut piece = piece.to_vec();
                let kept = frames.take_apart(&mut piece, &said).expect("frames");
                out.extend_from_slice(&piece[..kept]);
            }
            assert_eq!(out, b"one two", "{size}");
            assert_eq!(said.label().as_str(), "why!");
        }
    }

    #[test]
    fn a_frame_of_four_gigabytes_takes_no_memory() {
        let (mut frames, said) = (Frames::default(), Said::default());
        let mut bytes = [vec![1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], vec![7; 100]].concat();
        assert_eq!(frames.take_apart(&mut bytes, &said).expect("a frame"), 100);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [&b"HTTP/1.1"[..], &[1, 0, 0, 1, 0, 0, 0, 1], &[4, 0, 0, 0, 0, 0, 0, 1]] {
            let mut bytes = bytes.to_vec();
            assert!(Frames::default().take_apart(&mut bytes, &Said::default()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn only_the_end_of_what_is_said_is_kept() {
        let said = Said::default();
        (0..5000).for_each(|number| said.add(format!("{number:05}").as_bytes()));
        let label = said.label();
        assert!(label.as_str().len() <= MOST_SAID && label.as_str().ends_with("0499804999"), "{label}");
    }
}
