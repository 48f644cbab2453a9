//! Connections to engines over TCP, from ports of our own: a capture of the network they pass can tell them
//! from everybody else's, whatever addresses are made of ours on the way.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use log::debug;
use tokio::net::{TcpSocket, TcpStream, lookup_host};

use super::places;
use crate::endpoint::Endpoint;

/// The ports our connections come from: right above those that Linux gives to whoever asks for none
/// (`ip_local_port_range`). The same for every containerdump, or two captures would feed each other.
pub const SOURCE_PORTS: RangeInclusive<u16> = 61_000..=62_023;
/// Ports tried before one is taken that can be anybody's.
const MOST_TRIES: usize = 256;

/// The ports that engines listen at over TCP, where they are looked for.
pub fn tcp_ports() -> Vec<u16> {
    let mut ports: Vec<u16> =
        places::all().into_iter().filter_map(|place| port(&place.endpoint.ok()?)).collect();
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
/// Fails when nobody listens there.
pub(super) async fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "its name has no address");
    for address in lookup_host(address).await? {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_to(far: SocketAddr) -> io::Result<TcpStream> {
    for _ in 0..MOST_TRIES {
        match connect_from(far, next_port()).await {
            // Somebody else's, or one of ours to the same place that has hardly ended.
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => break,
            connected => return connected,
        }
    }
    debug!("no port of our own is free to speak to {far}");
    TcpStream::connect(far).await
}

async fn connect_from(far: SocketAddr, port: u16) -> io::Result<TcpStream> {
    let (socket, near) = match far {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))),
    };
    // Several of ours may come from one port, to several engines.
    socket.set_reuseaddr(true)?;
    socket.bind(near)?;
    socket.connect(far).await
}

/// Every one in turn, each process beginning somewhere else.
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
    fn every_port_of_ours_is_taken_in_turn_and_no_other() {
        let ports: std::collections::BTreeSet<u16> = (0..5000).map(|_| next_port()).collect();
        assert_eq!(ports, SOURCE_PORTS.collect());
    }

    #[test]
    fn the_port_of_an_address_is_what_follows_it() {
        assert_eq!(port(&Endpoint::Tcp("[::1]:2375".to_owned())), Some(2375));
        assert_eq!(port(&Endpoint::Unix("/run/docker.sock".into())), None);
    }
}
