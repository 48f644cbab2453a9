//! Opening what the taps need: rings, and tap containers.

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

/// Attachments whose rings are opened at the same time: for each ring the kernel waits until all its processors
/// know of the socket (`synchronize_net`), some 17 ms, and all who wait at the same time wait once.
const MAX_PARALLEL_OPENS: usize = 128;

/// Everything that a session reads, opened.
pub struct OpenedTaps {
    /// Where packets come from, for each target, in the order of its attachments.
    pub sources: Vec<Vec<Source>>,
    /// The taps that were opened, for each target.
    pub taps: Vec<Vec<Tap>>,
    /// What has to run meanwhile.
    pub tap_containers: Vec<TapContainer>,
    /// Memory of the rings of each attachment, in MiB.
    pub ring_mib: u32,
}

/// Opens what the taps of `targets` need: rings, with `CAP_NET_RAW` and inside a container what
/// entering it takes, both raised and lowered; and tap containers. Memory for rings comes out of
/// `budget`. `notice` is told of what takes long.
///
/// Fails when a right is missing, a link went away or was given to another, the filter is refused,
/// or an engine refuses a tap container.
pub fn open(
    targets: &[Target],
    settings: &CaptureSettings,
    budget: &mut RingBudget,
    block_timeout: Duration,
    privilege: &Privilege,
    notice: &(dyn Fn(&str) + Sync),
) -> Result<OpenedTaps, Error> {
    let count = targets.iter().map(|target| target.attachments.len()).sum::<usize>();
    let ring_mib = budget.allocate(count);
    debug!("rings of {ring_mib} MiB for each of {count} attachments, block timeout {block_timeout:?}");
    let all = targets.iter().flat_map(|target| target.attachments.iter().map(move |one| (target, one)));
    let (by_engine, mut by_us): (Vec<_>, Vec<_>) =
        all.enumerate().partition(|(_, (_, one))| matches!(one.tap, Tap::ThroughEngine { .. }));
    // There is no way back from a rootless container, so these come last.
    let goes_there = |target: &Target, one: &Attachment| one.tap.is_inside() && target.rootless.is_some();
    by_us.sort_by_key(|(_, (target, attachment))| goes_there(target, attachment));
    let (here, there) = by_us.split_at(by_us.partition_point(|(_, (target, one))| !goes_there(target, one)));
    let open = |(number, (target, attachment)): &(usize, (&'_ Target, &'_ Attachment))| {
        let rings = open_rings(target, attachment, settings, ring_mib, block_timeout, privilege)?;
        Ok((*number, rings))
    };
    let mut opened = Vec::new();
    let mut went = None;
    let mut take = |outcome: Result<_, Error>, (target, attachment): (&Target, &Attachment)| match outcome {
        Ok(one) => {
            opened.push(one);
            Ok(())
        }
        // Engines make and remove networks while they run, each with an interface of the host; and of many
        // containers one may end now, or have an interface that is down.
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
    // Whoever enters a user namespace must be alone.
    let of_here = map(here, if there.is_empty() { MAX_PARALLEL_OPENS } else { 1 }, open);
    // The names may have gone to other links between the look-up and the opening.
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
        // Whoever enters a user namespace has every right in it.
        privilege.drop_gained()?;
    }
    // Their threads would be in the way of entering a user namespace.
    let through = through_engine::start(&by_engine, settings, ring_mib, notice)?;
    let begin = capture::now();
    opened.iter_mut().flat_map(|(_, (_, rings))| rings).for_each(|ring| ring.count_from(begin));
    let rings = |(number, (interface, rings))| (number, Source::Rings(interface, rings));
    let mut sources: Vec<(usize, Source)> = opened.into_iter().map(rings).collect();
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
    Ok(OpenedTaps { sources: targets.iter().map(of_target).collect(), taps, tap_containers, ring_mib })
}

fn open_rings(
    target: &Target,
    attachment: &Attachment,
    settings: &CaptureSettings,
    ring_mib: u32,
    block_timeout: Duration,
    privilege: &Privilege,
) -> Result<(InterfaceDescription, Vec<Ring>), Error> {
    let open = || capture::open(attachment, settings, ring_mib, block_timeout);
    let rings = match (&attachment.tap, &target.rootless) {
        (Tap::HostVeth { .. } | Tap::Host { .. }, _) => privilege.with_net_raw(open)??,
        (_, Some(namespaces)) => {
            namespaces.enter().map_err(|error| cannot_enter(attachment, &error))?;
            open()?
        }
        (_, None) => {
            privilege.on_entering_thread(|| enter_namespace(target, attachment).and_then(|()| open()))??
        }
    };
    let interface = description::describe(target, attachment, settings, rings.link_type());
    let rings = rings.filtered(attachment, settings)?;
    Ok((interface, rings))
}

/// Sees that the link of `attachment` is still the one that was looked up.
///
/// Fails when it is not, or the kernel cannot be asked.
fn verify_link(links: &Links, target: &Target, attachment: &Attachment) -> Result<(), Error> {
    let holder = target.holder.as_ref().map_err(Clone::clone)?;
    if link::is_in(links, &attachment.tap, holder).unwrap_or(false) {
        return Ok(());
    }
    Err(Error::new(
        format!("{} is no longer the interface of {}", attachment.tap.device(), attachment.name()),
        "see that the container runs, then capture again",
    ))
}

/// Whether an interface of the host went away, or the container that it is of has ended.
fn is_gone(target: &Target, attachment: &Attachment) -> bool {
    let Ok(holder) = &target.holder else { return false };
    let is_there = || link::is_unchanged(&attachment.tap, holder).unwrap_or(true);
    !holder.is_alive() || attachment.tap.is_host_interface() && !is_there()
}

/// Takes the calling thread into the network namespace of `target`.
fn enter_namespace(target: &Target, attachment: &Attachment) -> Result<(), Error> {
    let holder = target.holder.as_ref().map_err(Clone::clone)?;
    let entered = holder.namespace().and_then(|namespace| namespace.enter());
    entered.map_err(|error| cannot_enter(attachment, &error))
}

fn cannot_enter(attachment: &Attachment, error: &io::Error) -> Error {
    Error::new(
        format!("cannot enter the network of {}: {error}", attachment.name()),
        "see that the container runs, and capture as root of this host; a rootless one as the user it belongs to",
    )
}
