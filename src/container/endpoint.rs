//! Addresses of engines, and references to network namespaces.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::safe_text::SafeText;

/// The address of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
    /// `host:port`, with TLS.
    Tls {
        /// `host:port`.
        address: String,
        /// The folder of `ca.pem`, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
    /// A command on another host that speaks the engine's API on its standard streams.
    Ssh {
        /// `ann@build1:2222`.
        host: String,
        /// `docker system dial-stdio`.
        command: &'static str,
    },
    /// No engine: only the kernel shows the network namespace.
    Kernel(NamespaceInfo),
}

/// A network namespace as the kernel shows it; has a process, a file or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Its file.
    pub file: Option<NamespaceFileRef>,
    /// Its first process.
    pub process: Option<NamespaceProcessRef>,
    /// Other containers in it, by name or short id.
    pub members: Vec<SafeText>,
    /// Addresses of its interfaces.
    pub addresses: Vec<IpAddr>,
}

/// Identifies a network namespace to another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceRef {
    /// A process in it.
    Process(NamespaceProcessRef),
    /// Its file.
    File(NamespaceFileRef),
}

/// The file of a network namespace, as `ip netns add` creates it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceFileRef {
    /// Its path.
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
    /// Identifies its namespace: the inode of `/proc/PID/net/dev`.
    pub namespace: u64,
}

impl Endpoint {
    /// Whether the socket belongs to an ordinary user, that is, to a rootless engine.
    pub fn is_rootless(&self) -> bool {
        let Self::Unix(path) = self else { return false };
        fs::metadata(path).is_ok_and(|metadata| metadata.uid() != 0)
    }

    /// Whether both are the same address: a socket may have several paths, through links.
    pub(crate) fn is_same_socket(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(other)) => canonical_path(one) == canonical_path(other),
            _ => self == other,
        }
    }
}

/// The path with all accessible links resolved.
fn canonical_path(path: &Path) -> PathBuf {
    // A link into an inaccessible folder can still be read.
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
            Self::Kernel(info) => match (&info.file, info.process) {
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
    fn a_link_and_its_target_are_the_same_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, socket) = (folder.path().join("docker.sock"), folder.path().join("podman.sock"));
        std::os::unix::fs::symlink(&socket, &link).expect("a link");
        // Also while the target does not exist.
        assert!(Endpoint::Unix(link.clone()).is_same_socket(&Endpoint::Unix(socket.clone())));
        fs::write(&socket, "").expect("a file");
        assert!(Endpoint::Unix(link).is_same_socket(&Endpoint::Unix(socket)));
    }
}
