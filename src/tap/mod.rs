//! From a selection of containers to opened rings.
//!
//! [`find`] looks up without any right. [`open()`] needs `CAP_NET_RAW` at a host veth; inside a
//! container root, or that the container is the caller's own rootless one; and through the engine
//! no more than speaking to it.

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

use crate::container::endpoint::Endpoint;
use crate::container::{Container, EngineKind, NetworkMode};
use crate::engine::{self, EngineStatus, EngineTimeouts};
use crate::error::Error;
use crate::link::{
    self, Attachment, Links, NamedNamespaces, NamespaceHandle, Process, RootlessNamespaces, Tap,
};
use crate::parallel::map;
use crate::privilege::Privilege;
use crate::safe_text::SafeText;

/// Containers that are looked up at the same time: each waits for its engine most of the time.
const MAX_PARALLEL_LOOKUPS: usize = 8;

/// What is captured of containers, and what may be used for that.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// Networks or interfaces; all where there is none.
    pub networks: Vec<String>,
    /// The kind of tap that was asked for; the best that the means allow where none was.
    pub tap: Option<TapKind>,
    /// What the program may do.
    pub rights: TapRights,
    /// What the kernel tells of namespaces without processes.
    pub entered: NamedNamespaces,
}

/// A container to be captured, held on to, and where its packets pass.
#[derive(Debug)]
pub struct Target {
    /// The container.
    pub container: Container,
    /// What keeps its network namespace there, or why there is nothing of it here: its engine may
    /// run elsewhere.
    pub holder: Result<NamespaceHandle, Error>,
    /// Those of its attachments that are wanted.
    pub attachments: Vec<Attachment>,
    /// Interfaces of this host among their taps that are down.
    pub down: Vec<Tap>,
    /// What is wanted of it, too, and no tap serves.
    pub left_out: Vec<UncapturedNetwork>,
    /// Its other interfaces, which lead to none of its networks and are captured when they are named.
    pub unnamed: Vec<SafeText>,
    /// Its namespaces, where they are the caller's own and the program goes there itself.
    pub rootless: Option<RootlessNamespaces>,
    /// How long it was away, where it was captured before.
    pub back_after: Option<Duration>,
    /// Other containers in the same network namespace, whose packets these are, too.
    pub shared_with: BTreeSet<SafeText>,
}

impl Target {
    /// The pid of its first process, where that is on this host.
    pub fn pid(&self) -> Option<i32> {
        Some(self.holder.as_ref().ok()?.process()?.seen()?.pid)
    }

    /// Whether its network is that of a host.
    pub fn uses_host_network(&self) -> bool {
        self.container.uses_host_network() || self.attachments.iter().any(|one| one.tap.is_host_interface())
    }
}

/// A part of a container's traffic that cannot be captured while the rest can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncapturedNetwork {
    /// The network, or the interface where it leads to none.
    pub network: SafeText,
    /// What each tap would need.
    pub why: SafeText,
}

/// Holds on to a container and finds all its attachments among `links`, loopback included. How it is
/// connected is noted in `container` where only now its engine tells.
///
/// Fails when it has none of its own, or cannot be looked up.
pub fn look_up(container: &mut Container, links: &Links, entered: &NamedNamespaces) -> Result<Target, Error> {
    let holder = match &container.endpoint {
        Endpoint::Kernel(seen) => Ok(NamespaceHandle::open_container(container, seen, entered)?),
        Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Ssh { .. } => {
            let inspected = engine::inspect(container)?;
            // Whose guest it is, is known already where the list tells, through others that are guests.
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
        Err(trouble) => {
            // It may have ended meanwhile, which its engine says better.
            engine::inspect(container)?;
            debug!("{trouble}");
            remote_engine::attachments(container)
        }
    };
    for attachment in &attachments {
        debug!("{} passes {}, network {}", attachment.name(), attachment.tap, attachment.network);
    }
    let rootless =
        holder.as_ref().ok().and_then(NamespaceHandle::process).and_then(RootlessNamespaces::of_process);
    let (left_out, unnamed, shared_with) = (Vec::new(), Vec::new(), BTreeSet::new());
    let taps = attachments.iter().map(|attachment| &attachment.tap);
    let down = taps.filter(|tap| links.is_down(tap)).cloned().collect();
    let container = container.clone();
    Ok(Target {
        container,
        holder,
        attachments,
        down,
        left_out,
        unnamed,
        rootless,
        back_after: None,
        shared_with,
    })
}

/// The same for each of `containers`, several at the same time, in their order. One that it is too late for, `until`
/// having passed, is not looked up.
pub fn look_up_each(
    containers: &mut [Container],
    links: &Links,
    entered: &NamedNamespaces,
    until: Instant,
) -> Vec<Result<Target, Error>> {
    let one = |container: &Container| {
        let mut container = container.clone();
        let outcome = if Instant::now() < until {
            look_up(&mut container, links, entered)
        } else {
            Err(lookup_timed_out(&container))
        };
        (container, outcome)
    };
    let each = map(containers, MAX_PARALLEL_LOOKUPS, one);
    let learned = containers.iter_mut().zip(each);
    let outcomes = learned.map(|(container, (told, outcome))| {
        *container = told;
        outcome
    });
    outcomes.collect()
}

/// The error of a container whose turn did not come in time.
fn lookup_timed_out(container: &Container) -> Error {
    let (whose, remedy) = match container.engine {
        EngineKind::Docker => ("the", "see whether the engine hangs: docker ps"),
        EngineKind::Podman => ("the", "see whether the engine hangs: podman ps"),
        // It waited behind containers of engines.
        EngineKind::Kernel => ("an", "see whether an engine hangs: docker ps, podman ps"),
    };
    Error::new(
        format!("container {} was not looked up: {whose} engine answers too slowly", container.name),
        remedy,
    )
}

/// Looks into the named network namespaces, in which there may be no process to tell what is there;
/// empty where that is not allowed.
///
/// Fails when rights cannot be lowered again.
pub fn scan_named_namespaces(privilege: &Privilege) -> Result<NamedNamespaces, Error> {
    let named = if privilege.may_enter() { engine::named_namespaces() } else { Vec::new() };
    if named.is_empty() {
        return Ok(NamedNamespaces::default());
    }
    privilege.on_entering_thread(|| NamedNamespaces::scan(named.iter().map(PathBuf::as_path)))
}

/// What runs, as far as engines tell.
#[derive(Debug)]
pub struct RunningContainers {
    /// All running containers, sorted by engine and name.
    pub containers: Vec<Container>,
    /// Why further engines could not be used.
    pub errors: Vec<Error>,
}

/// All running containers of all engines that answer with `patience`, and further network namespaces.
///
/// Fails when there are none to be had and an engine says why, or there is no engine.
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
    // Where the kernel alone is asked (`CONTAINERDUMP_ENGINES`), no engine is missing.
    if containers.is_empty() && !answered && !tried.is_empty() {
        if let Some(trouble) = settings {
            return Err(trouble);
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
        assert!(error.ends_with("Remedy: see whether an engine hangs: docker ps, podman ps."), "{error}");
    }
}
