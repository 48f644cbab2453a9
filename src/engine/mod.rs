//! Who runs containers, and which run now.
//!
//! All engines are asked at the same time, each with a deadline of its own: one that hangs does not
//! hold up the list of another. The only part of the program that waits on more than one thing at a
//! time: each question runs on a single-threaded runtime that is gone when the answer is there.

mod address;
mod api;
mod ask;
mod connection;
mod context;
mod description;
mod dial;
mod events;
mod failure;
mod kernel;
mod labels;
mod leftovers;
mod places;
mod podman_connection;
mod tap_container;
mod tap_image;
mod tap_stream;
mod tap_thread;
mod tap_trouble;
mod tcp;
mod tls;
mod watch;

use std::collections::HashSet;
use std::time::Duration;

use crate::container::{self, Container, EngineKind};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::link::Entered;
use crate::parallel::join;
use crate::safe_text::SafeText;
pub use context::all as docker_contexts;
pub use description::ContainerInspection;
pub use dial::{SshConnectionGuard, ssh_ports};
pub use kernel::named;
pub use leftovers::{Leftover, find_leftovers, remove_leftover};
use places::Place;
pub use tap_container::{TapContainer, TapContainerExit, engine_architecture};
pub use tcp::{SOURCE_PORTS, tcp_ports};
pub use watch::{ContainerChange, ContainerWatcher};

/// How long engines are waited for.
#[derive(Clone, Copy, Debug)]
pub struct EngineTimeouts {
    /// Those that answer at once, or not at all.
    engine: Duration,
    /// Those that `ssh` leads to, which has to connect first, and may have to ask for a passphrase.
    ssh: Duration,
}

impl EngineTimeouts {
    /// For a list before Wireshark's window opens, where nobody is asked for anything.
    pub const INTERFACE_LIST: Self = Self { engine: LIST_TIMEOUT, ssh: LIST_TIMEOUT };
    /// For a list that people wait for.
    pub const COMMAND_LINE: Self = Self { engine: LIST_TIMEOUT, ssh: SSH_TIMEOUT };
    /// When a capture begins: an engine that is busy is better waited for than not captured.
    pub const CAPTURE: Self = Self { engine: Duration::from_secs(5), ssh: SSH_TIMEOUT };

    fn for_endpoint(self, endpoint: &Endpoint) -> Duration {
        match endpoint {
            Endpoint::Ssh { .. } => self.ssh,
            Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Kernel(_) => self.engine,
        }
    }
}

const LIST_TIMEOUT: Duration = Duration::from_millis(1500);
/// `ssh` gives up sooner (`ConnectTimeout`), but where somebody types.
const SSH_TIMEOUT: Duration = Duration::from_mins(2);
/// For finding one container's process, which only that capture waits for.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What one engine answered.
#[derive(Debug)]
pub struct EngineListing {
    /// Which engine answered; where none did, which was looked for.
    pub engine: EngineKind,
    /// Where: `unix:///var/run/docker.sock`, safe to show.
    pub endpoint: SafeText,
    /// What came of it.
    pub status: EngineStatus,
}

/// What came of asking an engine for its containers.
#[derive(Debug)]
pub enum EngineStatus {
    /// Its running containers, and how many more it has that could not be understood.
    Available {
        /// The containers, sorted by name, with their interface values assigned.
        containers: Vec<Container>,
        /// How many were left out because their description made no sense.
        unreadable: usize,
    },
    /// No engine listens there, and none is configured to.
    Absent,
    /// An engine is there but cannot be used.
    Unavailable(Error),
}

impl EngineStatus {
    fn containers_mut(&mut self) -> Option<&mut Vec<Container>> {
        match self {
            Self::Available { containers, .. } => Some(containers),
            Self::Absent | Self::Unavailable(_) => None,
        }
    }
}

/// Asks every engine for its running containers, Docker first, all at the same time and with
/// `patience`. Then come the network namespaces that the kernel shows and no engine told of,
/// by the names that `entered` knows. Each container is there once, and no two have the same interface value.
pub fn list(entered: &Entered, patience: EngineTimeouts) -> Vec<EngineListing> {
    // The kernel is looked at while engines are waited for.
    let look = || places::is_wanted(EngineKind::Kernel).then(|| kernel::Look::now(entered));
    let (look, mut listings) = join(look, || {
        block_on(listings(places::all(), patience)).unwrap_or_else(|trouble| {
            let engine = EngineKind::Docker;
            vec![EngineListing {
                engine,
                endpoint: SafeText::new(engine.as_str()),
                status: EngineStatus::Unavailable(trouble),
            }]
        })
    });
    if let Some(look) = look {
        listings.extend(look.beside_listings(&listings, entered));
    }
    listings.sort_by_key(|listing| listing.engine);
    // One engine may be reached through two sockets, one of which is no link to the other.
    let mut told = HashSet::new();
    for containers in listings.iter_mut().filter_map(|listing| listing.status.containers_mut()) {
        containers.retain(|container| told.insert(container.id.clone()));
    }
    container::assign_values(
        listings.iter_mut().filter_map(|listing| listing.status.containers_mut()).flatten(),
    );
    listings
}

async fn listings(places: Vec<Place>, patience: EngineTimeouts) -> Vec<EngineListing> {
    let asked: Vec<_> = places.into_iter().map(|place| tokio::spawn(listing(place, patience))).collect();
    let mut listings = Vec::new();
    for one in asked {
        listings.extend(one.await);
    }
    listings
}

async fn listing(place: Place, patience: EngineTimeouts) -> EngineListing {
    let (engine, shown) = (place.engine, place.shown());
    let (engine, outcome) = match &place.endpoint {
        _ if place.is_bare() => (engine, EngineStatus::Absent),
        Ok(endpoint) => api::list(engine, endpoint, patience.for_endpoint(endpoint)).await,
        Err(trouble) => (engine, EngineStatus::Unavailable(trouble.clone())),
    };
    let outcome = match outcome {
        EngineStatus::Absent => place.absence().map_or(EngineStatus::Absent, EngineStatus::Unavailable),
        outcome => outcome,
    };
    EngineListing { engine, endpoint: shown, status: outcome }
}

/// Why the settings of an engine's client were left aside, if they had to be.
pub fn docker_config_error() -> Option<Error> {
    context::unreadable_settings().filter(|_| places::is_wanted(EngineKind::Docker))
}

/// What the engine of a container tells when it is asked about that one alone.
///
/// Fails when the engine cannot be asked within 5 seconds or the container does not run.
pub fn inspect(container: &Container) -> Result<ContainerInspection, Error> {
    block_on(api::inspect(container, INSPECT_TIMEOUT))?
}

/// Whether a container is between two restarts: it is listed and has no process. False where that cannot be asked.
pub fn is_restarting(container: &Container) -> bool {
    if matches!(container.endpoint, Endpoint::Kernel(_)) {
        return false;
    }
    let told = block_on(api::is_restarting(&container.endpoint, &container.id, INSPECT_TIMEOUT));
    matches!(told, Ok(Ok(true)))
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(format!("cannot wait for the engine: {error}"), "free some memory or file descriptors")
    })?;
    let outcome = runtime.block_on(work);
    // A name look-up that hangs must not hold up the answer.
    runtime.shutdown_background();
    Ok(outcome)
}
