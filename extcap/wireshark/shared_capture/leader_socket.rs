//! The socket by which the leader of a shared capture confirms to its members that it captures their interfaces.

use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use containerdump::privilege::Unprivileged;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

/// How long a member waits for the socket: dumpcap opens the FIFOs of the interfaces one after the other.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two attempts to connect.
const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// The byte that confirms to a member that its interface is captured.
const CAPTURING: u8 = b'c';
/// The byte that reports the end of a capture that has not failed.
const ENDED: u8 = b'e';

/// The address of a leader's socket, in the abstract namespace.
fn address(leader: i32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("containerdump-capture-{leader}"))
}

/// Whether the process at the other end is one of `pids`.
fn is_from(stream: &UnixStream, pids: &[i32]) -> bool {
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| pids.contains(&peer.pid()))
}

/// The leader's socket.
#[derive(Debug)]
pub(crate) struct MemberListener {
    listener: UnixListener,
    members: Vec<i32>,
}

impl MemberListener {
    /// Binds the socket for the processes `members`. They are answered from [`Self::serve`] on.
    ///
    /// # Errors
    ///
    /// If the process has no file descriptors left.
    pub(crate) fn bind(members: Vec<i32>) -> io::Result<Self> {
        let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        let listener = UnixListener::bind_addr(&address(own)?)?;
        Ok(Self { listener, members })
    }

    /// Confirms to each member that connects that it is captured, on a thread of its own.
    ///
    /// # Errors
    ///
    /// If the process has no threads left.
    pub(crate) fn serve(self, _proof: &Unprivileged) -> io::Result<MemberConnections> {
        let connected = Arc::new(Mutex::new(Vec::new()));
        let streams = Arc::clone(&connected);
        std::thread::Builder::new().name("members".to_owned()).spawn(move || {
            for mut stream in self.listener.incoming().flatten() {
                if is_from(&stream, &self.members) && stream.write_all(&[CAPTURING]).is_ok() {
                    streams.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                }
            }
        })?;
        Ok(MemberConnections(connected))
    }
}

/// The connections to the members whose interfaces are captured.
#[derive(Debug)]
pub(crate) struct MemberConnections(Arc<Mutex<Vec<UnixStream>>>);

impl MemberConnections {
    /// Reports to the members that the capture has ended without an error.
    pub(crate) fn report_end(self) {
        for stream in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // A member may have ended before.
            let _ = stream.write_all(&[ENDED]);
        }
    }
}

/// Waits until the process `leader` confirms that it captures the interface of this process. The returned stream
/// reports the end of the capture, see [`has_ended_normally`].
///
/// # Errors
///
/// If the leader ends, does not answer in time or does not capture.
pub(super) fn connect(leader: i32) -> io::Result<UnixStream> {
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
    if answer == [CAPTURING] { Ok(stream) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Waits for the end of the capture of a leader. Whether it ended without an error.
pub(super) fn has_ended_normally(mut leader: &UnixStream) -> bool {
    let mut end = [0];
    leader.read_exact(&mut end).is_ok() && end == [ENDED]
}
