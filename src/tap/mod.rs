//! From a selection of containers to opened taps.
//!
//! A *tap* is where the packets of an attachment are captured, as in "network tap": at the host veth, inside the
//! container's network namespace, or by a tap container. It is not a TUN/TAP device.
//!
//! [`find`] needs no privilege. [`open()`] needs `CAP_NET_RAW` at a host veth; inside a container, root or the user of
//! its rootless engine; through the engine, access to the engine's socket.

mod added;
mod candidates;
mod choose;
mod description;
mod find;
mod kind;
mod open;
mod remote_engine;
mod shared_namespace;
mod suggest;
mod through_engine;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use log::debug;

pub use added::{AddedSources, adopt_preopened, open_added};
pub use candidates::{TapCandidate, TapRights, Unavailable, tap_candidates};
pub use choose::is_default;
pub use find::{Targets, find, prepare, select};
pub use kind::{TapChoice, TapKind};
pub use open::{OpenedTaps, open};

use crate::container::endpoint::{Endpoint, NamespaceRef};
use crate::container::{Container, EngineKind, NetworkMode};
use crate::engine::{self, EngineStatus, EngineTimeouts};
use crate::error::Error;
use crate::link::{
    self, Attachment, Links, NamedNamespaces, NamespaceHandle, Process, RootlessNamespaces, Tap,
};
use crate::parallel::map;
use crate::privilege::Privilege;
use crate::safe_text::SafeText;

/// Look-ups at the same time: each mostly waits for its engine.
const MAX_PARALLEL_LOOKUPS: usize = 8;

/// How the targets of a capture are looked up.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// Networks or interfaces; empty for all.
    pub networks: Vec<String>,
    /// The kind of tap; `None` for the best that `rights` allow.
    pub tap: Option<TapKind>,
    /// Which taps this process may open.
    pub rights: TapRights,
    /// Contents of named namespaces, which may have no process.
    pub entered: NamedNamespaces,
}

/// A container to capture, and where its packets can be captured.
#[derive(Debug)]
pub struct Target {
    /// The container.
    pub container: Container,
    /// Its network namespace; an error where it is not on this host.
    pub holder: Result<NamespaceHandle, Error>,
    /// Its attachments that are to be captured.
    pub attachments: Vec<Attachment>,
    /// Taps whose interface on this host is down.
    pub down: Vec<Tap>,
    /// Networks that no tap can capture.
    pub left_out: Vec<UncapturedNetwork>,
    /// Interfaces that belong to none of its networks; captured only by name.
    pub unnamed: Vec<SafeText>,
    /// Its user and network namespace, where this process enters them itself (rootless).
    pub rootless: Option<RootlessNamespaces>,
    /// How long it was stopped, if it was captured before.
    pub back_after: Option<Duration>,
    /// Other containers in the same network namespace.
    pub shared_with: BTreeSet<SafeText>,
}

impl Target {
    /// The PID of its first process, where that runs on this host.
    pub fn pid(&self) -> Option<i32> {
        Some(self.holder.as_ref().ok()?.process()?.seen()?.pid)
    }

    /// Whether it uses the host network.
    pub fn uses_host_network(&self) -> bool {
        self.container.uses_host_network() || self.attachments.iter().any(|one| one.tap.is_host_interface())
    }
}

/// A network of a container that cannot be captured, while others can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncapturedNetwork {
    /// The network; the interface where it belongs to none.
    pub network: SafeText,
    /// Why each tap is unavailable.
    pub why: SafeText,
}

/// Opens the network namespace of a container and finds all its attachments among `links`, loopback included. Updates
/// `container` with what only an inspection by the engine shows.
///
/// Fails when the container has stopped, or the engine or the kernel cannot be queried.
pub fn look_up(container: &mut Container, links: &Links, entered: &NamedNamespaces) -> Result<Target, Error> {
    let holder = match &container.endpoint {
        Endpoint::Kernel(seen) => Ok(NamespaceHandle::open_container(container, seen, entered)?),
        Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Ssh { .. } => {
            let inspected = engine::inspect(container)?;
            // A container whose network is shared is already known from the list.
            if let Some(mode) =
                inspected.network_mode.filter(|_| !matches!(container.network_mode, NetworkMode::Shared(_)))
            {
                container.network_mode = mode;
            }
            container.set_aliases(&inspected.networks);
            Process::of_container(container, inspected.pid).map(NamespaceHandle::Process)
        }
    };
    let attachments = match &holder {
        Ok(holder) => link::attachments(container, holder, links)?,
        Err(error) => {
            // If it has stopped meanwhile, the engine's error is better.
            engine::inspect(container)?;
            debug!("{error}");
            remote_engine::attachments(container)
        }
    };
    Ok(target(container, holder, attachments, links))
}

/// [`look_up`] for a list: without a request to the engine, where its list and the kernel have shown everything.
fn look_up_listed(
    container: &mut Container,
    links: &Links,
    entered: &NamedNamespaces,
) -> Result<Target, Error> {
    let seen = container.process.filter(|_| container.network_mode != NetworkMode::Unknown);
    let without_request = seen.and_then(|seen| {
        let holder = NamespaceHandle::reopen(&container.name, &NamespaceRef::Process(seen)).ok()?;
        let attachments = link::attachments(container, &holder, links).ok()?;
        Some(target(container, Ok(holder), attachments, links))
    });
    // If it has stopped meanwhile, the engine's error is better.
    without_request.map_or_else(|| look_up(container, links, entered), Ok)
}

