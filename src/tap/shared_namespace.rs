//! Which other containers share the network namespace of a container.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use log::debug;

use super::Target;
use crate::container::{Container, EngineKind};
use crate::engine;
use crate::link::Process;
use crate::safe_text::SafeText;

/// Containers that are inspected for each target; a description has no room for more names.
const MAX_INSPECTED: usize = 64;
/// How long the inspections may take together.
const TOTAL_INSPECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Names of the `containers` in the network namespace of `target`. The engine's list gives candidates, and the kernel
/// decides, where the containers are on this host: a container that joined the namespace of another stays in the old
/// one when that is restarted.
pub(super) fn containers_sharing_namespace(target: &Target, containers: &[Container]) -> BTreeSet<SafeText> {
    if target.container.engine == EngineKind::Kernel {
        // No engine knows the containers in it.
        return target.container.namespace_members().iter().cloned().collect();
    }
    let mut may_be: Vec<&Container> =
        containers.iter().filter(|other| other.may_share_network_with(&target.container)).collect();
    // First those of whom the list tells something.
    may_be.sort_by_key(|other| other.has_unknown_network());
    may_be.truncate(MAX_INSPECTED);
    let Ok(holder) = &target.holder else {
        let its =
            |other: &&Container| other.endpoint == target.container.endpoint && !other.has_unknown_network();
        return may_be.into_iter().filter(its).map(|other| other.name.clone()).collect();
    };
    let namespace = holder.network_identity();
    let mut members = BTreeSet::new();
    let begin = Instant::now();
    for container in may_be {
        if begin.elapsed() > TOTAL_INSPECT_TIMEOUT {
            debug!("{} and others were not asked whether they share a network", container.name);
            break;
        }
        let process =
            engine::inspect(container).and_then(|inspected| Process::of_container(container, inspected.pid));
        match process {
            Ok(process) if process.network_identity() == namespace && process.is_alive() => {
                members.insert(container.name.clone());
            }
            Ok(_) => {}
            Err(why) => debug!("whether {} shares the network: {why}", container.name),
        }
    }
    members
}
