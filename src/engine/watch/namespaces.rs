//! Network namespaces that no engine lists, watched by repeated scans.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::debug;

use super::known::SharedWatchState;
use super::{ChangeReporter, ContainerChange, NamespaceScans};
use crate::container::endpoint::Endpoint;
use crate::container::{self, Container, ContainerId};
use crate::engine::kernel;
use crate::engine::listing::EngineStatus;
use crate::engine::timeouts::LIST_TIMEOUT;
use crate::link::NamedNamespaces;

/// The pause after a check or scan is this many times its duration: they take less than 0.3 % of a CPU.
const PAUSE_FACTOR: u32 = 400;
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// The same while the processes are the same.
const MIN_IDLE_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How long after a process has started its namespace may still get interfaces and addresses.
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// How often to scan although the processes are the same: they may enter a namespace, which may get other addresses.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn run(
    known: Vec<(Container, Option<i32>)>,
    named_namespaces: NamedNamespaces,
    scans: NamespaceScans,
    reporter: ChangeReporter,
    shared: SharedWatchState,
) {
    let mut known: HashMap<ContainerId, Container> =
        known.into_iter().map(|(container, _)| (container.id.clone(), container)).collect();
    // By then, engines have listed their containers.
    tokio::time::sleep(LIST_TIMEOUT + MIN_PAUSE).await;
    let mut inventory = kernel::ProcessInventory::default();
    let (mut changed_at, mut scanned_at) = (Instant::now(), None);
    loop {
        let started = Instant::now();
        let previous = std::mem::replace(&mut inventory, kernel::ProcessInventory::now());
        if inventory != previous {
            changed_at = started;
        }
        let is_settling = changed_at.elapsed() < SETTLE_TIME;
        let is_due = scanned_at.is_none_or(|at: Instant| at.elapsed() >= SCAN_INTERVAL);
        if is_due || is_settling {
            scanned_at = Some(started);
            scan(&mut known, &named_namespaces, &reporter, &shared);
        }
        let min_pause = match scans {
            NamespaceScans::Slow => SCAN_INTERVAL,
            NamespaceScans::Prompt if is_settling => MIN_PAUSE,
            NamespaceScans::Prompt => MIN_IDLE_PAUSE,
        };
        tokio::time::sleep((started.elapsed() * PAUSE_FACTOR).clamp(min_pause, MAX_PAUSE)).await;
    }
}

fn scan(
    known: &mut HashMap<ContainerId, Container>,
    named_namespaces: &NamedNamespaces,
    reporter: &ChangeReporter,
    shared: &SharedWatchState,
) {
    let (ids, engines) = shared.listed();
    let listings =
        kernel::NamespaceScan::now(named_namespaces).unlisted_among(ids, &engines, named_namespaces);
    let available = listings.into_iter().filter_map(|listing| match listing.status {
        EngineStatus::Available { containers, .. } => Some(containers),
        EngineStatus::Absent | EngineStatus::Unavailable(_) => None,
    });
    let mut containers: Vec<Container> = available.flatten().collect();
    container::assign_values(containers.iter_mut());
    if !report_changes(known, containers, reporter) {
        debug!("the queue is full: changes among network namespaces are delayed");
    }
}

/// Reports the differences. False when the queue was full.
fn report_changes(
    known: &mut HashMap<ContainerId, Container>,
    containers: Vec<Container>,
    reporter: &ChangeReporter,
) -> bool {
    let current: HashMap<ContainerId, Container> =
        containers.into_iter().map(|container| (container.id.clone(), container)).collect();
    let has_ended = |id: &ContainerId, previous: &Container| {
        current.get(id).is_none_or(|container| namespace(container) != namespace(previous))
    };
    let ended: Vec<ContainerId> =
        known.iter().filter(|(id, previous)| has_ended(id, previous)).map(|(id, _)| id.clone()).collect();
    for id in ended {
        if !reporter.report(ContainerChange::Stopped(id.clone())) {
            return false;
        }
        known.remove(&id);
    }
    for (id, container) in current {
        let change = match known.get(&id) {
            None => Some(ContainerChange::Started(Box::new(container.clone()), None)),
            Some(previous) if previous.name != container.name => {
                Some(ContainerChange::Renamed(Box::new(container.clone())))
            }
            Some(previous) if previous.addresses().ne(container.addresses()) => {
                Some(ContainerChange::NetworksChanged(Box::new(container.clone())))
            }
            Some(_) => None,
        };
        if change.is_some_and(|change| !reporter.report(change)) {
            return false;
        }
        known.insert(id, container);
    }
    true
}

/// Identifies the namespace of a container, which may be a new one under the same id.
fn namespace(container: &Container) -> Option<u64> {
    let Endpoint::Kernel(info) = &container.endpoint else { return None };
    // The processes in a named namespace may change.
    info.file.as_ref().map(|file| file.inode).or(info.process.map(|process| process.namespace))
}
