//! The output of a script on another host, line by line.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::SshSession;
use crate::error::Error;

/// During an upload, scripts print a line every second.
const MAX_SCRIPT_OUTPUT_LEN: usize = 256 * 1024;
/// The reason why there is no further line after the end of the output.
pub(super) const OUTPUT_ENDED: &str = "the connection was closed";

/// Reads lines with a deadline.
pub(super) struct OutputLines {
    pub(super) stream: UnixStream,
    /// Read, but not returned yet.
    pending: Vec<u8>,
    total: usize,
}

impl OutputLines {
    /// # Errors
    /// No file descriptor is left.
    pub(super) fn new(session: &SshSession) -> Result<Self, Error> {
        Ok(Self { stream: session.stream()?, pending: Vec::new(), total: 0 })
    }

    /// Returns the next line.
    ///
    /// # Errors
    /// Why there is none before `deadline`.
    pub(super) fn next_line(&mut self, deadline: Instant) -> Result<String, String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err("timed out waiting for the host".to_owned());
            }
            let mut bytes = [0; 1024];
            let read =
                self.stream.set_read_timeout(Some(remaining)).and_then(|()| (&self.stream).read(&mut bytes));
            match read {
                Ok(0) => return Err(OUTPUT_ENDED.to_owned()),
                Ok(count) => {
                    self.total += count;
                    self.pending.extend_from_slice(&bytes[..count]);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
                    // A peer that exits with unread input resets the socket.
                    io::ErrorKind::ConnectionReset => return Err(OUTPUT_ENDED.to_owned()),
                    _ => return Err(error.to_string()),
                },
            }
            if self.total > MAX_SCRIPT_OUTPUT_LEN {
                return Err(format!("unexpected output exceeds {} KiB", MAX_SCRIPT_OUTPUT_LEN / 1024));
            }
        }
    }
}
