//! What a capture needs that goes on as containers come and go.

use std::collections::HashMap;
use std::path::Path;

use containerdump::broker::Broker;
use containerdump::capture::{CaptureSettings, RingBudget};
use containerdump::container::selection::Selection;
use containerdump::engine::{ContainerWatcher, TapContainer};
use containerdump::error::Error;
use containerdump::follow::{
    CapturedContainer, CapturedContainers, FollowOptions, Follower, InitialContainers,
};
use containerdump::link::Tap;
use containerdump::own_program;
use containerdump::session::{self, ChangeReceiver};
use containerdump::tap::Targets;

/// Attachments for which a capture of a group sets memory aside.
const MANY: usize = 200;

/// Memory for the rings of what was `found`, and of what may join.
pub(crate) fn budget(settings: &CaptureSettings, selection: &Selection, found: &Targets) -> RingBudget {
    let count = found.targets.iter().map(|target| target.attachments.len()).sum::<usize>();
    // Who comes back has what was left then.
    let expected = if selection.has_criteria() { count.max(MANY) } else { count };
    RingBudget::new(settings.ring_mib, expected)
}

/// Starts what keeps the right to open.
pub(crate) fn opener() -> Option<Broker> {
    // What is captured from the begin needs none.
    Broker::start(Path::new(own_program::EXECUTABLE)).inspect_err(|trouble| log::warn!("{trouble}")).ok()
}

/// Who is captured of what was `found`: `taps` of each are open, each has rings of `each` MiB, and `tap_containers` run.
pub(crate) fn captured(
    found: &Targets,
    taps: Vec<Vec<Tap>>,
    each: u32,
    tap_containers: Vec<TapContainer>,
) -> CapturedContainers {
    let mut captured = CapturedContainers::default();
    for (target, taps) in found.targets.iter().zip(taps) {
        let rings = vec![(taps.len(), each)];
        captured
            .add(&target.container.id, CapturedContainer { taps, rings, ..CapturedContainer::new(target) });
    }
    for tap_container in tap_containers {
        captured.add_tap_container(tap_container);
    }
    captured
}

/// Begins to watch, from what was `found` and is `captured`.
///
/// Fails when there are no threads or file descriptors left.
pub(crate) fn begin(
    options: FollowOptions,
    found: &Targets,
    captured: CapturedContainers,
    opener: Option<Broker>,
) -> Result<(Follower, ChangeReceiver), Error> {
    let (sender, changes) = session::change_channel().map_err(|error| {
        Error::new(format!("cannot follow containers: {error}"), "free some file descriptors: ulimit -n")
    })?;
    let pids: HashMap<_, _> =
        found.targets.iter().map(|target| (target.container.id.clone(), target.pid())).collect();
    let pairs = found.running.iter().map(|one| (one.clone(), pids.get(&one.id).copied().flatten()));
    let watch = ContainerWatcher::start(pairs, options.target_options.entered.clone())?;
    let initial = InitialContainers { running: found.running.clone(), captured };
    Ok((Follower::new(options, initial, watch, opener, sender), changes))
}
