//! The confirmation that the process of one interface captures those of others, too: without it they capture themselves.

use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use containerdump::privilege::Unprivileged;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// How long the leader may take until it can be connected to: dumpcap opens its FIFO after those before it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two attempts to connect.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// What the leader sends a member once it captures.
const CAPTURES: u8 = b'c';
/// What it sends at the end of its capture, unless that fails.
const ENDED: u8 = b'e';

/// The socket where a leader confirms, in Linux's abstract namespace.
fn address(leader: i32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("containerdump-capture-{leader}"))
}

/// Whether the process at the other end is one of `pids`.
fn is_from(stream: &UnixStream, pids: &[i32]) -> bool {
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| pids.contains(&peer.pid()))
}

/// The leader's end of the connections to its members.
#[derive(Debug)]
pub(crate) struct Confirmation {
    listener: UnixListener,
    members: Vec<i32>,
}

impl Confirmation {
    /// Makes the socket that the processes `members` connect to; they are answered from [`Self::begin`] on.
    pub(crate) fn prepare(members: Vec<i32>) -> io::Result<Self> {
        let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        let listener = UnixListener::bind_addr(&address(own)?)?;
        Ok(Self { listener, members })
    }

    /// Confirms to each member that connects that it is captured, on a thread without any right.
    ///
    /// Fails when there are no threads left.
    pub(crate) fn begin(self, _proof: &Unprivileged) -> io::Result<Confirmed> {
        let connected = Arc::new(Mutex::new(Vec::new()));
        let streams = Arc::clone(&connected);
        std::thread::Builder::new().name("members".to_owned()).spawn(move || {
            for mut stream in self.listener.incoming().flatten() {
                if is_from(&stream, &self.members) && stream.write_all(&[CAPTURES]).is_ok() {
                    streams.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                }
            }
        })?;
        Ok(Confirmed(connected))
    }
}

/// The connections to members that are captured.
#[derive(Debug)]
pub(crate) struct Confirmed(Arc<Mutex<Vec<UnixStream>>>);

impl Confirmed {
    /// Tells the members that the capture has come to a normal end.
    pub(crate) fn end(self) {
        for stream in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // A member that has ended needs no message.
            let _ = stream.write_all(&[ENDED]);
        }
    }
}

/// Waits until the process `leader` confirms that it captures; the stream tells of its end, see [`has_ended_normally`].
///
/// Fails when it ends, does not answer or does not capture.
pub(crate) fn wait_for(leader: i32) -> io::Result<UnixStream> {
    let (address, until) = (address(leader)?, Instant::now() + CONNECT_TIMEOUT);
    let process = Path::new("/proc").join(leader.to_string());
    let mut stream = loop {
        match UnixStream::connect_addr(&address) {
            Ok(stream) => break stream,
            Err(_) if process.exists() && Instant::now() < until => std::thread::sleep(CONNECT_INTERVAL),
            Err(error) => return Err(error),
        }
    };
    let mut answer = [0];
    if !is_from(&stream, &[leader]) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.read_exact(&mut answer)?;
    if answer == [CAPTURES] { Ok(stream) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Waits for the end of the capture of a leader. Whether it was a normal one.
pub(crate) fn has_ended_normally(mut leader: &UnixStream) -> bool {
    let mut end = [0];
    leader.read_exact(&mut end).is_ok() && end == [ENDED]
}
