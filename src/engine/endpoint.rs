//! Where an engine listens.

use std::path::PathBuf;

use crate::text::Label;
use crate::trouble::Trouble;

/// Docker's own socket where nothing else is said.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// An address an engine can be reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A socket in the file system.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
}

impl Endpoint {
    /// What `DOCKER_HOST` names, else Docker's own socket.
    ///
    /// Fails when `DOCKER_HOST` names a way that is not known here.
    pub(super) fn docker() -> Result<Self, Trouble> {
        match std::env::var_os("DOCKER_HOST") {
            Some(host) if !host.is_empty() => Self::parse(&host.to_string_lossy()),
            _ => Ok(Self::Unix(DOCKER_SOCKET.into())),
        }
    }

    fn parse(host: &str) -> Result<Self, Trouble> {
        match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp" | "http", address)) => Ok(Self::Tcp(with_port(address.trim_end_matches('/')))),
            _ => Err(Trouble::new(
                format!("cannot use DOCKER_HOST={host}: neither unix:///path nor tcp://host:port"),
                "set DOCKER_HOST to one of these, or unset it to use unix:///var/run/docker.sock",
            )),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => {
                let path = Label::with_limit(&path.to_string_lossy(), 200);
                write!(formatter, "unix://{path}")
            }
            Self::Tcp(address) => write!(formatter, "tcp://{}", Label::new(address)),
        }
    }
}

/// Docker's clients take port 2375 where an address names none.
fn with_port(address: &str) -> String {
    let after_host = address.rsplit(']').next().unwrap_or(address);
    if after_host.contains(':') { address.to_owned() } else { format!("{address}:2375") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds_are_understood() {
        assert_eq!(Endpoint::parse("unix:///run/d.sock"), Ok(Endpoint::Unix("/run/d.sock".into())));
        assert_eq!(Endpoint::parse("tcp://10.0.0.1:99"), Ok(Endpoint::Tcp("10.0.0.1:99".into())));
        assert_eq!(Endpoint::parse("tcp://host"), Ok(Endpoint::Tcp("host:2375".into())));
        assert_eq!(Endpoint::parse("tcp://[::1]"), Ok(Endpoint::Tcp("[::1]:2375".into())));
    }

    #[test]
    fn other_ways_are_refused_with_the_ways_there_are() {
        let trouble = Endpoint::parse("ssh://you@host").expect_err("ssh is not known here");
        assert!(trouble.what().as_str().contains("tcp://host:port"));
    }
}
