//! Opens taps: rings and tap containers.

use std::io;
use std::time::Duration;

use log::{debug, warn};

use super::{Target, description, through_engine};
use crate::capture::{self, CaptureSettings, Ring, RingBudget};
use crate::engine::TapContainer;
use crate::error::Error;
use crate::link::{self, Attachment, Links, Tap};
use crate::parallel::map;
use crate::pcapng::InterfaceDescription;
use crate::privilege::Privilege;
use crate::session::Source;

/// Attachments whose rings are opened at the same time. For each ring the kernel waits some 17 ms
/// (`synchronize_net`, net/packet/af_packet.c); concurrent waits are shared.
const MAX_PARALLEL_OPENS: usize = 128;

/// The opened taps of all targets.
pub struct OpenedTaps {
    /// The sources of each target, in the order of its attachments.
    pub sources: Vec<Vec<Source>>,
    /// The opened taps of each target.
    pub taps: Vec<Vec<Tap>>,
    /// The tap containers, to be kept while the capture runs.
    pub tap_containers: Vec<TapContainer>,
    /// Size of the ring of each attachment, in KiB.
    pub ring_kib: u32,
}

/// Opens the taps of `targets`: rings, for which capabilities are raised and dropped again, and tap containers. Ring
/// memory is taken from `budget`. Slow steps are reported to `notice`.
///
/// Fails when a capability is missing, a link was removed or replaced, the filter is invalid, or an engine refuses a
/// tap container.
pub fn open(
    targets: &[Target],
    settings: &CaptureSettings,
    budget: &mut RingBudget,
    block_timeout: Duration,
    privilege: &Privilege,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<OpenedTaps, Error> {
    let count = targets.iter().map(|target| target.attachments.len()).sum::<usize>();
    let ring_kib = budget.allocate(count);
    debug!("rings of {ring_kib} KiB for each of {count} attachments, block timeout {block_timeout:?}");
    let all = targets.iter().flat_map(|target| target.attachments.iter().map(move |one| (target, one)));
    let (by_engine, mut by_us): (Vec<_>, Vec<_>) =
        all.enumerate().partition(|(_, (_, one))| matches!(one.tap, Tap::ThroughEngine { .. }));
    // A rootless container's namespace cannot be left again, so these come last.
    let goes_there = |target: &Target, one: &Attachment| one.tap.is_inside() && target.rootless.is_some();
    by_us.sort_by_key(|(_, (target, attachment))| goes_there(target, attachment));
    let (here, there) = by_us.split_at(by_us.partition_point(|(_, (target, one))| !goes_there(target, one)));
    let open = |(number, (target, attachment)): &(usize, (&'_ Target, &'_ Attachment))| {
        let ring = open_ring(target, attachment, settings, ring_kib, block_timeout, privilege)?;
        Ok((*number, ring))
    };
    let mut opened = Vec::new();
    let mut went = None;
    let mut take = |outcome: Result<_, Error>, (target, attachment): (&Target, &Attachment)| match outcome {
        Ok(one) => {
            opened.push(one);
            Ok(())
        }
        // Engines add and remove host interfaces, and one of many containers may stop now or have a link that is down.
        Err(why) if is_gone(target, attachment) || capture::is_down(&why) => {
            if attachment.tap.is_host_interface() {
                warn!("{} is not captured: {}", attachment.name(), why.message());
            } else {
                notice(&format!("not captured: {} ({})", attachment.name(), why.message()));
            }
            went = Some(why);
            Ok(())
        }
        Err(why) => Err(why),
    };
    // Only a single-threaded process can enter a user namespace.
    let of_here = map(here, if there.is_empty() { MAX_PARALLEL_OPENS } else { 1 }, open);
    // Names may have been reused for other links since the look-up.
    let links = Links::now()?;
    for (outcome, (_, (target, attachment))) in of_here.into_iter().zip(here) {
        let is_same = outcome.and_then(|one| verify_link(&links, target, attachment).map(|()| one));
        take(is_same, (target, attachment))?;
    }
    for one in there {
        take(open(one), one.1)?;
    }
    if let Some(why) = went.filter(|_| opened.is_empty() && by_engine.is_empty()) {
        return Err(why);
    }
    if by_us.iter().any(|(_, (target, attachment))| goes_there(target, attachment)) {
        // A process that enters a user namespace has all capabilities in it.
        privilege.drop_gained()?;
    }
    // Last: their threads would prevent entering a user namespace.
    let through = through_engine::start(&by_engine, settings, ring_kib, notice)?;
    let begin = capture::now();
    for (_, (_, ring)) in &mut opened {
        ring.count_from(begin);
    }
    let source = |(number, (interface, ring))| (number, Source::Ring(interface, ring));
    let mut sources: Vec<(usize, Source)> = opened.into_iter().map(source).collect();
    let mut tap_containers = Vec::new();
    for (number, source, tap_container) in through {
        sources.push((number, source));
        tap_containers.push(tap_container);
    }
    sources.sort_by_key(|(number, _)| *number);
    let all = targets.iter().flat_map(|target| &target.attachments).enumerate();
    let is_open = |number: usize, tap: &Tap| {
        matches!(tap, Tap::ThroughEngine { .. }) || sources.iter().any(|(opened, _)| *opened == number)
    };
    let mut opened_taps = all.map(|(number, one)| is_open(number, &one.tap).then(|| one.tap.clone()));
    let taps_of = |target: &Target| opened_taps.by_ref().take(target.attachments.len()).flatten().collect();
    let taps = targets.iter().map(taps_of).collect();
    let mut sources = sources.into_iter().peekable();
    let mut end = 0;
    let of_target = |target: &Target| {
        end += target.attachments.len();
        std::iter::from_fn(|| sources.next_if(|(number, _)| *number < end))
            .map(|(_, source)| source)
            .collect()
    };
    Ok(OpenedTaps { sources: targets.iter().map(of_target).collect(), taps, tap_containers, ring_kib })
}

fn open_ring(
    target: &Target,
    attachment: &Attachment,
    settings: &CaptureSettings,
    ring_kib: u32,
    block_timeout: Duration,
    privilege: &Privilege,
) -> Result<(InterfaceDescription, Ring), Error> {
    let open = || capture::open(attachment, settings, ring_kib, block_timeout);
    let ring = match (&attachment.tap, &target.rootless) {
        (Tap::HostVeth { .. } | Tap::Host { .. }, _) => privilege.with_net_raw(open)??,
        (_, Some(namespaces)) => {
            namespaces.enter().map_err(|error| cannot_enter(attachment, &error))?;
            open()?
        }
        (_, None) => {
            privilege.on_entering_thread(|| enter_namespace(target, attachment).and_then(|()| open()))??
        }
    };
    let interface = description::describe(target, attachment, settings, ring.link_type());
    Ok((interface, ring.filtered(attachment, settings)?))
}

/// Verifies that the link of `attachment` is still the one that was looked up.
///
/// Fails when it is not, or the kernel cannot be queried.
fn verify_link(links: &Links, target: &Target, attachment: &Attachment) -> Result<(), Error> {
    let holder = target.holder.as_ref().map_err(Clone::clone)?;
    if link::is_in(links, &attachment.tap, holder).unwrap_or(false) {
        return Ok(());
    }
    Err(Error::new(
        format!("{} is no longer the interface of {}", attachment.tap.device(), attachment.name()),
        "check that the container is running, then capture again",
    ))
}

/// Whether the host interface was removed or its container has stopped.
fn is_gone(target: &Target, attachment: &Attachment) -> bool {
    let Ok(holder) = &target.holder else { return false };
    let is_there = || link::is_unchanged(&attachment.tap, holder).unwrap_or(true);
    !holder.is_alive() || attachment.tap.is_host_interface() && !is_there()
}

/// Moves the calling thread into the network namespace of `target`.
fn enter_namespace(target: &Target, attachment: &Attachment) -> Result<(), Error> {
    let holder = target.holder.as_ref().map_err(Clone::clone)?;
    let entered = holder.namespace().and_then(|namespace| namespace.enter());
    entered.map_err(|error| cannot_enter(attachment, &error))
}

fn cannot_enter(attachment: &Attachment, error: &io::Error) -> Error {
    Error::new(
        format!("cannot enter the network of {}: {error}", attachment.name()),
        "check that the container is running, and capture as root; a rootless container as the user of its engine",
    )
}
