//! The standard streams of a tap container, multiplexed on one connection.
//!
//! ```text
//! stream (1: stdout, 2: stderr) 0 0 0  length (32 bits, big-endian)  bytes …
//! ```
//!
//! This is the format for containers without a terminal (Docker Engine API, "Attach to a container", stream format).
//! Frames are never buffered whole: their length is not trusted.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::safe_text::SafeText;

/// Larger than the buffer of a Unix socket (net.core.wmem_default, 208 KiB).
const STREAM_BUFFER_LEN: usize = 256 * 1024;
/// Bytes kept of the program's stderr.
const MAX_STDERR_LEN: usize = 4096;
const FRAME_HEADER_LEN: usize = 8;

/// The end of the program's stderr.
#[derive(Debug, Default)]
pub(crate) struct StderrTail(Mutex<VecDeque<u8>>);

impl StderrTail {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&bytes[bytes.len().saturating_sub(MAX_STDERR_LEN)..]);
        let excess = kept.len().saturating_sub(MAX_STDERR_LEN);
        kept.drain(..excess);
    }

    pub(crate) fn text(&self) -> SafeText {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        SafeText::with_limit(&String::from_utf8_lossy(kept.make_contiguous()), MAX_STDERR_LEN)
    }
}

/// Decodes frames from pieces of any size.
#[derive(Default)]
pub(crate) struct FrameDecoder {
    header: [u8; FRAME_HEADER_LEN],
    /// Bytes of the header read so far.
    header_read: usize,
    /// Remaining bytes of the frame's content.
    remaining: usize,
}

impl FrameDecoder {
    /// Moves the stdout content in `bytes` to their start and returns its length.
    ///
    /// Fails when a frame header is invalid.
    pub(crate) fn decode(&mut self, bytes: &mut [u8], stderr: &StderrTail) -> io::Result<usize> {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() {
            if self.remaining == 0 && self.header_read < FRAME_HEADER_LEN {
                let count = (FRAME_HEADER_LEN - self.header_read).min(bytes.len() - at);
                self.header[self.header_read..self.header_read + count]
                    .copy_from_slice(&bytes[at..at + count]);
                self.header_read += count;
                at += count;
                if self.header_read < FRAME_HEADER_LEN {
                    break;
                }
                let [stream, 0, 0, 0, length @ ..] = self.header else { return Err(invalid_frame()) };
                if !(1..=3).contains(&stream) {
                    return Err(invalid_frame());
                }
                self.remaining = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            }
            let count = self.remaining.min(bytes.len() - at);
            if self.header[0] == 1 {
                bytes.copy_within(at..at + count, kept);
                kept += count;
            } else {
                // 3: an error of the engine itself (moby, pkg/stdcopy, `Systemerr`).
                stderr.push(&bytes[at..at + count]);
            }
            at += count;
            self.remaining -= count;
            if self.remaining == 0 {
                self.header_read = 0;
            }
        }
        Ok(kept)
    }
}

fn invalid_frame() -> io::Error {
    io::Error::other("the engine sent an invalid stream frame")
}

/// Forwards the program's stdout to `local` until the connection ends. When `local` is closed, the rest is discarded, so
/// that the program can exit.
///
/// Fails when the connection breaks or a frame is invalid.
pub(super) async fn forward_output(
    first: Bytes,
    mut from_container: impl AsyncRead + Unpin,
    mut local: impl tokio::io::AsyncWrite + Unpin,
    stderr: &StderrTail,
) -> io::Result<()> {
    let (mut decoder, mut is_open) = (FrameDecoder::default(), true);
    let mut buffer = vec![0; STREAM_BUFFER_LEN.max(first.len())];
    buffer[..first.len()].copy_from_slice(&first);
    let mut length = first.len();
    loop {
        let kept = decoder.decode(&mut buffer[..length], stderr)?;
        if is_open && kept > 0 {
            is_open = local.write_all(&buffer[..kept]).await.is_ok();
        }
        length = from_container.read(&mut buffer).await?;
        if length == 0 {
            // The reader may be gone.
            let _ = local.shutdown().await;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("a short frame");
        [&[stream, 0, 0, 0], &length.to_be_bytes()[..], content].concat()
    }

    #[test]
    fn frames_are_decoded_across_reads() {
        let sent =
            [frame(1, b"one"), frame(2, b"why"), frame(1, b""), frame(1, b" two"), frame(2, b"!")].concat();
        for size in 1..sent.len() {
            let (mut decoder, stderr, mut out) = (FrameDecoder::default(), StderrTail::default(), Vec::new());
            for piece in sent.chunks(size) {
                let mut piece = piece.to_vec();
                let kept = decoder.decode(&mut piece, &stderr).expect("frames");
                out.extend_from_slice(&piece[..kept]);
            }
            assert_eq!(out, b"one two", "{size}");
            assert_eq!(stderr.text().as_str(), "why!");
        }
    }

    #[test]
    fn a_frame_of_four_gigabytes_takes_no_memory() {
        let (mut decoder, stderr) = (FrameDecoder::default(), StderrTail::default());
        let mut bytes = [vec![1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], vec![7; 100]].concat();
        assert_eq!(decoder.decode(&mut bytes, &stderr).expect("a frame"), 100);
    }

    #[test]
    fn invalid_frames_are_rejected() {
        for bytes in [&b"HTTP/1.1"[..], &[1, 0, 0, 1, 0, 0, 0, 1], &[4, 0, 0, 0, 0, 0, 0, 1]] {
            let mut bytes = bytes.to_vec();
            assert!(FrameDecoder::default().decode(&mut bytes, &StderrTail::default()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn only_the_end_of_stderr_is_kept() {
        let stderr = StderrTail::default();
        (0..5000).for_each(|number| stderr.push(format!("{number:05}").as_bytes()));
        let text = stderr.text();
        assert!(text.as_str().len() <= MAX_STDERR_LEN && text.as_str().ends_with("0499804999"), "{text}");
    }
}
