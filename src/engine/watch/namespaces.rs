//! Network namespaces that no engine tells of, watched by looking again and again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::debug;

use super::known::Share;
use super::{ContainerChange, Teller};
use crate::container::{self, Container, ContainerId};
use crate::endpoint::Endpoint;
use crate::engine::{EngineStatus, LIST_TIMEOUT, kernel};
use crate::link::Entered;

/// Pauses between two looks: this many times what the last one took, so that they cost less than 1 % of a
/// core.
const REST: u32 = 120;
/// Shortest and longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

pub(super) async fn run(
    known: Vec<(Container, Option<i32>)>,
    entered: Entered,
    teller: Teller,
    share: Share,
) {
    let mut known: HashMap<ContainerId, Container> =
        known.into_iter().map(|(container, _)| (container.id.clone(), container)).collect();
    // Until then engines have told what is theirs.
    tokio::time::sleep(LIST_TIMEOUT + PAUSES.0).await;
    loop {
        let begun = Instant::now();
        let (ids, engines) = share.told();
        let listings = kernel::Look::now(&entered).beside_containers(ids, &engines, &entered);
        let listed = listings.into_iter().filter_map(|listing| match listing.status {
            EngineStatus::Available { containers, .. } => Some(containers),
            EngineStatus::Absent | EngineStatus::Unavailable(_) => None,
        });
        let mut containers: Vec<Container> = listed.flatten().collect();
        container::assign_values(containers.iter_mut());
        if !tell(&mut known, containers, &teller) {
            debug!("changes among network namespaces wait to be taken");
        }
        tokio::time::sleep((begun.elapsed() * REST).clamp(PAUSES.0, PAUSES.1)).await;
    }
}

/// Tells what is different. False where there was no room for all of it.
fn tell(known: &mut HashMap<ContainerId, Container>, containers: Vec<Container>, teller: &Teller) -> bool {
    let now: HashMap<ContainerId, Container> =
        containers.into_iter().map(|container| (container.id.clone(), container)).collect();
    let is_other = |id: &ContainerId, before: &Container| {
        now.get(id).is_none_or(|container| namespace(container) != namespace(before))
    };
    let gone: Vec<ContainerId> =
        known.iter().filter(|(id, before)| is_other(id, before)).map(|(id, _)| id.clone()).collect();
    for id in gone {
        if !teller.tell(ContainerChange::Stopped(id.clone())) {
            return false;
        }
        known.remove(&id);
    }
    for (id, container) in now {
        let before = known.get(&id);
        let change = match before {
            None => Some(ContainerChange::Started(Box::new(container.clone()), None)),
            Some(before) if before.name != container.name => {
                Some(ContainerChange::Renamed(Box::new(container.clone())))
            }
            Some(before) if before.addresses().ne(container.addresses()) => {
                Some(ContainerChange::NetworksChanged(Box::new(container.clone())))
            }
            Some(_) => None,
        };
        if change.is_some_and(|change| !teller.tell(change)) {
            return false;
        }
        known.insert(id, container);
    }
    true
}

/// What tells the namespace of a container from that of one of the same id.
fn namespace(container: &Container) -> Option<u64> {
    let Endpoint::Kernel(seen) = &container.endpoint else { return None };
    // Processes come and go in one that a file stands for.
    seen.file.as_ref().map(|file| file.inode).or(seen.process.map(|process| process.namespace))
}
