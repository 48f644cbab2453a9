//! The answer of one engine to a request for its containers.

use crate::container::{Container, EngineKind};
use crate::error::Error;
use crate::safe_text::SafeText;

/// The containers of one engine, or why there are none.
#[derive(Debug)]
pub struct EngineListing {
    /// The engine that answered; if none did, the one that was expected.
    pub engine: EngineKind,
    /// Its address, safe to show: `unix:///var/run/docker.sock`.
    pub endpoint: SafeText,
    /// The result of the request.
    pub status: EngineStatus,
}

/// The result of asking an engine for its containers.
#[derive(Debug)]
pub enum EngineStatus {
    /// The engine answered.
    Available {
        /// Its running containers, sorted by name, with their interface values assigned.
        containers: Vec<Container>,
        /// Number of containers whose description could not be read.
        unreadable: usize,
    },
    /// No engine listens, and none is configured to.
    Absent,
    /// An engine is present or configured but cannot be used.
    Unavailable(Error),
}

impl EngineStatus {
    pub(super) fn containers_mut(&mut self) -> Option<&mut Vec<Container>> {
        match self {
            Self::Available { containers, .. } => Some(containers),
            Self::Absent | Self::Unavailable(_) => None,
        }
    }
}
