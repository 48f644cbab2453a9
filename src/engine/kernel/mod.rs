//! Network namespaces that no engine lists, found through the kernel alone.
//!
//! ```text
//! processes ── inode of /proc/PID/net/dev ──> one group per network namespace
//! control group of a process, else its parent's command line ──> the container it belongs to
//! /run/netns ──> names of namespaces, with and without processes
//! ```
//!
//! A name that cannot be matched to a namespace is left out rather than listed twice.

mod namespace_names;
mod processes;
pub(crate) mod runtime_id;

use std::collections::{HashMap, HashSet};
use std::fs;

pub use namespace_names::named_namespaces;
pub(super) use processes::{ProcessInventory, process_start_time};

use self::namespace_names::NamespaceNames;
use self::processes::{ContainerProcess, NamespaceProcesses, ProcessScan};
use super::listing::{EngineListing, EngineStatus};
use crate::container::endpoint::{Endpoint, NamespaceFileRef, NamespaceInfo, NamespaceProcessRef};
use crate::container::{Container, ContainerId, EngineKind};
use crate::error::Error;
use crate::link::{self, NamedNamespaces};
use crate::safe_text::SafeText;

/// An engine lists a container within this many seconds after its start, while its namespace may exist already. Docker
/// takes well under one.
const MAX_LISTING_DELAY_SECONDS: u64 = 10;

/// Interfaces that the kernel creates in every network namespace where the tunnel drivers are loaded
/// (Documentation/admin-guide/sysctl/net.rst, `fb_tunnels_only_for_init_net`).
const DEFAULT_INTERFACES: [&str; 10] =
    ["lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"];

/// The image column of a namespace that belongs to no container.
const NAMESPACE: &str = "network namespace";

/// All network namespaces at one moment, whether or not an engine lists them.
pub(super) struct NamespaceScan {
    groups: Vec<(NamespaceProcesses, Vec<ContainerProcess>)>,
    names: NamespaceNames,
    /// Whether some processes are hidden from this user.
    is_partial: bool,
}

impl NamespaceScan {
    /// Scans all processes and the named namespaces.
    pub(super) fn now(namespaces: &NamedNamespaces) -> Self {
        let ProcessScan { groups, is_partial } = ProcessScan::now();
        let names = NamespaceNames::match_to(namespace_names::files(), &groups, namespaces);
        let with_containers = |group: NamespaceProcesses| {
            let containers = group.containers();
            (group, containers)
        };
        Self { groups: groups.into_iter().map(with_containers).collect(), names, is_partial }
    }

    /// Sets the process of each container in `listings` that is in one other network namespace. Any user can name a
    /// control group after a container: if two namespaces have its processes, only its engine knows the right one.
    pub(super) fn set_processes(&self, listings: &mut [EngineListing]) {
        let mut processes: HashMap<ContainerId, Option<NamespaceProcessRef>> = HashMap::new();
        for (group, containers) in &self.groups {
            for (id, pid) in containers.iter().filter_map(|one| Some((one.runtime_id.id()?, one.pid))) {
                let first = pid.map(|pid| NamespaceProcessRef { pid, namespace: group.namespace });
                processes.entry(id).and_modify(|known| *known = None).or_insert(first);
            }
        }
        for container in listings.iter_mut().filter_map(|listing| listing.status.containers_mut()).flatten() {
            // The scan leaves out the host's network namespace, and some processes may be hidden. What an engine of another
            // host lists is not on this one.
            let is_local = matches!(container.endpoint, Endpoint::Unix(_));
            if is_local && !self.is_partial && !container.uses_host_network() {
                container.process = processes.get(&container.id).copied().flatten();
            }
        }
    }

    /// The network namespaces that are worth capturing and not in `listings`; further listings explain what is hidden.
    pub(super) fn unlisted(
        self,
        listings: &[EngineListing],
        namespaces: &NamedNamespaces,
    ) -> Vec<EngineListing> {
        self.except(&ListedContainers::from_listings(listings), namespaces)
    }

    /// The same, where `engines` answer and list the containers `ids`.
    pub(super) fn unlisted_among(
        self,
        ids: HashSet<ContainerId>,
        engines: &HashSet<EngineKind>,
        namespaces: &NamedNamespaces,
    ) -> Vec<EngineListing> {
        let engines = engines.iter().map(|engine| engine.as_str()).collect();
        self.except(&ListedContainers { ids, engines }, namespaces)
    }

    /// The network namespace of each container. Any user can name a control group after a container, but most often not before
    /// it has started: of several namespaces, it has the one with the oldest process.
    fn owners(&self) -> HashMap<String, (u64, u64)> {
        let mut owners: HashMap<String, (u64, u64)> = HashMap::new();
        for (group, members) in &self.groups {
            for member in members {
                let owner = (member.start_time, group.namespace);
                let known = owners.entry(member.runtime_id.key.clone()).or_insert(owner);
                *known = owner.min(*known);
            }
        }
        owners
    }

