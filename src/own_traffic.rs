//! The program's own traffic, which a capture must not take: each packet of it that was captured would make
//! further ones.
//!
//! That is what passes a network, and not a socket of the file system: connections to engines over TCP, those
//! that carry the packets of taps among them; the ssh session in which the program runs, whose terminal or
//! pipe gets what it writes; and a connection that is its standard output itself.

use std::env;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;

use crate::engine::{self, SOURCE_PORTS};
use crate::error::Error;
use crate::privilege::Privilege;

/// What ssh's server tells the programs of a session: address and port of the client, then its own.
const VARIABLE: &str = "SSH_CONNECTION";
/// Processes above this one that are asked for it, where nobody handed it on (sudo does not).
const MOST_ANCESTORS: usize = 64;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection(SocketAddr, SocketAddr);

/// What the kernel must not take, as a capture filter that lets everything else pass; `None` where there is
/// no such traffic.
///
/// Fails when rights that were needed to look cannot be given up.
pub fn filter(privilege: &Privilege) -> Result<Option<String>, Error> {
    let session = match env::var(VARIABLE) {
        Ok(text) => session(&text),
        Err(_) if privilege.may_enter() => privilege.on_entering_thread(session_of_ancestors)?,
        Err(_) => session_of_ancestors(),
    };
    let connections: Vec<Connection> = session.into_iter().chain(standard_output()).collect();
    Ok(without(&engine::tcp_ports(), &connections))
}

/// The same for hosts whose engines `ssh` leads to: which connection it is that carries their packets to us, cannot be
/// told on this side of what translates addresses, so all of that kind are left out.
pub fn filter_there() -> Option<String> {
    let ports: Vec<String> = engine::ssh_ports().iter().map(|port| format!("tcp port {port}")).collect();
    (!ports.is_empty()).then(|| format!("not ({})", ports.join(" or ")))
}

fn without(engines: &[u16], connections: &[Connection]) -> Option<String> {
    let mut parts = Vec::new();
    let (first, last) = (SOURCE_PORTS.start(), SOURCE_PORTS.end());
    for port in engines {
        parts.push(format!("tcp src portrange {first}-{last} and tcp dst port {port}"));
        parts.push(format!("tcp dst portrange {first}-{last} and tcp src port {port}"));
    }
    for Connection(one, other) in connections {
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

/// `192.0.2.1 50022 192.0.2.2 22`
fn session(text: &str) -> Option<Connection> {
    let mut words = text.split_ascii_whitespace();
    let mut end = || {
        // Behind `%` stands which link an address is on; no packet has that.
        let address: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(address.to_canonical(), words.next()?.parse().ok()?))
    };
    Some(Connection(end()?, end()?))
}

fn session_of_ancestors() -> Option<Connection> {
    let mut pid = parent("self")?;
    for _ in 0..MOST_ANCESTORS {
        // Another user's says nothing, unless root asks.
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let told = variables.split(|byte| *byte == 0).find_map(|variable| {
            String::from_utf8_lossy(variable).strip_prefix(VARIABLE)?.strip_prefix('=').and_then(session)
        });
        if told.is_some() {
            return told;
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

/// The connection that standard output is, if it is one.
fn standard_output() -> Option<Connection> {
    let socket = TcpStream::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
    let ends = (socket.local_addr().ok()?, socket.peer_addr().ok()?);
    let seen = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    Some(Connection(seen(ends.0), seen(ends.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture;

    #[test]
    fn a_session_is_read_as_ssh_tells_it() {
        let read = session("fe80::1%eth0 50022 ::ffff:192.0.2.2 22").expect("a session");
        assert_eq!(read.0, "[fe80::1]:50022".parse().expect("an address"));
        assert_eq!(read.1, "192.0.2.2:22".parse().expect("an address"));
        for text in
            ["", "192.0.2.1 50022 192.0.2.2", "192.0.2.1 x 192.0.2.2 22", "a 1 b 2", "1.1.1.1) 1 2.2.2.2 2"]
        {
            assert_eq!(session(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_left_out_is_a_filter_of_libpcap() {
        let sessions = ["192.0.2.1 50022 192.0.2.2 22", "2001:db8::1 50022 2001:db8::2 22"];
        let connections: Vec<Connection> = sessions.iter().filter_map(|text| session(text)).collect();
        let filter = without(&[2375, 8080], &connections).expect("a filter");
        assert_eq!(capture::filter_syntax_error(&filter), None);
        assert_eq!(capture::filter_syntax_error(&format!("({filter}) and (vlan and tcp)")), None);
        assert_eq!(without(&[], &[]), None);
    }
}
