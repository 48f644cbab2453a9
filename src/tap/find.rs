//! Finds and looks up the selected containers.

use std::collections::HashMap;
use std::net::IpAddr;

use log::{debug, info};

use super::{
    MAX_PARALLEL_LOOKUPS, RunningContainers, Target, TargetOptions, choose, look_up, running_containers,
    shared_namespace, suggest,
};
use crate::container::address_names;
use crate::container::selection::{SelectedContainer, Selection, UnmatchedSelector};
use crate::container::{Container, EngineKind};
use crate::engine::{self, EngineTimeouts};
use crate::error::Error;
use crate::link::{self, Links};
use crate::parallel::map;
use crate::safe_text::SafeText;

/// The targets of a capture.
#[derive(Debug)]
pub struct Targets {
    /// The containers: first those given by name, in that order.
    pub targets: Vec<Target>,
    /// Selected containers that cannot be captured, with the errors.
    pub left_out: Vec<(SafeText, Error)>,
    /// Selected containers that are restarting: they are captured from their next start.
    pub awaited: Vec<SafeText>,
    /// All running containers.
    pub running: Vec<Container>,
    /// Names of the addresses of containers, gateways and this host.
    pub names: Vec<(IpAddr, SafeText)>,
}

/// Finds the selected containers, with the attachments that `wanted` names, else all but loopback, each at the best
/// available tap. Containers selected by `--all`, project or label are left out where they cannot be captured or use
/// the host network, whose packets include those of all others.
///
/// With `follows`, or where it was not given by name, a restarting container is awaited.
///
/// Fails when an engine cannot be queried or no container is left; and, unless the selection skips such, when a name
/// matches no container or several, or a named container has no such attachment or no tap for it.
pub fn find(selection: &Selection, wanted: &TargetOptions, follows: bool) -> Result<Targets, Error> {
    let running = running_containers(&wanted.entered, EngineTimeouts::CAPTURE)?;
    let containers = &running.containers;
    let (chosen, missed) = selection.resolve(containers);
    let is_awaited = |missed: &&UnmatchedSelector| {
        selection.wait_for_start && !matches!(missed, UnmatchedSelector::Ambiguous(..))
    };
    let mut left_out = Vec::new();
    for missed in missed.iter().filter(|missed| !is_awaited(missed)) {
        match missed {
            UnmatchedSelector::Name(name) | UnmatchedSelector::Ambiguous(name, _)
                if selection.skip_unavailable =>
            {
                left_out.push((SafeText::new(name), no_match(missed, &running)));
            }
            _ => return Err(no_match(missed, &running)),
        }
    }
    let links = Links::now()?;
    let mut by_name = chosen.iter().filter(|one| one.is_named).count();
    let prepared = map(&chosen, MAX_PARALLEL_LOOKUPS, |one| prepare(one, containers, &links, wanted));
    let mut targets: Vec<Target> = Vec::new();
    let mut awaited = Vec::new();
    let mut any_not_connected = false;
    let mut taken = HashMap::new();
    for (SelectedContainer { container, is_named, .. }, prepared) in chosen.into_iter().zip(prepared) {
        match prepared {
            Ok(Some(target)) => add(target, &mut targets, &mut taken),
            Ok(None) => any_not_connected = true,
            Err(_) if engine::is_restarting(container) => {
                if is_named && !follows && !selection.wait_for_start {
                    return Err(between_restarts(container));
                }
                by_name -= usize::from(is_named);
                awaited.push(container);
            }
            Err(why) if is_named && !selection.skip_unavailable => return Err(why),
            Err(why) => {
                by_name -= usize::from(is_named);
                info!("{} is left out: {}", container.name, why.message());
                left_out.push((container.name.clone(), why));
            }
        }
    }
    if targets.is_empty() && awaited.is_empty() && !selection.wait_for_start {
        // The error of a stopped container would not explain why the running ones are not captured.
        let why = left_out.into_iter().next().filter(|_| !any_not_connected);
        return Err(why.map_or_else(|| not_connected(&wanted.networks), |(_, why)| why));
    }
    for target in &mut targets {
        target.shared_with.remove(&target.container.name);
    }
    let mut captured: Vec<&Container> = targets.iter().map(|target| &target.container).collect();
    // Containers given by name come first.
    address_names::sort_by_name_priority(&mut captured[by_name.min(targets.len())..]);
    let names = address_names::address_names(containers, &captured, &link::own_addresses());
    // Their next processes are to be reported as new.
    let ids: Vec<_> = awaited.iter().map(|one| one.id.clone()).collect();
    let awaited = awaited.into_iter().map(|one| one.name.clone()).collect();
    let mut running = running.containers;
    running.retain(|container| !ids.contains(&container.id));
    Ok(Targets { targets, left_out, awaited, running, names })
}

