//! What a shell of another host says, line by line.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::Session;
use crate::error::Error;

/// What it may say; while something is sent, that is a line every second.
const MOST_SAID: usize = 256 * 1024;
/// Why there is no further line where it ended.
pub(super) const BROKE_OFF: &str = "it broke off";

/// Lines that a host says.
pub(super) struct Lines {
    pub(super) stream: UnixStream,
    /// What came and was not handed out.
    kept: Vec<u8>,
    total: usize,
}

impl Lines {
    /// Those of a program there.
    ///
    /// Fails when there are no file descriptors left.
    pub(super) fn of(session: &Session) -> Result<Self, Error> {
        Ok(Self { stream: session.stream()?, kept: Vec::new(), total: 0 })
    }

    /// The next, which must come before `until`; else why not.
    pub(super) fn next(&mut self, until: Instant) -> Result<String, String> {
        loop {
            if let Some(end) = self.kept.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.kept.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("timed out waiting for the host".to_owned());
            }
            let mut bytes = [0; 1024];
            let read =
                self.stream.set_read_timeout(Some(left)).and_then(|()| (&self.stream).read(&mut bytes));
            match read {
                Ok(0) => return Err(BROKE_OFF.to_owned()),
                Ok(count) => {
                    self.total += count;
                    self.kept.extend_from_slice(&bytes[..count]);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Who ends without having read all that was written resets the link.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(BROKE_OFF.to_owned());
                }
                Err(error) => return Err(error.to_string()),
            }
            if self.total > MOST_SAID {
                return Err(format!("unexpected output exceeds {} KiB", MOST_SAID / 1024));
            }
        }
    }
}
