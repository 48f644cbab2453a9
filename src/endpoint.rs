//! Where an engine listens.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::safe_text::SafeText;

/// An address an engine can be reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket in the file system.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
    /// The same with TLS.
    Tls {
        /// `host:port`.
        address: String,
        /// The folder of Docker's `ca.pem`, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
    /// What a command on another host leads to, whose standard streams speak the engine's API.
    Ssh {
        /// As `ssh` is told: `ann@build1:2222`.
        host: String,
        /// `docker system dial-stdio`.
        command: &'static str,
    },
    /// Nobody need be asked: the kernel alone tells.
    Kernel(NamespaceInfo),
}

/// What the kernel shows of a network namespace; at least one of process and file is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// The file that stands for it.
    pub file: Option<NamespaceFileRef>,
    /// Its first process.
    pub process: Option<NamespaceProcessRef>,
    /// Further containers in it, by name or the first digits of their ids.
    pub members: Vec<SafeText>,
    /// Addresses of its interfaces.
    pub addresses: Vec<IpAddr>,
}

/// What another program finds a network namespace by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceRef {
    /// A process in it.
    Process(NamespaceProcessRef),
    /// A file that stands for it.
    File(NamespaceFileRef),
}

/// A file that stands for a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceFileRef {
    /// Where it is.
    pub path: PathBuf,
    /// Its inode, which is the namespace's.
    pub inode: u64,
}

/// A process, and the network namespace it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceProcessRef {
    /// Its pid.
    pub pid: i32,
    /// What tells its namespace from any other: the inode of `/proc/PID/net/dev`.
    pub namespace: u64,
}

impl Endpoint {
    /// Whether an ordinary user serves this socket: the engine is rootless then.
    pub fn is_rootless(&self) -> bool {
        let Self::Unix(path) = self else { return false };
        fs::metadata(path).is_ok_and(|about| about.uid() != 0)
    }

    /// Whether both are one: a socket may have several names, through links.
    pub(crate) fn is_same_socket(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => canonical_path(one) == canonical_path(other),
            _ => self == other,
        }
    }
}

/// The path behind all links, as far as we may look.
fn canonical_path(path: &Path) -> PathBuf {
    // Where the link leads into a folder that is closed to us, it can still be read itself.
    fs::canonicalize(path).or_else(|_| fs::read_link(path)).unwrap_or_else(|_| path.to_owned())
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => {
                let path = SafeText::with_limit(&path.to_string_lossy(), 200);
                write!(formatter, "unix://{path}")
            }
            Self::Tcp(address) | Self::Tls { address, .. } => {
                write!(formatter, "tcp://{}", SafeText::new(address))
            }
            Self::Ssh { host, .. } => write!(formatter, "ssh://{}", SafeText::new(host)),
            Self::Kernel(seen) => match (&seen.file, seen.process) {
                (Some(file), _) => formatter.write_str(SafeText::new(&file.path.to_string_lossy()).as_str()),
                (None, Some(process)) => write!(formatter, "/proc/{}", process.pid),
                (None, None) => formatter.write_str("/proc"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_what_it_leads_to_are_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, socket) = (folder.path().join("docker.sock"), folder.path().join("podman.sock"));
        std::os::unix::fs::symlink(&socket, &link).expect("a link");
        // Also while nothing is there, and while it may not be looked at.
        assert!(Endpoint::Unix(link.clone()).is_same_socket(&Endpoint::Unix(socket.clone())));
        fs::write(&socket, "").expect("a file");
        assert!(Endpoint::Unix(link).is_same_socket(&Endpoint::Unix(socket)));
    }
}
