//! The containers of one engine as they were reported, and the differences to a new list.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use super::{ChangeReporter, ContainerChange, lock};
use crate::container::{Container, ContainerId, EngineKind, Network, NetworkMode};
use crate::engine::{ContainerInspection, kernel};

/// State that the watches of all engines share.
#[derive(Clone, Default)]
pub(super) struct SharedWatchState(Arc<Mutex<WatchState>>);

#[derive(Default)]
struct WatchState {
    /// The watch that reports each container: one engine may be reachable at several addresses.
    owners: HashMap<ContainerId, usize>,
    /// The engines that answer, by watch.
    answering: HashMap<usize, EngineKind>,
}

impl SharedWatchState {
    /// Whether `watch` is the one that reports this container.
    fn claim(&self, watch: usize, id: &ContainerId) -> bool {
        *lock(&self.0).owners.entry(id.clone()).or_insert(watch) == watch
    }

    fn release(&self, id: &ContainerId) {
        lock(&self.0).owners.remove(id);
    }

    pub(super) fn set_answering(&self, watch: usize, engine: Option<EngineKind>) {
        let answering = &mut lock(&self.0).answering;
        match engine {
            Some(engine) => answering.insert(watch, engine),
            None => answering.remove(&watch),
        };
    }

    /// The ids of all reported containers, and the engines that answer.
    pub(super) fn listed(&self) -> (HashSet<ContainerId>, HashSet<EngineKind>) {
        let state = lock(&self.0);
        (state.owners.keys().cloned().collect(), state.answering.values().copied().collect())
    }
}

/// A container as it was reported.
struct KnownContainer {
    /// As the engine's list has it.
    listed: Container,
    pid: Option<i32>,
    inspection: Option<ContainerInspection>,
    /// Start time of the process with that pid on this host, if there is one.
    start_time: Option<u64>,
}

impl KnownContainer {
    fn new(listed: Container, inspection: ContainerInspection) -> Self {
        let start_time = kernel::process_start_time(inspection.pid);
        Self { listed, pid: Some(inspection.pid), inspection: Some(inspection), start_time }
    }

    fn is_same_process(&self, inspection: &ContainerInspection) -> bool {
        let was_restarted =
            self.inspection.as_ref().is_some_and(|old| old.started_at != inspection.started_at);
        self.pid == Some(inspection.pid) && !was_restarted
    }

    fn may_have_restarted(&self) -> bool {
        self.pid.is_some_and(|pid| {
            self.start_time.is_some() && kernel::process_start_time(pid) != self.start_time
        })
    }
}

/// The containers of one engine.
pub(super) struct KnownContainers {
    watch: usize,
    reported: HashMap<ContainerId, KnownContainer>,
    /// The current list, of which some may still be inspected.
    listed: HashMap<ContainerId, Container>,
    reporter: ChangeReporter,
    shared: SharedWatchState,
}

impl KnownContainers {
    pub(super) fn new(
        watch: usize,
        known: impl Iterator<Item = (Container, Option<i32>)>,
        reporter: ChangeReporter,
        shared: SharedWatchState,
    ) -> Self {
        let known_container = |(listed, pid): (Container, Option<i32>)| {
            let start_time = pid.and_then(kernel::process_start_time);
            (listed.id.clone(), KnownContainer { listed, pid, inspection: None, start_time })
        };
        let containers: HashMap<_, _> = known.map(known_container).collect();
        for id in containers.keys() {
            shared.claim(watch, id);
        }
        Self { watch, reported: containers, listed: HashMap::new(), reporter, shared }
    }

