//! What a session reads: kernel rings and streams of remote hosts.

use crate::capture::Ring;
use crate::pcapng::InterfaceDescription;
use crate::peer::PeerStream;

/// A source of packets, with the interfaces they were captured on.
pub enum Source {
    /// One interface of this host or of a container on it.
    Ring(InterfaceDescription, Ring),
    /// Interfaces of another host, or of another process, whose packets come in one stream.
    Remote {
        /// In the order of their numbers in the stream.
        interfaces: Vec<InterfaceDescription>,
        /// The stream.
        remote: PeerStream,
        /// Whether it outlives the holders of its member: its container runs where their end says nothing about it.
        outlives_holders: bool,
    },
}

impl Source {
    /// The stream of a remote source.
    pub(in crate::session) fn remote(&self) -> Option<&PeerStream> {
        match self {
            Self::Ring(..) => None,
            Self::Remote { remote, .. } => Some(remote),
        }
    }
}
