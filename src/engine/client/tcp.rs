//! TCP connections to engines, from a reserved range of source ports: a capture of the network that they pass can
//! exclude them, also behind NAT.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use log::debug;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use crate::container::endpoint::Endpoint;
use crate::engine::discovery;

/// Source ports of our connections: just above Linux's ephemeral ports (`ip_local_port_range`). The same for every
/// containerdump, or two captures would capture each other's traffic.
pub const SOURCE_PORTS: RangeInclusive<u16> = 61_000..=62_023;
/// Ports tried before an ephemeral port is used.
const MAX_PORT_ATTEMPTS: usize = 256;

/// The TCP ports at which engines may listen.
pub fn tcp_ports() -> Vec<u16> {
    let mut ports: Vec<u16> =
        discovery::candidates().into_iter().filter_map(|candidate| port(&candidate.endpoint.ok()?)).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn port(endpoint: &Endpoint) -> Option<u16> {
    let (Endpoint::Tcp(address) | Endpoint::Tls { address, .. }) = endpoint else { return None };
    address.rsplit_once(':')?.1.parse().ok()
}

/// Connects to `address`, `host:port`.
///
/// Fails when no address accepts a connection.
pub(super) async fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last_error = io::Error::new(ErrorKind::NotFound, "the host name has no address");
    for address in lookup_host(address).await? {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

async fn connect_to(remote: SocketAddr) -> io::Result<TcpStream> {
    for _ in 0..MAX_PORT_ATTEMPTS {
        match connect_from(remote, next_port()).await {
            // In use by another process, or by a connection to the same address in TIME_WAIT.
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => break,
            connected => return connected,
        }
    }
    debug!("no reserved source port is free for {remote}");
    TcpStream::connect(remote).await
}

async fn connect_from(remote: SocketAddr, port: u16) -> io::Result<TcpStream> {
    let (socket, local) = match remote {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
    };
    // One port may serve connections to several engines.
    socket.set_reuseaddr(true)?;
    socket.bind(local)?;
    socket.connect(remote).await
}

/// The ports in turn, starting at a random one in each process.
fn next_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let count = SOURCE_PORTS.end() - SOURCE_PORTS.start() + 1;
    let next = NEXT.get_or_init(|| {
        let random = RandomState::new().hash_one(std::process::id());
        AtomicU16::new(u16::try_from(random % u64::from(count)).unwrap_or_default())
    });
    SOURCE_PORTS.start() + next.fetch_add(1, Ordering::Relaxed) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_source_ports_are_used_in_turn() {
        let ports: std::collections::BTreeSet<u16> = (0..5000).map(|_| next_port()).collect();
        assert_eq!(ports, SOURCE_PORTS.collect());
    }

    #[test]
    fn the_port_of_an_endpoint_is_read_from_its_address() {
        assert_eq!(port(&Endpoint::Tcp("[::1]:2375".to_owned())), Some(2375));
        assert_eq!(port(&Endpoint::Unix("/run/docker.sock".into())), None);
    }
}
