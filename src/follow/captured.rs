//! Who is in the capture, and where.

use std::collections::HashMap;

use log::info;

use crate::container::ContainerId;
use crate::engine::TapContainer;
use crate::link::{LinkIndex, NamespaceHandle, Tap};
use crate::tap::Target;

/// How a container is captured.
#[derive(Debug, Default)]
pub struct Place {
    /// What tells its network namespace from any other, where that is on this host.
    pub namespace: Option<u64>,
    /// Its first process, likewise.
    pub pid: Option<i32>,
    /// The taps of its attachments, but for those that others in the namespace have.
    pub taps: Vec<Tap>,
    /// How many attachments have rings of how many MiB.
    pub rings: Vec<(usize, u32)>,
    /// What has to run meanwhile.
    pub tap_containers: Vec<TapContainer>,
}

/// Who is captured.
#[derive(Debug, Default)]
pub struct Captured {
    places: HashMap<ContainerId, Place>,
    /// Tap containers of those who have left.
    leaving: Vec<TapContainer>,
}

impl Place {
    /// Where `target` is, of which nothing is captured yet.
    pub fn of(target: &Target) -> Self {
        let holder = target.holder.as_ref().ok();
        let namespace = holder.and_then(NamespaceHandle::network_identity);
        Self { namespace, pid: target.pid(), ..Self::default() }
    }

    fn cables(&self) -> impl Iterator<Item = LinkIndex> {
        self.taps.iter().filter_map(|tap| match tap {
            Tap::HostVeth { index, .. } => Some(*index),
            Tap::Inside { .. } | Tap::Host { .. } | Tap::ThroughEngine { .. } => None,
        })
    }
}

/// Whether both are one interface: a host veth may get another name while it is captured.
fn is_same(one: &Tap, other: &Tap) -> bool {
    match (one, other) {
        (Tap::HostVeth { index: one, .. }, Tap::HostVeth { index: other, .. }) => one == other,
        _ => one == other,
    }
}

impl Captured {
    /// Adds what is captured of a container to what already is.
    pub fn add(&mut self, id: &ContainerId, more: Place) {
        let place = self.places.entry(id.clone()).or_default();
        (place.namespace, place.pid) = (more.namespace, more.pid);
        place.taps.extend(more.taps);
        place.rings.extend(more.rings);
        place.tap_containers.extend(more.tap_containers);
    }

    /// Adds what has to run for a container that is captured.
    pub fn add_tap_container(&mut self, tap_container: TapContainer) {
        let place = self.places.entry(tap_container.target().clone()).or_default();
        place.tap_containers.push(tap_container);
    }

    pub(super) fn has(&self, id: &ContainerId) -> bool {
        self.places.contains_key(id)
    }

    /// Whether `tap`, of container `id` in `namespace`, is captured for whomever.
    pub(super) fn has_tap(&self, id: &ContainerId, namespace: Option<u64>, tap: &Tap) -> bool {
        let is_there = |(one, place): (&ContainerId, &Place)| {
            (one == id || namespace.is_some() && place.namespace == namespace)
                && place.taps.iter().any(|one| is_same(one, tap))
        };
        self.places.iter().any(is_there)
    }

    /// The first processes of those who are captured.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.places.values().filter_map(|place| place.pid).collect()
    }

    /// The cables they are captured at.
    pub(super) fn cables(&self) -> Vec<LinkIndex> {
        self.places.values().flat_map(Place::cables).collect()
    }

    /// Those of one.
    pub(super) fn cables_of(&self, id: &ContainerId) -> Vec<LinkIndex> {
        self.places.get(id).into_iter().flat_map(Place::cables).collect()
    }

    /// Forgets a container. What is captured of it stays for others in its namespace, if there are any.
    /// Returns the rings that are free now; `None` where it was not captured.
    pub(super) fn remove(&mut self, id: &ContainerId) -> Option<Vec<(usize, u32)>> {
        let gone = self.places.remove(id)?;
        let is_with = |place: &&mut Place| gone.namespace.is_some() && place.namespace == gone.namespace;
        if let Some(heir) = self.places.values_mut().find(is_with) {
            heir.taps.extend(gone.taps);
            heir.rings.extend(gone.rings);
            heir.tap_containers.extend(gone.tap_containers);
            return Some(Vec::new());
        }
        gone.tap_containers.iter().for_each(TapContainer::close);
        self.leaving.extend(gone.tap_containers);
        self.leaving.retain(|tap_container| !tap_container.has_ended());
        Some(gone.rings)
    }

    /// Those whose tap containers have ended, for whatever reason.
    pub(super) fn broken(&self) -> Vec<ContainerId> {
        let is_broken = |place: &Place| place.tap_containers.iter().any(TapContainer::has_ended);
        self.places.iter().filter(|(_, place)| is_broken(place)).map(|(id, _)| id.clone()).collect()
    }

    /// Ends what had to run meanwhile.
    pub(super) fn end(self) {
        let of_those = self.places.into_values().flat_map(|place| place.tap_containers);
        of_those.chain(self.leaving).map(TapContainer::end).for_each(|end| info!("{end:?}"));
    }
}
