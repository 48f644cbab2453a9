//! The containers that are captured, and how.

use std::collections::HashMap;

use log::info;

use crate::container::ContainerId;
use crate::engine::TapContainer;
use crate::link::{LinkIndex, NamespaceHandle, Tap};
use crate::tap::Target;

/// How a container is captured.
#[derive(Debug, Default)]
pub struct CapturedContainer {
    /// What identifies its network namespace, if that is on this host.
    pub namespace: Option<u64>,
    /// Its first process, if that is on this host.
    pub pid: Option<i32>,
    /// The taps of its attachments, without those that other containers in the namespace have.
    pub taps: Vec<Tap>,
    /// Numbers of attachments, and the KiB of the ring of each.
    pub rings: Vec<(usize, u32)>,
    /// Tap containers that its capture needs.
    pub tap_containers: Vec<TapContainer>,
}

/// The captured containers.
#[derive(Debug, Default)]
pub struct CapturedContainers {
    containers: HashMap<ContainerId, CapturedContainer>,
    /// Tap containers of removed containers, which are ending.
    ending: Vec<TapContainer>,
}

impl CapturedContainer {
    /// The container of `target`, of which nothing is captured yet.
    pub fn new(target: &Target) -> Self {
        let holder = target.holder.as_ref().ok();
        let namespace = holder.and_then(NamespaceHandle::network_identity);
        Self { namespace, pid: target.pid(), ..Self::default() }
    }

    fn host_veths(&self) -> impl Iterator<Item = LinkIndex> {
        self.taps.iter().filter_map(|tap| match tap {
            Tap::HostVeth { index, .. } => Some(*index),
            Tap::Inside { .. } | Tap::Host { .. } | Tap::ThroughEngine { .. } => None,
        })
    }
}

/// Whether both are the same interface: a host veth may be renamed while it is captured.
fn is_same_tap(one: &Tap, other: &Tap) -> bool {
    match (one, other) {
        (Tap::HostVeth { index: one, .. }, Tap::HostVeth { index: other, .. }) => one == other,
        _ => one == other,
    }
}

impl CapturedContainers {
    /// Adds what is captured of a container to what is already.
    pub fn add(&mut self, id: &ContainerId, added: CapturedContainer) {
        let container = self.containers.entry(id.clone()).or_default();
        (container.namespace, container.pid) = (added.namespace, added.pid);
        container.taps.extend(added.taps);
        container.rings.extend(added.rings);
        container.tap_containers.extend(added.tap_containers);
    }

    /// Adds a tap container that the capture of its target needs.
    pub fn add_tap_container(&mut self, tap_container: TapContainer) {
        let container = self.containers.entry(tap_container.target().clone()).or_default();
        container.tap_containers.push(tap_container);
    }

    pub(super) fn contains(&self, id: &ContainerId) -> bool {
        self.containers.contains_key(id)
    }

    /// Whether `tap` of container `id` is captured, for it or for another container in its `namespace`.
    pub(super) fn has_tap(&self, id: &ContainerId, namespace: Option<u64>, tap: &Tap) -> bool {
        self.containers.iter().any(|(other, container)| {
            let shares_namespace = namespace.is_some() && container.namespace == namespace;
            (other == id || shares_namespace) && container.taps.iter().any(|one| is_same_tap(one, tap))
        })
    }

    /// The first processes of all containers.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.containers.values().filter_map(|container| container.pid).collect()
    }

    /// The captured host veths of all containers.
    pub(super) fn host_veths(&self) -> Vec<LinkIndex> {
        self.containers.values().flat_map(CapturedContainer::host_veths).collect()
    }

    /// The captured host veths of one container.
    pub(super) fn host_veths_of(&self, id: &ContainerId) -> Vec<LinkIndex> {
        self.containers.get(id).into_iter().flat_map(CapturedContainer::host_veths).collect()
    }

    /// Removes a container, and passes its taps on to another one in its namespace. Returns the rings that are free now;
    /// `None` if it was not captured.
    pub(super) fn remove(&mut self, id: &ContainerId) -> Option<Vec<(usize, u32)>> {
        let removed = self.containers.remove(id)?;
        let mut others = self.containers.values_mut();
        let shares_namespace = |other: &&mut CapturedContainer| {
            removed.namespace.is_some() && other.namespace == removed.namespace
        };
        if let Some(other) = others.find(shares_namespace) {
            other.taps.extend(removed.taps);
            other.rings.extend(removed.rings);
            other.tap_containers.extend(removed.tap_containers);
            return Some(Vec::new());
        }
        removed.tap_containers.iter().for_each(TapContainer::close);
        self.ending.extend(removed.tap_containers);
        self.ending.retain(|tap_container| !tap_container.has_ended());
        Some(removed.rings)
    }

    /// The containers with a tap container that has ended.
    pub(super) fn broken(&self) -> Vec<ContainerId> {
        let is_broken =
            |container: &CapturedContainer| container.tap_containers.iter().any(TapContainer::has_ended);
        let broken = self.containers.iter().filter(|(_, container)| is_broken(container));
        broken.map(|(id, _)| id.clone()).collect()
    }

    /// Ends all tap containers.
    pub(super) fn end_all(self) {
        let tap_containers = self.containers.into_values().flat_map(|container| container.tap_containers);
        tap_containers.chain(self.ending).map(TapContainer::end).for_each(|end| info!("{end:?}"));
    }
}
