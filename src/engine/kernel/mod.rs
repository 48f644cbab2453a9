//! The kernel alone as an engine: network namespaces that no engine tells of, whoever made them.
//!
//! ```text
//! each process ── inode of /proc/PID/net/dev ──> groups, one for each network namespace
//! its control group, else the command line of its parent ──> whose container it is
//! /run/netns ──> names of namespaces, with and without processes
//! ```
//!
//! What is told apart by nothing is left out rather than shown twice.

mod mark;
mod names;
mod scan;

use std::collections::HashSet;
use std::fs;

pub use names::named_namespaces as named;
pub(super) use scan::started;

use self::mark::Mark;
use self::names::Names;
use self::scan::{Group, Scan};
use super::{EngineListing, EngineStatus};
use crate::container::{Container, ContainerId, EngineKind};
use crate::endpoint::{Endpoint, NamespaceFileRef, NamespaceInfo, NamespaceProcessRef};
use crate::error::Error;
use crate::link::{self, Entered};
use crate::safe_text::SafeText;

/// An engine that answers tells of a container within this many seconds from its start; until then
/// its namespace may be there already. Docker takes well under one.
const UNTOLD: u64 = 10;

/// Interfaces that the kernel puts into each new network namespace where the drivers of tunnels are
/// loaded (Documentation/admin-guide/sysctl/net.rst, `fb_tunnels_only_for_init_net`).
const OF_EVERY_NAMESPACE: [&str; 10] =
    ["lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"];

/// What one look at the kernel showed, whoever else tells of it.
pub(super) struct Look {
    groups: Vec<(Group, Vec<Mark>)>,
    names: Names,
    /// Whether there are processes that may not be looked at.
    is_partial: bool,
}

impl Look {
    /// Looks at all processes, and at the namespaces that have a name.
    pub(super) fn now(entered: &Entered) -> Self {
        let Scan { groups, is_partial } = Scan::now();
        let names = Names::of(names::files(), &groups, entered);
        let with_marks = |group: Group| {
            let marks = group.marks();
            (group, marks)
        };
        Self { groups: groups.into_iter().map(with_marks).collect(), names, is_partial }
    }

    /// The network namespaces that are worth capturing and not in the other engines' `answers`, and, in
    /// further listings, what could not be seen.
    pub(super) fn beside_listings(self, answers: &[EngineListing], entered: &Entered) -> Vec<EngineListing> {
        self.beside(&Told::of(answers), entered)
    }

    /// The same beside `engines` that answer and have told of the containers `ids`.
    pub(super) fn beside_containers(
        self,
        ids: HashSet<ContainerId>,
        engines: &HashSet<EngineKind>,
        entered: &Entered,
    ) -> Vec<EngineListing> {
        let engines = engines.iter().map(|engine| engine.as_str()).collect();
        self.beside(&Told { ids, engines }, entered)
    }

    fn beside(mut self, told: &Told, entered: &Entered) -> Vec<EngineListing> {
        let mut containers: Vec<Container> = Vec::new();
        for (group, marks) in &self.groups {
            let name = self.names.of_groups.remove(&group.namespace);
            // An engine that answered later than this look does not tell of what ended meanwhile.
            if !told.tells_of(group, marks) && group.is_there() {
                containers.extend(container(group, marks, name));
            }
        }
        containers.extend(self.names.alone.into_iter().map(|file| alone(file, entered)));
        containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let listing = |outcome| EngineListing {
            engine: EngineKind::Kernel,
            endpoint: SafeText::new("/proc"),
            status: outcome,
        };
        let mut listings = vec![listing(EngineStatus::Available { containers, unreadable: 0 })];
        if self.is_partial {
            listings.push(listing(EngineStatus::Unavailable(hidden())));
        }
        if !self.names.unclear.is_empty() {
            listings.push(listing(EngineStatus::Unavailable(unclear(&self.names.unclear))));
        }
        listings
    }
}