    fn except(mut self, listed: &ListedContainers, namespaces: &NamedNamespaces) -> Vec<EngineListing> {
        let mut containers: Vec<Container> = Vec::new();
        let owners = self.owners();
        for (group, members) in &self.groups {
            let name = self.names.with_processes.remove(&group.namespace);
            let is_owner = |one: &&ContainerProcess| {
                owners.get(&one.runtime_id.key).is_none_or(|(_, owner)| *owner == group.namespace)
            };
            let members: Vec<&ContainerProcess> = members.iter().filter(is_owner).collect();
            let members = members.as_slice();
            // An engine that answered after this scan no longer lists what ended in between.
            if !listed.covers(group, members) && group.is_alive() {
                containers.extend(container(group, members, name));
            }
        }
        containers
            .extend(self.names.without_processes.into_iter().map(|file| empty_namespace(file, namespaces)));
        containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let listing =
            |status| EngineListing { engine: EngineKind::Kernel, endpoint: SafeText::new("/proc"), status };
        let mut listings = vec![listing(EngineStatus::Available { containers, unreadable: 0 })];
        if self.is_partial {
            listings.push(listing(EngineStatus::Unavailable(hidden_processes())));
        }
        if !self.names.unmatched.is_empty() {
            listings.push(listing(EngineStatus::Unavailable(unmatched_names(&self.names.unmatched))));
        }
        listings
    }
}

/// The containers that engines have listed.
struct ListedContainers {
    ids: HashSet<ContainerId>,
    engines: HashSet<&'static str>,
}

impl ListedContainers {
    fn from_listings(listings: &[EngineListing]) -> Self {
        let mut listed = Self { ids: HashSet::new(), engines: HashSet::new() };
        for listing in listings {
            if let EngineStatus::Available { containers, .. } = &listing.status {
                listed.engines.insert(listing.engine.as_str());
                listed.ids.extend(containers.iter().map(|container| container.id.clone()));
            }
        }
        listed
    }

    /// Whether an engine lists a container in this namespace, or is about to.
    fn covers(&self, group: &NamespaceProcesses, members: &[&ContainerProcess]) -> bool {
        let is_listed =
            |one: &&ContainerProcess| one.runtime_id.id().is_some_and(|id| self.ids.contains(&id));
        let is_pending = |one: &&ContainerProcess| {
            self.engines.contains(one.runtime_id.runtime) && group.is_younger_than(MAX_LISTING_DELAY_SECONDS)
        };
        members.iter().any(is_listed) || members.iter().any(is_pending)
    }
}

/// The container shown for a group of processes; `None` where it is not worth capturing.
fn container(
    group: &NamespaceProcesses,
    members: &[&ContainerProcess],
    file: Option<NamespaceFileRef>,
) -> Option<Container> {
    let first = group.first();
    let namespace_id = ContainerId::from_namespace_inode(group.namespace);
    let command = SafeText::new(&group.command());
    let (id, name, kind) = match (members, &file) {
        ([ContainerProcess { runtime_id, .. }, ..], _) => {
            (runtime_id.id().unwrap_or(namespace_id), runtime_id.name(), runtime_id.runtime)
        }
        (_, Some(file)) => {
            (ContainerId::from_namespace_inode(file.inode), namespace_names::name(file), NAMESPACE)
        }
        _ if has_interfaces(first.pid) => {
            let name = format!("{}-{}", command, namespace_id.short());
            (namespace_id, name, NAMESPACE)
        }
        _ => return None,
    };
    let info = NamespaceInfo {
        file: if members.is_empty() { file } else { None },
        process: Some(NamespaceProcessRef { pid: first.pid, namespace: group.namespace }),
        members: members
            .iter()
            .skip(1)
            .map(|member| SafeText::from_name(&member.runtime_id.name()))
            .collect(),
        addresses: link::addresses_of_process(first.pid),
    };
    Some(kernel_container(id, &name, &format!("{kind}: {command}"), info))
}

/// The container shown for a named namespace without processes.
fn empty_namespace(file: NamespaceFileRef, namespaces: &NamedNamespaces) -> Container {
    let (id, name) = (ContainerId::from_namespace_inode(file.inode), namespace_names::name(&file));
    let addresses = namespaces.addresses(&file);
    let info = NamespaceInfo { file: Some(file), addresses, ..NamespaceInfo::default() };
    kernel_container(id, &name, NAMESPACE, info)
}

fn kernel_container(id: ContainerId, name: &str, image: &str, info: NamespaceInfo) -> Container {
    let name = SafeText::from_name(name);
    let name = if name.is_empty() { SafeText::new(id.short()) } else { name };
    let image = SafeText::new(image);
    Container { image, ..Container::new(EngineKind::Kernel, Endpoint::Kernel(info), id, name) }
}

/// Whether the namespace has other interfaces than every namespace has: browsers and services isolate themselves from
/// the network in an empty one.
fn has_interfaces(pid: i32) -> bool {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let names = table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.into_iter().any(|name| !DEFAULT_INTERFACES.contains(&name))
}

fn hidden_processes() -> Error {
    Error::new(
        "the processes of other users and their network namespaces are hidden (/proc is mounted with hidepid)",
        "run containerdump as root, or join the group in the mount option gid= of /proc: findmnt /proc",
    )
}

fn unmatched_names(files: &[NamespaceFileRef]) -> Error {
    let names: Vec<String> = files.iter().map(namespace_names::name).collect();
    Error::new(
        format!(
            "cannot determine which processes are in these network namespaces, so they are not listed by name: {}",
            names.join(", ")
        ),
        "run as root: sudo containerdump list",
    )
}
