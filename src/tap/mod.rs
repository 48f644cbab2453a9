//! From a container's name to opened rings.
//!
//! [`find`] looks up without any right. [`open()`] needs `CAP_NET_RAW` at a host veth and, inside a
//! container, root.

mod choice;
mod open;

use std::collections::HashSet;
use std::net::IpAddr;

use log::{debug, info};

pub use choice::is_default;
pub use open::open;

use crate::container::{self, Container, Found};
use crate::engine::{self, Outcome};
use crate::link::{self, Attachment, Links, Process};
use crate::text::Label;
use crate::trouble::Trouble;

/// A container to be captured, held on to, and where its packets pass.
#[derive(Debug)]
pub struct Target {
    /// The container.
    pub container: Container,
    /// Its first process.
    pub process: Process,
    /// Those of its attachments that are wanted.
    pub attachments: Vec<Attachment>,
    /// Networks or interfaces of it that are wanted, and taken inside, which is not allowed.
    pub left_out: Vec<Label>,
}

/// What was found for a capture.
#[derive(Debug)]
pub struct Targets {
    /// The containers, in the order they were named.
    pub targets: Vec<Target>,
    /// Names of all containers' addresses.
    pub names: Vec<(IpAddr, Label)>,
}

/// Finds the containers that `wanted` names (interface value, name or id), with those attachments
/// whose network or interface is in `networks`; where that is empty, with all but loopbacks. With
/// `may_enter`, also those that are taken inside.
///
/// Fails when an engine cannot be asked, a name means no container or more than one, or a
/// container has no such attachment.
pub fn find(wanted: &[String], networks: &[String], may_enter: bool) -> Result<Targets, Trouble> {
    let containers = running()?;
    let mut targets: Vec<Target> = Vec::new();
    let mut taken = HashSet::new();
    for name in wanted {
        let container = one(&containers, name)?;
        let target = look_up(container, &Links::now()?)?;
        let mut target = choice::chosen(target, networks, may_enter)?;
        // Containers may share a network namespace; its packets are taken once.
        let namespace = target.process.network_identity();
        target.attachments.retain(|attachment| taken.insert((namespace, attachment.tap.clone())));
        targets.push(target);
    }
    Ok(Targets { targets, names: names(&containers) })
}

/// Holds on to a container and finds all its attachments among `links`, loopback included.
///
/// Fails when it has none of its own, or cannot be looked up.
pub fn look_up(container: &Container, links: &Links) -> Result<Target, Trouble> {
    let pid = engine::first_pid(container)?;
    let process = Process::of_container(container, pid)?;
    let attachments = link::attachments(container, &process, links)?;
    for attachment in &attachments {
        info!("{} is taken at {}, network {}", attachment.name(), attachment.place(), attachment.network);
    }
    Ok(Target { container: container.clone(), process, attachments, left_out: Vec::new() })
}

/// All running containers of all engines.
///
/// Fails when there are none to be had and an engine says why, or there is no engine.
pub fn running() -> Result<Vec<Container>, Trouble> {
    let mut containers = Vec::new();
    let mut trouble = None;
    let mut answered = false;
    let mut tried = Vec::new();
    for listing in engine::list() {
        match listing.outcome {
            Outcome::Containers { containers: listed, left_out } => {
                debug!("{} lists {} containers, {left_out} unreadable", listing.endpoint, listed.len());
                answered = true;
                containers.extend(listed);
            }
            Outcome::Absent => tried.push(listing.endpoint.to_string()),
            Outcome::Unusable(why) => trouble = Some(why),
        }
    }
    match trouble {
        Some(trouble) if containers.is_empty() => Err(trouble),
        None if !answered => Err(Trouble::new(
            format!("no container engine runs here: nothing listens at {}", tried.join(", ")),
            "start Docker (sudo systemctl start docker), or say with DOCKER_HOST where it listens",
        )),
        _ => Ok(containers),
    }
}

fn one<'a>(containers: &'a [Container], wanted: &str) -> Result<&'a Container, Trouble> {
    match container::find(containers, wanted) {
        Found::One(container) => Ok(container),
        Found::None => Err(Trouble::new(
            format!("no running container is called \"{wanted}\""),
            "see which there are: containerdump list",
        )),
        Found::Several(names) => {
            let names: Vec<&str> = names.iter().map(Label::as_str).collect();
            Err(Trouble::new(
                format!("\"{wanted}\" begins the id of more than one container: {}", names.join(", ")),
                "give more of the id, or the name",
            ))
        }
    }
}

fn names(containers: &[Container]) -> Vec<(IpAddr, Label)> {
    containers
        .iter()
        .flat_map(|container| container.networks.iter().map(move |network| (container, network)))
        .flat_map(|(container, network)| {
            network.addresses.iter().map(|address| (*address, container.name.clone()))
        })
        .collect()
}
