//! The containers of one place as they were told, and what is different now.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::{ContainerChange, Teller, locked};
use crate::container::{Container, ContainerId, EngineKind, NetworkMode};
use crate::engine::{ContainerInspection, kernel};

/// What all places know of each other.
#[derive(Clone, Default)]
pub(super) struct Share(Arc<Mutex<Shared>>);

#[derive(Default)]
struct Shared {
    /// Which place tells of a container: one engine may be reached at several.
    tellers: HashMap<ContainerId, usize>,
    /// Which engines answer.
    answering: HashMap<usize, EngineKind>,
}

impl Share {
    /// Whether it is for `place` to tell of this container.
    fn is_told_by(&self, place: usize, id: &ContainerId) -> bool {
        *locked(&self.0).tellers.entry(id.clone()).or_insert(place) == place
    }

    fn forget(&self, id: &ContainerId) {
        locked(&self.0).tellers.remove(id);
    }

    pub(super) fn answers(&self, place: usize, engine: Option<EngineKind>) {
        let answering = &mut locked(&self.0).answering;
        match engine {
            Some(engine) => answering.insert(place, engine),
            None => answering.remove(&place),
        };
    }

    /// The engines that answer, and the ids of their containers.
    pub(super) fn told(&self) -> (HashSet<ContainerId>, HashSet<EngineKind>) {
        let shared = locked(&self.0);
        (shared.tellers.keys().cloned().collect(), shared.answering.values().copied().collect())
    }
}

/// A container as it was told.
struct One {
    /// As its engine's list has it.
    listed: Container,
    pid: Option<i32>,
    /// Whatever else was told of that one alone.
    inspected: Option<ContainerInspection>,
    /// When its process was started, as this host's kernel counts, if it has one of that number.
    ticks: Option<u64>,
}

impl One {
    fn new(listed: Container, inspected: ContainerInspection) -> Self {
        let ticks = kernel::started(inspected.pid);
        Self { listed, pid: Some(inspected.pid), inspected: Some(inspected), ticks }
    }

    /// Whether it is this process still.
    fn is(&self, told: &ContainerInspection) -> bool {
        let is_other_start = self.inspected.as_ref().is_some_and(|one| one.started != told.started);
        self.pid == Some(told.pid) && !is_other_start
    }

    fn may_be_another(&self) -> bool {
        self.pid.is_some_and(|pid| self.ticks.is_some() && kernel::started(pid) != self.ticks)
    }
}

/// The containers of one place.
pub(super) struct Known {
    place: usize,
    containers: HashMap<ContainerId, One>,
    /// As the list has them now, of which some are still asked about.
    listed: HashMap<ContainerId, Container>,
    teller: Teller,
    share: Share,
}

impl Known {
    pub(super) fn new(
        place: usize,
        known: impl Iterator<Item = (Container, Option<i32>)>,
        teller: Teller,
        share: Share,
    ) -> Self {
        let one = |(listed, pid): (Container, Option<i32>)| {
            let ticks = pid.and_then(kernel::started);
            (listed.id.clone(), One { listed, pid, inspected: None, ticks })
        };
        let containers: HashMap<_, _> = known.map(one).collect();
        for id in containers.keys() {
            share.is_told_by(place, id);
        }
        Self { place, containers, listed: HashMap::new(), teller, share }
    }

    /// Takes a new list, tells what is different, and returns the containers to ask about: new ones and
    /// those that may be other processes now, `suspects` among them. `None` where there was no room to
    /// tell: the list must be taken again.
    pub(super) fn take_list(
        &mut self,
        containers: Vec<Container>,
        suspects: impl Fn(&ContainerId) -> bool,
    ) -> Option<Vec<ContainerId>> {
        let (place, share) = (self.place, &self.share);
        let before = std::mem::take(&mut self.listed);
        self.listed = containers
            .into_iter()
            .filter(|container| share.is_told_by(place, &container.id))
            .map(|container| (container.id.clone(), container))
            .collect();
        let gone: Vec<ContainerId> = self
            .containers
            .keys()
            .chain(before.keys())
            .filter(|id| !self.listed.contains_key(id))
            .cloned()
            .collect();
        let mut has_room = gone.iter().all(|id| self.went(id));
        let mut ask = Vec::new();
        for (id, listed) in &self.listed {
            let Some(one) = self.containers.get_mut(id) else {
                ask.push(id.clone());
                continue;
            };
            if listed.name != one.listed.name {
                let renamed = Box::new(with_told(listed, one.inspected.as_ref()));
                if self.teller.tell(ContainerChange::Renamed(renamed)) {
                    one.listed.name.clone_from(&listed.name);
                    one.listed.value.clone_from(&listed.value);
                } else {
                    has_room = false;
                }
            }
            if is_moved(&listed.networks, &one.listed) || suspects(id) || one.may_be_another() {
                ask.push(id.clone());
            }
        }
        has_room.then_some(ask)
    }

    /// Takes what was told of one container; `None` if it does not run. False where there was no room to
    /// tell.
    pub(super) fn take_inspected(&mut self, id: &ContainerId, told: Option<ContainerInspection>) -> bool {
        // It may have left the list again meanwhile.
        let Some(listed) = self.listed.get(id).cloned() else { return true };
        let Some(told) = told else { return self.went(id) };
        if let Some(one) = self.containers.get_mut(id) {
            // Nobody asked about this one before.
            let is_first = one.pid.is_none();
            if is_first || one.is(&told) {
                let moved = is_moved(&listed.networks, &one.listed);
                let container = Box::new(with_told(&listed, Some(&told)));
                if moved && !self.teller.tell(ContainerChange::NetworksChanged(container)) {
                    return false;
                }
                *one = One::new(listed, told);
                return true;
            }
            if !self.went(id) {
                return false;
            }
        }
        let came = Box::new(with_told(&listed, Some(&told)));
        if !self.teller.tell(ContainerChange::Started(came, Some(told.clone()))) {
            return false;
        }
        // Of that which it went from, another place may tell no sooner.
        self.share.is_told_by(self.place, id);
        self.containers.insert(id.clone(), One::new(listed, told));
        true
    }

    fn went(&mut self, id: &ContainerId) -> bool {
        if self.containers.contains_key(id) && !self.teller.tell(ContainerChange::Stopped(id.clone())) {
            return false;
        }
        self.containers.remove(id);
        self.share.forget(id);
        true
    }
}

/// Whether the engine has other networks or addresses for a container than it had. Aliases are told only
/// now and then.
fn is_moved(networks: &[crate::container::Network], before: &Container) -> bool {
    let is_same = |(one, other): (&crate::container::Network, &crate::container::Network)| {
        (&one.name, &one.id, &one.addresses, &one.mac)
            == (&other.name, &other.id, &other.addresses, &other.mac)
    };
    networks.len() != before.networks.len() || !networks.iter().zip(&before.networks).all(is_same)
}

/// A container with what its engine told of it alone.
fn with_told(listed: &Container, told: Option<&ContainerInspection>) -> Container {
    let mut container = listed.clone();
    let Some(told) = told else { return container };
    if let Some(mode) = told.mode.clone().filter(|_| !matches!(listed.network_mode, NetworkMode::Shared(_))) {
        container.network_mode = mode;
    }
    container.set_aliases(&told.networks);
    container
}
