//! From a selection of containers to opened rings.
//!
//! [`find`] looks up without any right. [`open()`] needs `CAP_NET_RAW` at a host veth; inside a
//! container root, or that the container is the caller's own rootless one; and through the engine
//! no more than speaking to it.

mod choice;
mod description;
mod elsewhere;
mod find;
mod join;
mod members;
mod offer;
mod open;
mod suggest;
mod through_engine;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use log::debug;

pub use choice::is_default;
pub use find::{Targets, find, prepared, selected};
pub use join::{Joined, adopt, join};
pub use offer::{Kind, Lack, Means, Offer, TapChoice, offers};
pub use open::{Opened, open};

use crate::container::endpoint::Endpoint;
use crate::container::{Container, EngineKind, NetworkMode};
use crate::engine::{self, EngineStatus, EngineTimeouts};
use crate::error::Error;
use crate::link::{self, Attachment, Entered, Holder, Links, Process, Rootless, Tap};
use crate::parallel::map;
use crate::privilege::Privilege;
use crate::safe_text::SafeText;

/// Containers that are looked up at the same time: each waits for its engine most of the time.
const AT_ONCE: usize = 8;

/// What is captured of containers, and what may be used for that.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Networks or interfaces; all where there is none.
    pub networks: Vec<String>,
    /// The kind of tap that was asked for; the best that the means allow where none was.
    pub tap: Option<Kind>,
    /// What the program may do.
    pub means: Means,
    /// What the kernel tells of namespaces without processes.
    pub entered: Entered,
}

/// A container to be captured, held on to, and where its packets pass.
#[derive(Debug)]
pub struct Target {
    /// The container.
    pub container: Container,
    /// What keeps its network namespace there, or why there is nothing of it here: its engine may
    /// run elsewhere.
    pub holder: Result<Holder, Error>,
    /// Those of its attachments that are wanted.
    pub attachments: Vec<Attachment>,
    /// Interfaces of this host among their taps that are down.
    pub down: Vec<Tap>,
    /// What is wanted of it, too, and no tap serves.
    pub left_out: Vec<LeftOut>,
    /// Its other interfaces, which lead to none of its networks and are captured when they are named.
    pub unnamed: Vec<SafeText>,
    /// Its namespaces, where they are the caller's own and the program goes there itself.
    pub rootless: Option<Rootless>,
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
        self.container.uses_host_network() || self.attachments.iter().any(|one| one.tap.is_hosts())
    }
}

/// A part of a container's traffic that cannot be captured while the rest can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The network, or the interface where it leads to none.
    pub network: SafeText,
    /// What each tap would need.
    pub why: SafeText,
}

/// Holds on to a container and finds all its attachments among `links`, loopback included. How it is
/// connected is noted in `container` where only now its engine tells.
///
/// Fails when it has none of its own, or cannot be looked up.
pub fn look_up(container: &mut Container, links: &Links, entered: &Entered) -> Result<Target, Error> {
    let holder = match &container.endpoint {
        Endpoint::Kernel(seen) => Ok(Holder::of_seen(container, seen, entered)?),
        Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Ssh { .. } => {
            let inspected = engine::inspect(container)?;
            // Whose guest it is, is known already where the list tells, through others that are guests.
            if let Some(mode) =
                inspected.network_mode.filter(|_| !matches!(container.network_mode, NetworkMode::Shared(_)))
            {
                container.network_mode = mode;
            }
            container.set_aliases(&inspected.networks);
            Process::of_container(container, inspected.pid).map(Holder::Process)
        }
    };
    let attachments = match &holder {
        Ok(holder) => link::attachments(container, holder, links)?,
        Err(trouble) => {
            // It may have ended meanwhile, which its engine says better.
            engine::inspect(container)?;
            debug!("{trouble}");
            elsewhere::attachments(container)
        }
    };
    for attachment in &attachments {
        debug!("{} passes {}, network {}", attachment.name(), attachment.tap, attachment.network);
    }
    let rootless = holder.as_ref().ok().and_then(Holder::process).and_then(Rootless::of);
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
    entered: &Entered,
    until: Instant,
) -> Vec<Result<Target, Error>> {
    let one = |container: &Container| {
        let mut container = container.clone();
        let outcome = if Instant::now() < until {
            look_up(&mut container, links, entered)
        } else {
            Err(too_late(&container))
        };
        (container, outcome)
    };
    let each = map(containers, AT_ONCE, one);
    let learned = containers.iter_mut().zip(each);
    let outcomes = learned.map(|(container, (told, outcome))| {
        *container = told;
        outcome
    });
    outcomes.collect()
}

/// The error of a container whose turn did not come in time.
fn too_late(container: &Container) -> Error {
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
pub fn entered(privilege: &Privilege) -> Result<Entered, Error> {
    let named = if privilege.may_enter() { engine::named_namespaces() } else { Vec::new() };
    if named.is_empty() {
        return Ok(Entered::default());
    }
    privilege.apart(|| Entered::all(named.iter().map(PathBuf::as_path)))
}

/// What runs, as far as engines tell.
#[derive(Debug)]
pub struct Running {
    /// All running containers, sorted by engine and name.
    pub containers: Vec<Container>,
    /// Why further engines could not be used.
    pub troubles: Vec<Error>,
}

/// All running containers of all engines that answer with `patience`, and further network namespaces.
///
/// Fails when there are none to be had and an engine says why, or there is no engine.
pub fn running(entered: &Entered, patience: EngineTimeouts) -> Result<Running, Error> {
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
    Ok(Running { containers, troubles })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_namespace_that_is_looked_up_too_late_blames_no_engine_called_netns() {
        let endpoint = Endpoint::Kernel(crate::container::endpoint::NamespaceInfo::default());
        let id = crate::container::ContainerId::from_namespace_inode(7);
        let container = Container::new(EngineKind::Kernel, endpoint, id, "job".into());
        let error = too_late(&container).to_string();
        assert!(error.ends_with("Remedy: see whether an engine hangs: docker ps, podman ps."), "{error}");
    }
}
