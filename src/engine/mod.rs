//! Container engines: the containers that run, and changes among them.
//!
//! ```text
//! discovery      where engines listen: DOCKER_HOST, contexts, connections, default sockets
//! client         the Docker API over Unix sockets, TCP, TLS and SSH
//! kernel         network namespaces that no engine lists
//! watch          changes while a capture runs
//! tap_container  captures inside a network namespace through the engine
//! ```
//!
//! Engines are queried concurrently, each with its own timeout. Every call runs on a single-threaded runtime that
//! ends with the call; the rest of the program is synchronous.

pub(crate) mod client;
mod discovery;
pub(crate) mod kernel;
mod labels;
mod listing;
pub(crate) mod tap_container;
mod timeouts;
pub(crate) mod watch;

use std::collections::HashSet;

use crate::container::endpoint::Endpoint;
use crate::container::{self, Container, EngineKind};
use crate::error::Error;
use crate::link::NamedNamespaces;
use crate::parallel;
use crate::safe_text::SafeText;
pub use client::{ContainerInspection, SOURCE_PORTS, SshConnectionGuard, ssh_ports, tcp_ports};
use client::{api, block_on};
use discovery::EngineCandidate;
pub use kernel::named_namespaces;
pub use listing::{EngineListing, EngineStatus};
pub use tap_container::{
    Leftover, TapContainer, TapContainerExit, engine_architecture, find_leftovers, remove_leftover,
};
pub use timeouts::EngineTimeouts;
use timeouts::INSPECT_TIMEOUT;
pub use watch::{ContainerChange, ContainerWatcher, NamespaceScans};

/// Lists the running containers of all engines, Docker first, then the network namespaces that only the kernel
/// shows, by the names in `namespaces`. Each container is listed once, and interface values are unique.
pub fn list(namespaces: &NamedNamespaces, timeouts: EngineTimeouts) -> Vec<EngineListing> {
    // The kernel is scanned while engines are waited for.
    let scan = || discovery::is_enabled(EngineKind::Kernel).then(|| kernel::NamespaceScan::now(namespaces));
    let (scan, mut listings) = parallel::join(scan, || {
        block_on(list_engines(discovery::candidates(), timeouts)).unwrap_or_else(|error| {
            let engine = EngineKind::Docker;
            let endpoint = SafeText::new(engine.as_str());
            vec![EngineListing { engine, endpoint, status: EngineStatus::Unavailable(error) }]
        })
    });
    if let Some(scan) = scan {
        scan.set_processes(&mut listings);
        listings.extend(scan.unlisted(&listings, namespaces));
    }
    listings.sort_by_key(|listing| listing.engine);
    // One engine may be reachable at two sockets that are not links to each other.
    let mut seen = HashSet::new();
    for containers in listings.iter_mut().filter_map(|listing| listing.status.containers_mut()) {
        containers.retain(|container| seen.insert(container.id.clone()));
    }
    container::assign_values(
        listings.iter_mut().filter_map(|listing| listing.status.containers_mut()).flatten(),
    );
    listings
}

async fn list_engines(candidates: Vec<EngineCandidate>, timeouts: EngineTimeouts) -> Vec<EngineListing> {
    let tasks: Vec<_> =
        candidates.into_iter().map(|candidate| tokio::spawn(list_engine(candidate, timeouts))).collect();
    let mut listings = Vec::new();
    for task in tasks {
        listings.extend(task.await);
    }
    listings
}

async fn list_engine(candidate: EngineCandidate, timeouts: EngineTimeouts) -> EngineListing {
    let (engine, shown) = (candidate.engine, candidate.shown());
    let (engine, status) = match &candidate.endpoint {
        _ if candidate.is_unused_default() => (engine, EngineStatus::Absent),
        Ok(endpoint) => api::list_containers(engine, endpoint, timeouts.for_endpoint(endpoint)).await,
        Err(error) => (engine, EngineStatus::Unavailable(error.clone())),
    };
    let status = match status {
        EngineStatus::Absent => {
            candidate.absence_error().map_or(EngineStatus::Absent, EngineStatus::Unavailable)
        }
        status => status,
    };
    EngineListing { engine, endpoint: shown, status }
}

/// Why Docker's configuration file is ignored, if it is.
pub fn docker_config_error() -> Option<Error> {
    discovery::docker_config_error().filter(|_| discovery::is_enabled(EngineKind::Docker))
}

/// Inspects one container.
///
/// Fails when its engine does not respond within 5 seconds or the container is not running.
pub fn inspect(container: &Container) -> Result<ContainerInspection, Error> {
    block_on(api::inspect(container, INSPECT_TIMEOUT))?
}

/// Whether a container is between two restarts: listed, but without a process. False where the engine cannot be asked.
pub fn is_restarting(container: &Container) -> bool {
    if matches!(container.endpoint, Endpoint::Kernel(_)) {
        return false;
    }
    let answer = block_on(api::is_restarting(&container.endpoint, &container.id, INSPECT_TIMEOUT));
    matches!(answer, Ok(Ok(true)))
}
