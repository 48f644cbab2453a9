//! What a capture needs that goes on as containers come and go.

use std::collections::HashMap;
use std::path::Path;

use containerdump::capture::{Budget, Settings};
use containerdump::engine::Watch;
use containerdump::follow::{Captured, Follow, Terms};
use containerdump::opener::{self, Opener};
use containerdump::privilege::Privilege;
use containerdump::selection::Selection;
use containerdump::session::{self, Changes};
use containerdump::tap::{Means, Targets};
use containerdump::trouble::Trouble;

/// Attachments for which a capture of a group sets memory aside.
const MANY: usize = 200;

/// Memory for the rings of what was `found`, and of what may join.
pub(crate) fn budget(settings: &Settings, selection: &Selection, found: &Targets) -> Budget {
    let count = found.targets.iter().map(|target| target.attachments.len()).sum::<usize>();
    // Who comes back has what was left then.
    let expected = if selection.is_of_group() { count.max(MANY) } else { count };
    Budget::new(settings.ring_mib, expected)
}

/// Starts what keeps the right to open, where there is one to keep.
pub(crate) fn opener(privilege: &Privilege) -> Option<Opener> {
    Opener::start(Path::new(opener::PROGRAM), privilege).unwrap_or_else(|trouble| {
        // What is captured from the begin needs none.
        log::warn!("{trouble}");
        None
    })
}

/// Begins to watch, from what was `found`, each attachment of which has rings of `each` MiB.
///
/// Fails when there are no threads or file descriptors left.
pub(crate) fn begin(
    terms: Terms,
    means: Means,
    opener: Option<Opener>,
    found: &Targets,
    each: u32,
) -> Result<(Follow, Changes), Trouble> {
    let (joining, changes) = session::changes().map_err(|error| {
        Trouble::new(format!("cannot follow containers: {error}"), "free some file descriptors: ulimit -n")
    })?;
    let pids: HashMap<_, _> =
        found.targets.iter().map(|target| (target.container.id.clone(), target.pid())).collect();
    let known = found.running.iter().map(|one| (one.clone(), pids.get(&one.id).copied().flatten()));
    let watch = Watch::start(known, terms.entered.clone())?;
    let captured = found.targets.iter().map(|target| {
        let taps = target.attachments.iter().map(|attachment| attachment.tap.clone());
        let captured = Captured { taps: taps.collect(), rings: vec![(target.attachments.len(), each)] };
        (target.container.id.clone(), captured)
    });
    let captured = captured.collect();
    Ok((Follow::new(terms, watch, opener, means, joining, found.running.clone(), captured), changes))
}