    /// Applies a new list, reports differences, and returns the containers to inspect: new ones, and those that may
    /// have a new process, which `is_suspect` adds to. `None` when the queue was full: the list must be applied again.
    pub(super) fn apply_list(
        &mut self,
        containers: Vec<Container>,
        is_suspect: impl Fn(&ContainerId) -> bool,
    ) -> Option<Vec<ContainerId>> {
        let (watch, shared) = (self.watch, &self.shared);
        let previous = std::mem::take(&mut self.listed);
        self.listed = containers
            .into_iter()
            .filter(|container| shared.claim(watch, &container.id))
            .map(|container| (container.id.clone(), container))
            .collect();
        let removed: Vec<ContainerId> = self
            .reported
            .keys()
            .chain(previous.keys())
            .filter(|id| !self.listed.contains_key(id))
            .cloned()
            .collect();
        let mut is_complete = removed.iter().all(|id| self.report_stopped(id));
        let mut to_inspect = Vec::new();
        for (id, listed) in &self.listed {
            let Some(known) = self.reported.get_mut(id) else {
                to_inspect.push(id.clone());
                continue;
            };
            if listed.name != known.listed.name {
                let renamed = Box::new(with_inspection(listed, known.inspection.as_ref()));
                if self.reporter.report(ContainerChange::Renamed(renamed)) {
                    known.listed.name.clone_from(&listed.name);
                    known.listed.value.clone_from(&listed.value);
                } else {
                    is_complete = false;
                }
            }
            if has_other_networks(&listed.networks, &known.listed)
                || is_suspect(id)
                || known.may_have_restarted()
            {
                to_inspect.push(id.clone());
            }
        }
        is_complete.then_some(to_inspect)
    }

    /// Applies the inspection of one container; `None` if it does not run. False when the queue was full.
    pub(super) fn apply_inspection(
        &mut self,
        id: &ContainerId,
        inspection: Option<ContainerInspection>,
    ) -> bool {
        // It may have left the list in the meantime.
        let Some(listed) = self.listed.get(id).cloned() else { return true };
        let Some(inspection) = inspection else { return self.report_stopped(id) };
        if let Some(known) = self.reported.get_mut(id) {
            let is_first_inspection = known.pid.is_none();
            if is_first_inspection || known.is_same_process(&inspection) {
                let container = Box::new(with_inspection(&listed, Some(&inspection)));
                if has_other_networks(&listed.networks, &known.listed)
                    && !self.reporter.report(ContainerChange::NetworksChanged(container))
                {
                    return false;
                }
                *known = KnownContainer::new(listed, inspection);
                return true;
            }
            if !self.report_stopped(id) {
                return false;
            }
        }
        let container = Box::new(with_inspection(&listed, Some(&inspection)));
        if !self.reporter.report(ContainerChange::Started(container, Some(inspection.clone()))) {
            return false;
        }
        // `report_stopped` released it.
        self.shared.claim(self.watch, id);
        self.reported.insert(id.clone(), KnownContainer::new(listed, inspection));
        true
    }

    fn report_stopped(&mut self, id: &ContainerId) -> bool {
        if self.reported.contains_key(id) && !self.reporter.report(ContainerChange::Stopped(id.clone())) {
            return false;
        }
        self.reported.remove(id);
        self.shared.release(id);
        true
    }
}

/// Whether the networks or addresses differ from those in `previous`. Aliases are not compared: only some answers have
/// them.
fn has_other_networks(networks: &[Network], previous: &Container) -> bool {
    let is_same = |(one, other): (&Network, &Network)| {
        (&one.name, &one.id, &one.addresses, &one.mac)
            == (&other.name, &other.id, &other.addresses, &other.mac)
    };
    networks.len() != previous.networks.len() || !networks.iter().zip(&previous.networks).all(is_same)
}

/// The container from the list, completed by its inspection.
fn with_inspection(listed: &Container, inspection: Option<&ContainerInspection>) -> Container {
    let mut container = listed.clone();
    let Some(inspection) = inspection else { return container };
    let mode = inspection.network_mode.clone();
    if let Some(mode) = mode.filter(|_| !matches!(listed.network_mode, NetworkMode::Shared(_))) {
        container.network_mode = mode;
    }
    container.set_aliases(&inspection.networks);
    container
}
