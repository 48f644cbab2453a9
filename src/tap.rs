//! From a container's name to opened rings.
//!
//! [`find`] looks up without any right; [`open`] needs `CAP_NET_RAW` and nothing else.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use log::{debug, info, warn};

use crate::capture::{self, Ring, Settings};
use crate::container::{self, Container, Found, Network};
use crate::engine::{self, Outcome};
use crate::link::{self, Attachment, Links, Process};
use crate::pcapng::Interface;
use crate::privilege::Privilege;
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
    /// Networks of it that no host veth leads to.
    pub out_of_reach: Vec<Label>,
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
/// whose network or interface is in `networks`; all where that is empty.
///
/// Fails when an engine cannot be asked, a name means no container or more than one, or a
/// container has no such attachment on this host.
pub fn find(wanted: &[String], networks: &[String]) -> Result<Targets, Trouble> {
    let containers = running()?;
    let mut targets: Vec<Target> = Vec::new();
    let mut taken = HashSet::new();
    for name in wanted {
        let container = one(&containers, name)?;
        let mut target = look_up(container, &Links::now()?)?;
        target.attachments = chosen(target.attachments, networks, container)?;
        // Containers may share a network namespace; its packets are taken once.
        target.attachments.retain(|attachment| taken.insert(attachment.host_index));
        targets.push(target);
    }
    Ok(Targets { targets, names: names(&containers) })
}

/// Holds on to a container and finds all its attachments among `links`.
///
/// Fails when it has none, or cannot be looked up.
pub fn look_up(container: &Container, links: &Links) -> Result<Target, Trouble> {
    let pid = engine::first_pid(container)?;
    let process = Process::of_container(container, pid)?;
    let attachments = link::attachments(container, &process, links)?;
    for attachment in &attachments {
        info!(
            "{} is {} on this host, network {}",
            attachment.name(),
            attachment.host_veth,
            attachment.network
        );
    }
    let is_missed =
        |network: &&Network| attachments.iter().all(|attachment| attachment.network != network.name);
    let out_of_reach: Vec<Label> =
        container.networks.iter().filter(is_missed).map(|network| network.name.clone()).collect();
    for network in &out_of_reach {
        warn!("container {} is on network {network} without a veth on this host", container.name);
    }
    Ok(Target { container: container.clone(), process, attachments, out_of_reach })
}

/// Opens the rings of everything in `targets`. Needs `CAP_NET_RAW`, which it raises and lowers.
///
/// Fails when that is missing, a link went away or was given to another, or the filter is refused.
pub fn open(
    targets: &[Target],
    settings: &Settings,
    block_timeout: Duration,
    privilege: &Privilege,
) -> Result<Vec<(Interface, Vec<Ring>)>, Trouble> {
    let count = targets.iter().map(|target| target.attachments.len()).sum::<usize>().max(1);
    let each = (capture::ALL_RINGS_MIB / u32::try_from(count).unwrap_or(u32::MAX)).max(2);
    let ring_mib = settings.ring_mib.unwrap_or(each);
    debug!("rings of {ring_mib} MiB for each of {count} attachments, block timeout {block_timeout:?}");
    let mut opened = Vec::new();
    for target in targets {
        for attachment in &target.attachments {
            let rings = privilege
                .raised(|| capture::open(attachment, settings, ring_mib, block_timeout))??
                .filtered(attachment, settings)?;
            // The name may have gone to another link between the look-up and the opening.
            if !link::is_still(attachment, &target.process).unwrap_or(false) {
                return Err(Trouble::new(
                    format!("{} is no longer the interface of {}", attachment.host_veth, attachment.name()),
                    "see that the container runs, then capture again",
                ));
            }
            opened.push((describe(target, attachment, settings), Vec::from(rings)));
        }
    }
    let begin = capture::now();
    opened.iter_mut().flat_map(|(_, rings)| rings).for_each(|ring| ring.begin(begin));
    Ok(opened)
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

fn chosen(
    attachments: Vec<Attachment>,
    networks: &[String],
    container: &Container,
) -> Result<Vec<Attachment>, Trouble> {
    if networks.is_empty() {
        return Ok(attachments);
    }
    let there: Vec<String> = attachments
        .iter()
        .map(|attachment| format!("{} ({})", attachment.interface, attachment.network))
        .collect();
    let kept: Vec<Attachment> = attachments
        .into_iter()
        .filter(|attachment| {
            networks.iter().any(|wanted| {
                [attachment.network.as_str(), attachment.interface.as_str(), &attachment.host_veth]
                    .contains(&wanted.as_str())
            })
        })
        .collect();
    if kept.is_empty() {
        return Err(Trouble::new(
            format!("container {} is not connected to {}", container.name, networks.join(", ")),
            format!("choose from: {}", there.join(", ")),
        ));
    }
    Ok(kept)
}

fn describe(target: &Target, attachment: &Attachment, settings: &Settings) -> Interface {
    let container = &target.container;
    let network = match attachment.network.as_str() {
        "" => String::new(),
        network => format!(", network {network}"),
    };
    let missed = match target.out_of_reach.as_slice() {
        [] => String::new(),
        networks => {
            format!("; not captured: {}", networks.iter().map(Label::as_str).collect::<Vec<_>>().join(", "))
        }
    };
    Interface {
        name: attachment.name(),
        description: Label::with_limit(
            &format!(
                "{} container {} ({}){network}, host veth {}{missed}",
                container.engine.word(),
                container.name,
                container.image,
                attachment.host_veth
            ),
            250,
        ),
        filter: settings.filter.clone(),
        snap_length: settings.snap_length,
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
