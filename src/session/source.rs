//! What a session reads: rings of the kernel, and streams from elsewhere.

use crate::capture::Ring;
use crate::pcapng::InterfaceDescription;
use crate::peer::PeerStream;

/// Yields packets, with the description of the interfaces they came from.
pub enum Source {
    /// One interface of this host or of a container on it.
    Rings(InterfaceDescription, Vec<Ring>),
    /// Interfaces of elsewhere, whose packets come in one stream.
    Remote {
        /// In the order of their numbers there.
        interfaces: Vec<InterfaceDescription>,
        /// The stream.
        remote: PeerStream,
        /// Whether the capture goes on with it when all its processes have ended: none of them tells of
        /// the end of its container.
        unwatched: bool,
    },
}

impl Source {
    /// The stream, if it is one.
    pub(super) fn remote(&self) -> Option<&PeerStream> {
        match self {
            Self::Rings(..) => None,
            Self::Remote { remote, .. } => Some(remote),
        }
    }
}
