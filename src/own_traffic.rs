//! The program's own traffic, which is excluded from captures: each captured packet of it would cause more.
//!
//! It consists of connections to engines over TCP, which also carry packets of taps; of the SSH session in which the
//! program runs, which carries its output; and of a TCP connection that is its standard output.

use std::env;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;

use crate::engine::{self, SOURCE_PORTS};
use crate::error::Error;
use crate::link;
use crate::privilege::Privilege;

/// Set by sshd for the programs of a session: address and port of the client, then of the server.
const SSH_CONNECTION: &str = "SSH_CONNECTION";
/// Parent processes searched for it, where it was not inherited, as with sudo.
const MAX_ANCESTORS: usize = 64;
/// Addresses of this host in the filter; with more, connections of all hosts from our source ports are excluded.
const MAX_OWN_ADDRESSES: usize = 32;

/// The two ends of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TcpConnection(SocketAddr, SocketAddr);

/// A capture filter that excludes the program's own traffic; `None` if there is none.
///
/// Fails if privileges that were needed to find it cannot be dropped.
pub fn exclusion_filter(privilege: &Privilege) -> Result<Option<String>, Error> {
    let ssh_connection = match env::var(SSH_CONNECTION) {
        Ok(value) => parse_ssh_connection(&value),
        Err(_) if privilege.may_enter() => privilege.on_entering_thread(ssh_connection_of_ancestors)?,
        Err(_) => ssh_connection_of_ancestors(),
    };
    let connections: Vec<TcpConnection> = ssh_connection.into_iter().chain(standard_output()).collect();
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let own_addresses: Vec<IpAddr> = loopback.into_iter().chain(link::own_addresses()).collect();
    Ok(excluding(&engine::tcp_ports(), &own_addresses, &connections))
}

/// The same for remote hosts whose engines are reached by `ssh`. Because of address translation the connection that
/// carries their packets is unknown here, so all connections to their SSH ports are excluded.
pub fn remote_exclusion_filter() -> Option<String> {
    let ports: Vec<String> = engine::ssh_ports().iter().map(|port| format!("tcp port {port}")).collect();
    (!ports.is_empty()).then(|| format!("not ({})", ports.join(" or ")))
}

/// The engine's own address may have been translated; that of this host has not, and containers do not have it.
fn excluding(
    engine_ports: &[u16],
    own_addresses: &[IpAddr],
    connections: &[TcpConnection],
) -> Option<String> {
    let mut parts = Vec::new();
    let (first, last) = (SOURCE_PORTS.start(), SOURCE_PORTS.end());
    for port in engine_ports {
        for (own, other) in [("src", "dst"), ("dst", "src")] {
            let connection = format!("tcp {own} portrange {first}-{last} and tcp {other} port {port}");
            let hosts: Vec<String> =
                own_addresses.iter().map(|address| format!("{own} host {address}")).collect();
            let few = hosts.len() <= MAX_OWN_ADDRESSES;
            parts.push(if few { format!("{connection} and ({})", hosts.join(" or ")) } else { connection });
        }
    }
    for TcpConnection(one, other) in connections {
        for (from, to) in [(one, other), (other, one)] {
            parts.push(format!(
                "src host {} and tcp src port {} and dst host {} and tcp dst port {}",
                from.ip(),
                from.port(),
                to.ip(),
                to.port()
            ));
        }
    }
    (!parts.is_empty()).then(|| format!("not (({}))", parts.join(") or (")))
}

/// Parses the value of `SSH_CONNECTION`, such as `192.0.2.1 50022 192.0.2.2 22`.
fn parse_ssh_connection(text: &str) -> Option<TcpConnection> {
    let mut words = text.split_ascii_whitespace();
    let mut end = || {
        // A zone after `%` is not part of packets.
        let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), words.next()?.parse().ok()?))
    };
    Some(TcpConnection(end()?, end()?))
}

/// The `SSH_CONNECTION` of the nearest parent process that has one.
fn ssh_connection_of_ancestors() -> Option<TcpConnection> {
    let mut pid = parent("self")?;
    for _ in 0..MAX_ANCESTORS {
        // Unreadable for processes of other users, except to root.
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let connection = variables.split(|byte| *byte == 0).find_map(|variable| {
            String::from_utf8_lossy(variable)
                .strip_prefix(SSH_CONNECTION)?
                .strip_prefix('=')
                .and_then(parse_ssh_connection)
        });
        if connection.is_some() {
            return connection;
        }
        pid = parent(&pid)?;
    }
    None
}

fn parent(pid: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    (parent != "0").then(|| parent.to_owned())
}

/// The TCP connection that standard output is, if it is one.
fn standard_output() -> Option<TcpConnection> {
    let socket = TcpStream::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
    let ends = (socket.local_addr().ok()?, socket.peer_addr().ok()?);
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    Some(TcpConnection(canonical(ends.0), canonical(ends.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture;

    #[test]
    fn ssh_connection_is_parsed() {
        let parsed = parse_ssh_connection("fe80::1%eth0 50022 ::ffff:192.0.2.2 22").expect("a connection");
        assert_eq!(parsed.0, "[fe80::1]:50022".parse().expect("an address"));
        assert_eq!(parsed.1, "192.0.2.2:22".parse().expect("an address"));
        for text in
            ["", "192.0.2.1 50022 192.0.2.2", "192.0.2.1 x 192.0.2.2 22", "a 1 b 2", "1.1.1.1) 1 2.2.2.2 2"]
        {
            assert_eq!(parse_ssh_connection(text), None, "{text}");
        }
    }

    #[test]
    fn the_exclusion_filter_is_accepted_by_libpcap() {
        let values = ["192.0.2.1 50022 192.0.2.2 22", "2001:db8::1 50022 2001:db8::2 22"];
        let connections: Vec<TcpConnection> =
            values.iter().filter_map(|value| parse_ssh_connection(value)).collect();
        let own = ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().expect("an address"));
        let filter = excluding(&[2375, 8080], &own, &connections).expect("a filter");
        assert_eq!(capture::filter_syntax_error(&filter), None);
        assert_eq!(capture::filter_syntax_error(&format!("({filter}) and (vlan and tcp)")), None);
        assert_eq!(excluding(&[], &own, &[]), None);
    }
}