fn target(
    container: &Container,
    holder: Result<NamespaceHandle, Error>,
    attachments: Vec<Attachment>,
    links: &Links,
) -> Target {
    for attachment in &attachments {
        debug!("{} passes {}, network {}", attachment.name(), attachment.tap, attachment.network);
    }
    let rootless =
        holder.as_ref().ok().and_then(NamespaceHandle::process).and_then(RootlessNamespaces::of_process);
    let (left_out, unnamed, shared_with) = (Vec::new(), Vec::new(), BTreeSet::new());
    let taps = attachments.iter().map(|attachment| &attachment.tap);
    let down = taps.filter(|tap| links.is_down(tap)).cloned().collect();
    Target {
        container: container.clone(),
        holder,
        attachments,
        down,
        left_out,
        unnamed,
        rootless,
        back_after: None,
        shared_with,
    }
}

/// [`look_up`] for a list of `containers`, several at a time, results in order. Engines are queried only for what their
/// list and the kernel do not show. Those not begun before `until` fail.
pub fn look_up_each(
    containers: &mut [Container],
    links: &Links,
    entered: &NamedNamespaces,
    until: Instant,
) -> Vec<Result<Target, Error>> {
    let one = |container: &Container| {
        let mut container = container.clone();
        let outcome = if Instant::now() < until {
            look_up_listed(&mut container, links, entered)
        } else {
            Err(lookup_timed_out(&container))
        };
        (container, outcome)
    };
    let each = map(containers, MAX_PARALLEL_LOOKUPS, one);
    let learned = containers.iter_mut().zip(each);
    let outcomes = learned.map(|(container, (updated, outcome))| {
        *container = updated;
        outcome
    });
    outcomes.collect()
}

/// The error of a look-up that was not begun in time.
fn lookup_timed_out(container: &Container) -> Error {
    let (whose, remedy) = match container.engine {
        EngineKind::Docker => ("the", "check whether the engine responds: docker ps"),
        EngineKind::Podman => ("the", "check whether the engine responds: podman ps"),
        // It had to wait for containers of engines.
        EngineKind::Kernel => ("an", "check whether an engine responds: docker ps, podman ps"),
    };
    Error::new(
        format!("container {} was not looked up: {whose} engine responds too slowly", container.name),
        remedy,
    )
}

/// Reads the interfaces of named network namespaces, which may have no process; empty without the privilege to enter
/// them.
///
/// Fails when capabilities cannot be dropped again.
pub fn scan_named_namespaces(privilege: &Privilege) -> Result<NamedNamespaces, Error> {
    let named = if privilege.may_enter() { engine::named_namespaces() } else { Vec::new() };
    if named.is_empty() {
        return Ok(NamedNamespaces::default());
    }
    privilege.on_entering_thread(|| NamedNamespaces::scan(named.iter().map(PathBuf::as_path)))
}

/// The running containers of all engines.
#[derive(Debug)]
pub struct RunningContainers {
    /// All running containers, sorted by engine and name.
    pub containers: Vec<Container>,
    /// Errors of engines that could not be used.
    pub errors: Vec<Error>,
}

/// All running containers of all engines, and network namespaces without an engine.
///
/// Fails when there are none because engines failed, or because no engine is running.
pub fn running_containers(
    entered: &NamedNamespaces,
    patience: EngineTimeouts,
) -> Result<RunningContainers, Error> {
    let mut containers = Vec::new();
    let mut troubles = Vec::new();
    let mut answered = false;
    let mut tried = Vec::new();
    for listing in engine::list(entered, patience) {
        match listing.status {
            EngineStatus::Available { containers: listed, unreadable: left_out } => {
                debug!("{} lists {} containers, {left_out} unreadable", listing.endpoint, listed.len());
                answered |= listing.engine != EngineKind::Kernel;
                containers.extend(listed);
            }
            EngineStatus::Absent => tried.push(listing.endpoint.to_string()),
            EngineStatus::Unavailable(why) => troubles.push(why),
        }
    }
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    if containers.is_empty() && !troubles.is_empty() {
        return Err(troubles.remove(0));
    }
    let settings = engine::docker_config_error();
    // With CONTAINERDUMP_ENGINES=netns, no engine is missing.
    if containers.is_empty() && !answered && !tried.is_empty() {
        if let Some(error) = settings {
            return Err(error);
        }
        return Err(Error::new(
            format!(
                "no container engine runs here: nothing listens at {}; and no process has a network of its own",
                tried.join(", ")
            ),
            "start one (Docker: sudo systemctl start docker; Podman: systemctl --user enable --now podman.socket), \
             or say with DOCKER_HOST or CONTAINER_HOST where it listens",
        ));
    }
    troubles.extend(settings);
    Ok(RunningContainers { containers, errors: troubles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_namespace_that_is_looked_up_too_late_blames_no_engine_called_netns() {
        let endpoint = Endpoint::Kernel(crate::container::endpoint::NamespaceInfo::default());
        let id = crate::container::ContainerId::from_namespace_inode(7);
        let container = Container::new(EngineKind::Kernel, endpoint, id, "job".into());
        let error = lookup_timed_out(&container).to_string();
        assert!(
            error.ends_with("Remedy: check whether an engine responds: docker ps, podman ps."),
            "{error}"
        );
    }
}
