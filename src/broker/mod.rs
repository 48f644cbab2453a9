//! A process that keeps the right to capture, for what joins after the program itself has given up
//! every right.
//!
//! ```text
//! main ── a request, and two descriptors ──> opener ── starts, with these ──> containerdump tap
//!      <───────────────── pcapng, through the stream that main has the other end of ──┘
//! ```
//!
//! It is the same program, reads nothing but requests, starts nothing but taps, and never sees a
//! packet. Main reads what a tap writes as it reads any stream from elsewhere: without trust.

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

/// The first byte it says.
const READY: u8 = b'o';
/// How long it may take to begin, and a tap to tell its interfaces, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for at the end: then it goes on ending by itself.
const PATIENCE_AT_END: Duration = Duration::from_secs(1);
/// How long the reason of a tap that failed is waited for, on a machine that may be busy: such a tap ends soon.
const PATIENCE_FOR_REASON: Duration = Duration::from_secs(3);

/// A tap that was asked for. It ends when nobody has said for 10 seconds that its packets are wanted.
#[derive(Debug)]
pub struct PendingTap {
    stream: UnixStream,
    errors: PipeReader,
}

/// A process that opens what joins. It ends when this is dropped, and with this process.
#[derive(Debug)]
pub struct Broker {
    /// `None` once it shall end.
    socket: Option<OwnedFd>,
    process: Child,
    may_capture: bool,
    may_enter: bool,
}

impl Broker {
    /// Starts `program`, which is [`crate::own_program::EXECUTABLE`] but in a test, as one. It keeps the rights that are held now, to
    /// be done before these are given up; where there are none, it opens inside of the user's own rootless
    /// containers, for which a program has to be without threads. It
    /// has no place in the terminal's job: whoever captures tells it when to end.
    ///
    /// Fails when it does not start.
    pub fn start(program: &Path) -> Result<Self, Error> {
        let start = || -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC;
            let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            let mut command = Command::new(program);
            command.arg("broker").env_clear().current_dir("/").process_group(0);
            command.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null());
            let process = command.spawn()?;
            let mut opener = Self { socket: Some(ours), process, may_capture: false, may_enter: false };
            // Its end of the socket is its own only.
            drop(command);
            (opener.may_capture, opener.may_enter) = opener.is_ready()?;
            Ok(opener)
        };
        start().map_err(|error| {
            Error::new(
                format!("cannot start the process that opens what joins later: {error}"),
                "see that /proc is there and this program may be started from there, or name what is to be captured",
            )
        })
    }

    /// Waits until it has put its own rights in order. Whether it may capture, and enter namespaces.
    fn is_ready(&self) -> io::Result<(bool, bool)> {
        let socket = self.socket()?;
        let milliseconds = u16::try_from(PATIENCE.as_millis()).unwrap_or(u16::MAX);
        let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(milliseconds));
        let mut said = [0; 3];
        match recv(socket, &mut said, RecvFlags::DONTWAIT)? {
            (3, _) if said[0] == READY => Ok((said[1] == 1, said[2] == 1)),
            _ => Err(io::Error::other("it ended at once")),
        }
    }

    /// Whether it can open in this network namespace.
    pub fn may_capture(&self) -> bool {
        self.may_capture
    }

    /// Whether it can open inside another network namespace, too.
    pub fn may_enter(&self) -> bool {
        self.may_enter
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Has packets taken as `request` says, without waiting until they are; `from` is whose they are. Any
    /// thread may do so, several at a time.
    ///
    /// Fails when the opener has ended.
    pub fn request_tap(&self, request: &TapRequest, from: &SafeText) -> Result<PendingTap, Error> {
        self.send(request).map_err(|error| {
            Error::new(
                format!("cannot ask the opener for packets of {from}: {error}"),
                "capture again; see that nobody ended it",
            )
        })
    }

    /// Sends a request.
    fn send(&self, request: &TapRequest) -> io::Result<PendingTap> {
        let (stream, theirs) = UnixStream::pair()?;
        let (told, errors) = io::pipe()?;
        message::send(self.socket()?.as_fd(), request, [theirs.as_fd(), errors.as_fd()])?;
        Ok(PendingTap { stream, errors: told })
    }

    fn socket(&self) -> io::Result<&OwnedFd> {
        self.socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl PendingTap {
    /// Waits until packets are taken; `from` is whose they are.
    ///
    /// Fails when what the opener started says why it cannot.
    pub fn wait(self, from: &SafeText) -> Result<(Vec<InterfaceDescription>, PeerStream), Error> {
        let Self { stream, errors } = self;
        peer::open_tap_stream(stream, from, PATIENCE).map_err(|trouble| trouble.explained_by(&said(&errors)))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.socket = None;
        let until = Instant::now() + PATIENCE_AT_END;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What was said until the end of a line or of all, if that comes soon: what is one line may come in pieces.
fn said(errors: &PipeReader) -> String {
    let until = Instant::now() + PATIENCE_FOR_REASON;
    let (mut bytes, mut filled) = ([0; 4096], 0);
    while filled < bytes.len() && !bytes[..filled].contains(&b'\n') {
        let left = u16::try_from(until.saturating_duration_since(Instant::now()).as_millis());
        let mut readable = [PollFd::new(errors.as_fd(), PollFlags::POLLIN)];
        match poll(&mut readable, PollTimeout::from(left.unwrap_or(u16::MAX))) {
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
    fn what_is_said_in_pieces_is_read_whole() {
        let (errors, mut tap) = io::pipe().expect("a pipe");
        let saying = std::thread::spawn(move || {
            for piece in ["containerdump: ", "x0 is gone. Remedy: see y.", "\n"] {
                std::thread::sleep(Duration::from_millis(20));
                tap.write_all(piece.as_bytes()).expect("a reader");
            }
            // A process that has said why may be slow to end.
            tap
        });
        assert_eq!(said(&errors), "containerdump: x0 is gone. Remedy: see y.\n");
        drop(saying.join());
        assert_eq!(said(&errors), "");
    }
}