/// What engines have told already.
struct Told {
    ids: HashSet<ContainerId>,
    engines: HashSet<&'static str>,
}

impl Told {
    fn of(answers: &[EngineListing]) -> Self {
        let mut told = Self { ids: HashSet::new(), engines: HashSet::new() };
        for answer in answers {
            if let EngineStatus::Available { containers, .. } = &answer.status {
                told.engines.insert(answer.engine.as_str());
                told.ids.extend(containers.iter().map(|container| container.id.clone()));
            }
        }
        told
    }

    /// Whether an engine tells of a container in this namespace, or is about to.
    fn tells_of(&self, group: &Group, marks: &[Mark]) -> bool {
        let is_told = |mark: &Mark| mark.id().is_some_and(|id| self.ids.contains(&id));
        let is_soon = |mark: &Mark| self.engines.contains(mark.runner) && group.is_younger_than(UNTOLD);
        marks.iter().any(is_told) || marks.iter().any(is_soon)
    }
}

/// What a group of processes is shown as; `None` where it is not worth it.
fn container(group: &Group, marks: &[Mark], file: Option<NamespaceFileRef>) -> Option<Container> {
    let first = group.first();
    let number = ContainerId::from_namespace_inode(group.namespace);
    let command = SafeText::new(&group.command());
    let (id, name, kind) = match (marks, &file) {
        ([mark, ..], _) => (mark.id().unwrap_or(number), mark.name(), mark.runner),
        (_, Some(file)) => (ContainerId::from_namespace_inode(file.inode), names::name(file), NAMESPACE),
        _ if has_interfaces(first.pid) => {
            let name = format!("{}-{}", command, number.short());
            (number, name, NAMESPACE)
        }
        _ => return None,
    };
    let seen = NamespaceInfo {
        file: if marks.is_empty() { file } else { None },
        process: Some(NamespaceProcessRef { pid: first.pid, namespace: group.namespace }),
        members: marks.iter().skip(1).map(|mark| SafeText::from_name(&mark.name())).collect(),
        addresses: link::addresses_of_process(first.pid),
    };
    Some(described(id, &name, &format!("{kind}: {command}"), seen))
}

/// The words for a namespace that is nobody's container.
const NAMESPACE: &str = "network namespace";

/// A named namespace without any process.
fn alone(file: NamespaceFileRef, entered: &Entered) -> Container {
    let (id, name) = (ContainerId::from_namespace_inode(file.inode), names::name(&file));
    let addresses = entered.addresses(&file);
    described(id, &name, NAMESPACE, NamespaceInfo { file: Some(file), addresses, ..NamespaceInfo::default() })
}

fn described(id: ContainerId, name: &str, image: &str, seen: NamespaceInfo) -> Container {
    let name = SafeText::from_name(name);
    let name = if name.is_empty() { SafeText::new(id.short()) } else { name };
    let image = SafeText::new(image);
    Container { image, ..Container::new(EngineKind::Kernel, Endpoint::Kernel(seen), id, name) }
}

/// Whether more can be captured than in any network namespace: browsers and services are shut off
/// from the network by an empty one.
fn has_interfaces(pid: i32) -> bool {
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let names = table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.into_iter().any(|name| !OF_EVERY_NAMESPACE.contains(&name))
}

fn hidden() -> Error {
    Error::new(
        "the processes of other users are hidden (/proc is mounted with hidepid), and so are their network namespaces",
        "run containerdump as root, or join the group that the option gid= of /proc names: findmnt /proc",
    )
}

fn unclear(files: &[NamespaceFileRef]) -> Error {
    let names: Vec<String> = files.iter().map(names::name).collect();
    Error::new(
        format!(
            "cannot tell whether these network namespaces are among those shown by a command, or further ones: {}",
            names.join(", ")
        ),
        "root can: sudo containerdump list",
    )
}