/// A container, looked up, with what is captured of it; `None` where it only fits and is connected to
/// none of the networks that are wanted.
///
/// Fails when it cannot be looked up, has no such attachment, or no tap for it.
pub fn prepare(
    SelectedContainer { container, is_named, attachments }: &SelectedContainer<'_>,
    containers: &[Container],
    links: &Links,
    wanted: &TargetOptions,
) -> Result<Option<Target>, Error> {
    let TargetOptions { networks, tap, rights: means, entered } = wanted;
    let attachments: Vec<String> = attachments.iter().map(|name| (*name).to_owned()).collect();
    let networks = if attachments.is_empty() { networks } else { &attachments };
    let mut target = look_up(&mut (*container).clone(), links, entered)?;
    // Root enters on a thread of its own, and need not give up its place.
    target.rootless = target.rootless.filter(|_| means.enter_rootless && !means.enter);
    if target.uses_host_network() {
        if !*is_named {
            return Err(uses_host_network(container));
        }
        info!("container {} uses the network of the host", container.name);
    }
    if !*is_named && !choose::is_connected(&target, networks) {
        debug!("{} is connected to none of {}", container.name, networks.join(", "));
        return Ok(None);
    }
    let mut target = choose::choose_taps(target, networks, means, *tap)?;
    target.shared_with = shared_namespace::containers_sharing_namespace(&target, containers);
    Ok(Some(target))
}

/// Identifies an interface in a network namespace; the namespace by its container where it is on another host.
type InterfaceKey = (Result<u64, crate::container::ContainerId>, crate::link::Tap);

/// Adds `target` to `targets`. The packets of a network namespace shared by several containers are captured once.
fn add(mut target: Target, targets: &mut Vec<Target>, taken: &mut HashMap<InterfaceKey, usize>) {
    let (id, name) = (target.container.id.clone(), target.container.name.clone());
    let namespace = match &target.holder {
        Ok(holder) => holder.network_identity().ok_or(id),
        Err(_) => Err(id),
    };
    let number = targets.len();
    target.attachments.retain(|attachment| {
        let first = *taken.entry((namespace.clone(), attachment.tap.clone())).or_insert(number);
        if let Some(first) = targets.get_mut(first) {
            first.shared_with.insert(name.clone());
        }
        first == number
    });
    targets.push(target);
}

/// The `running` containers that `selection` matches.
///
/// Fails when a part of it matches none, or is ambiguous.
pub fn select(selection: &Selection, running: &RunningContainers) -> Result<Vec<Container>, Error> {
    let (chosen, missed) = selection.resolve(&running.containers);
    match missed.first() {
        Some(missed) => Err(no_match(missed, running)),
        None => Ok(chosen.into_iter().map(|chosen| chosen.container.clone()).collect()),
    }
}

/// The error of a selector that matches no container.
fn no_match(missed: &UnmatchedSelector, running: &RunningContainers) -> Error {
    // It may belong to an engine that could not be queried.
    match (missed, running.errors.first()) {
        (UnmatchedSelector::Name(name), Some(error)) => {
            let why = error.message();
            Error::new(
                format!("no running container is called \"{name}\", as far as can be seen: {why}"),
                error.remedy().as_str(),
            )
            .with_wireshark_text(
                format!("{}, as far as can be seen: {why}", no_longer_runs(name)),
                error.clone().for_wireshark().remedy().as_str(),
            )
        }
        (UnmatchedSelector::Criteria(_), Some(error)) => error.clone(),
        (UnmatchedSelector::Name(name), None) => Error::new(
            format!("no running container is called \"{name}\""),
            suggest::remedy(name, &running.containers),
        )
        .with_wireshark_text(no_longer_runs(name), "press F5 and choose again"),
        (UnmatchedSelector::Ambiguous(name, values), _) => Error::new(
            format!("\"{name}\" means more than one container: {}", values.join(", ")),
            "give one of these names",
        )
        .with_wireshark_remedy("press F5 and choose one of these"),
        (UnmatchedSelector::Criteria(criteria), None) => {
            let kernels = |container: &&Container| container.engine == EngineKind::Kernel;
            let alone = running.containers.iter().filter(kernels).count();
            let more = if alone == 0 {
                String::new()
            } else {
                format!("; what the kernel alone shows ({alone} in the list) is captured by its name")
            };
            Error::new(
                format!("no {criteria} runs{more}"),
                "see which there are: containerdump list; their labels: docker inspect NAME",
            )
        }
    }
}

/// The message for an `interface` of Wireshark's list whose container has stopped since.
fn no_longer_runs(interface: &str) -> String {
    match interface.split_once('-') {
        Some(("compose", project)) => {
            format!("no container of Compose project {project} is running any more")
        }
        Some(("docker", "all")) => "no Docker container is running any more".to_owned(),
        Some(("podman", "all")) => "no Podman container is running any more".to_owned(),
        Some(("docker" | "podman", name)) => format!("container {name} no longer runs"),
        Some(("netns", name)) => format!("network namespace {name} no longer exists"),
        _ => format!("container {interface} no longer runs"),
    }
}

fn between_restarts(container: &Container) -> Error {
    let name = &container.name;
    Error::new(
        format!("cannot capture {name}: it is between two restarts and has no process"),
        format!("capture it from its next start: containerdump capture {name} --follow (or --wait)"),
    )
    .with_wireshark_text(
        format!("cannot capture {name}: it is between two restarts and has no process"),
        "start the capture without \"Stop when the container stops\"",
    )
}

fn uses_host_network(container: &Container) -> Error {
    Error::new(
        format!("{} uses the network of the host", container.name),
        format!("name it to capture the traffic of the host: containerdump capture {}", container.name),
    )
}

fn not_connected(networks: &[String]) -> Error {
    Error::new(
        format!("none of the containers is connected to {}", networks.join(", ")),
        "see their networks: containerdump list",
    )
    .with_wireshark_remedy("press Load networks in the options of the interface and choose one of the list")
}
