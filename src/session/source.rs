//! What a session reads: rings of the kernel, and streams from elsewhere.

use crate::capture::Ring;
use crate::pcapng::Interface;
use crate::peer::Remote;

/// Yields packets, with the description of the interfaces they came from.
pub enum Source {
    /// One interface of this host or of a container on it.
    Rings(Interface, Vec<Ring>),
    /// Interfaces of elsewhere, whose packets come in one stream.
    Remote {
        /// In the order of their numbers there.
        interfaces: Vec<Interface>,
        /// The stream.
        remote: Remote,
        /// Whether the capture goes on with it when all its processes have ended: none of them tells of
        /// the end of its container.
        unwatched: bool,
    },
}

impl Source {
    /// The stream, if it is one.
    pub(super) fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Rings(..) => None,
            Self::Remote { remote, .. } => Some(remote),
        }
    }
}
