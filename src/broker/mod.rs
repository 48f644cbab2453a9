//! Privilege separation: a process that keeps the capabilities to capture containers that start after the session has
//! dropped its own.
//!
//! ```text
//! session ── request and two descriptors ──> broker ── passes them on ──> containerdump tap
//!         <──────── pcapng, over a socket pair that the session created ──────────┘
//! ```
//!
//! It runs the same program, accepts nothing but requests, starts nothing but taps and never sees a packet. The session
//! reads a tap's stream as hostile input ([`crate::peer`]).

mod message;
mod open;
mod pool;
mod request;
mod serve;

use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};

pub use pool::receive_request;
pub use request::{TapLocation, TapRequest};
pub use serve::serve;

use crate::error::Error;
use crate::pcapng::InterfaceDescription;
use crate::peer::{self, PeerStream};
use crate::safe_text::SafeText;

/// First byte of its ready message.
const READY: u8 = b'o';
/// For the broker to start and for a tap to report its interfaces, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// For the broker to end; after that it ends in the background.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// For the error of a failed tap, on a busy machine.
const ERROR_TIMEOUT: Duration = Duration::from_secs(3);

/// A requested tap. It ends 10 seconds after the last heartbeat.
#[derive(Debug)]
pub struct PendingTap {
    stream: UnixStream,
    errors: PipeReader,
}

/// A process that opens new containers. It ends when this is dropped, and with this process.
#[derive(Debug)]
pub struct Broker {
    /// `None` to end it.
    socket: Option<OwnedFd>,
    process: Child,
    may_capture: bool,
    may_enter: bool,
}

impl Broker {
    /// Starts the broker with the capabilities held now; call this before dropping them and before starting threads, which
    /// entering the user's rootless containers forbids. It leaves the terminal's process group.
    ///
    /// Fails when it cannot be started.
    pub fn start(program: &Path) -> Result<Self, Error> {
        let start = || -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC;
            let (local_end, remote_end) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            let mut command = Command::new(program);
            command.arg("broker").env_clear().current_dir("/").process_group(0);
            command.stdin(remote_end).stdout(Stdio::null()).stderr(Stdio::null());
            let process = command.spawn()?;
            let mut broker = Self { socket: Some(local_end), process, may_capture: false, may_enter: false };
            // Close our copy of its end.
            drop(command);
            (broker.may_capture, broker.may_enter) = broker.wait_until_ready()?;
            Ok(broker)
        };
        start().map_err(|error| {
            Error::new(
                format!("cannot start the process that captures containers which start later: {error}"),
                "check that /proc is mounted and allows programs to be executed, or select containers by name",
            )
        })
    }

    /// Waits until it has reduced its capabilities. Returns whether it may capture, and enter namespaces.
    fn wait_until_ready(&self) -> io::Result<(bool, bool)> {
        let socket = self.socket()?;
        let milliseconds = u16::try_from(START_TIMEOUT.as_millis()).unwrap_or(u16::MAX);
        let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(milliseconds));
        let mut message = [0; 3];
        match recv(socket, &mut message, RecvFlags::DONTWAIT)? {
            (3, _) if message[0] == READY => Ok((message[1] == 1, message[2] == 1)),
            _ => Err(io::Error::other("it ended at startup")),
        }
    }

    /// Whether it can capture in this network namespace.
    pub fn may_capture(&self) -> bool {
        self.may_capture
    }

    /// Whether it can capture inside other network namespaces, too.
    pub fn may_enter(&self) -> bool {
        self.may_enter
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Requests a tap of `origin`, without waiting for it. Several threads may do so at a time.
    ///
    /// Fails when the broker has ended.
    pub fn request_tap(&self, request: &TapRequest, origin: &SafeText) -> Result<PendingTap, Error> {
        self.send(request).map_err(|error| {
            Error::new(
                format!("cannot request packets of {origin} from the capture broker: {error}"),
                "check that no one ended that process, then capture again",
            )
        })
    }

    /// Sends a request.
    fn send(&self, request: &TapRequest) -> io::Result<PendingTap> {
        let (stream, remote_end) = UnixStream::pair()?;
        let (reader, errors) = io::pipe()?;
        message::send(self.socket()?.as_fd(), request, [remote_end.as_fd(), errors.as_fd()])?;
        Ok(PendingTap { stream, errors: reader })
    }

    fn socket(&self) -> io::Result<&OwnedFd> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl PendingTap {
    /// Waits until it captures.
    ///
    /// Fails with the error of the tap.
    pub fn wait(self, origin: &SafeText) -> Result<(Vec<InterfaceDescription>, PeerStream), Error> {
        let Self { stream, errors } = self;
        peer::open_tap_stream(stream, origin, START_TIMEOUT)
            .map_err(|error| error.explained_by(&read_error_line(&errors)))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.socket = None;
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads a line of errors, which may arrive in parts, or up to the end or time-out.
fn read_error_line(errors: &PipeReader) -> String {
    let deadline = Instant::now() + ERROR_TIMEOUT;
    let (mut bytes, mut filled) = ([0; 4096], 0);
    while filled < bytes.len() && !bytes[..filled].contains(&b'\n') {
        let remaining = u16::try_from(deadline.saturating_duration_since(Instant::now()).as_millis());
        let mut readable = [PollFd::new(errors.as_fd(), PollFlags::POLLIN)];
        match poll(&mut readable, PollTimeout::from(remaining.unwrap_or(u16::MAX))) {
            Err(Errno::EINTR) => continue,
            Ok(1) => {}
            _ => break,
        }
        match { errors }.read(&mut bytes[filled..]) {
            Ok(count @ 1..) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes[..filled]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn an_error_line_in_parts_is_read_whole() {
        let (errors, mut tap) = io::pipe().expect("a pipe");
        let writer = std::thread::spawn(move || {
            for piece in ["containerdump: ", "x0 is gone. Remedy: see y.", "\n"] {
                std::thread::sleep(Duration::from_millis(20));
                tap.write_all(piece.as_bytes()).expect("a reader");
            }
            // A process that reported its error may be slow to end.
            tap
        });
        assert_eq!(read_error_line(&errors), "containerdump: x0 is gone. Remedy: see y.\n");
        drop(writer.join());
        assert_eq!(read_error_line(&errors), "");
    }
}
