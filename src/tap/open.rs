//! Opening rings where the packets of an attachment are taken.

use std::io;
use std::time::Duration;

use log::debug;

use super::Target;
use crate::capture::{self, Opened, Ring, Settings};
use crate::link::{self, Attachment, Namespace, Tap};
use crate::pcapng::Interface;
use crate::privilege::Privilege;
use crate::text::Label;
use crate::trouble::Trouble;

/// Opens the rings of everything in `targets`. Needs `CAP_NET_RAW`, and inside a container what
/// entering it takes; both are raised and lowered.
///
/// Fails when one is missing, a link went away or was given to another, or the filter is refused.
pub fn open(
    targets: &[Target],
    settings: &Settings,
    block_timeout: Duration,
    privilege: &Privilege,
) -> Result<Vec<(Interface, Vec<Ring>)>, Trouble> {
    let count = targets.iter().map(|target| target.attachments.len()).sum::<usize>().max(1);
    let each = (capture::ALL_RINGS_MIB / u32::try_from(count).unwrap_or(u32::MAX)).max(2);
    let ring_mib = settings.ring_mib.unwrap_or(each);
    debug!("rings of {ring_mib} MiB for each of {count} attachments, block timeout {block_timeout:?}");
    let open_one = |target: &Target, attachment: &Attachment| {
        let open = || capture::open(attachment, settings, ring_mib, block_timeout);
        let rings = match (&attachment.tap, &target.rootless) {
            (Tap::HostVeth { .. }, _) => privilege.raised(open)??,
            (_, Some(namespaces)) => {
                namespaces.enter().map_err(|error| cannot_enter(attachment, &error))?;
                open()?
            }
            (_, None) => privilege.apart(|| inside(target, attachment).and_then(|()| open()))??,
        };
        let interface = describe(target, attachment, settings, &rings);
        let rings = rings.filtered(attachment, settings)?;
        // The name may have gone to another link between the look-up and the opening.
        let process = target.process.as_ref().map_err(Clone::clone)?;
        if !link::is_still(&attachment.tap, process).unwrap_or(false) {
            return Err(Trouble::new(
                format!("{} is no longer the interface of {}", attachment.tap.device(), attachment.name()),
                "see that the container runs, then capture again",
            ));
        }
        Ok((interface, rings))
    };
    let all = targets.iter().flat_map(|target| target.attachments.iter().map(move |one| (target, one)));
    let mut in_order: Vec<_> = all.enumerate().collect();
    // There is no way back from a rootless container, so these come last.
    let goes_there = |target: &Target, one: &Attachment| one.tap.is_inside() && target.rootless.is_some();
    in_order.sort_by_key(|(_, (target, attachment))| goes_there(target, attachment));
    let mut opened = Vec::new();
    for (number, (target, attachment)) in &in_order {
        opened.push((*number, open_one(target, attachment)?));
    }
    if in_order.iter().any(|(_, (target, attachment))| goes_there(target, attachment)) {
        // Whoever enters a user namespace has every right in it.
        privilege.drop_what_was_gained()?;
    }
    opened.sort_by_key(|(number, _)| *number);
    let mut opened: Vec<_> = opened.into_iter().map(|(_, one)| one).collect();
    let begin = capture::now();
    opened.iter_mut().flat_map(|(_, rings)| rings).for_each(|ring| ring.begin(begin));
    Ok(opened)
}

/// Takes the calling thread into the network namespace of `target`.
fn inside(target: &Target, attachment: &Attachment) -> Result<(), Trouble> {
    let process = target.process.as_ref().map_err(Clone::clone)?;
    let entered = Namespace::of(process).and_then(|namespace| namespace.enter());
    entered.map_err(|error| cannot_enter(attachment, &error))
}

fn cannot_enter(attachment: &Attachment, error: &io::Error) -> Trouble {
    Trouble::new(
        format!("cannot enter the network of {}: {error}", attachment.name()),
        "see that the container runs, and capture as root of this host; a rootless one as the user it belongs to",
    )
}

fn describe(target: &Target, attachment: &Attachment, settings: &Settings, rings: &Opened) -> Interface {
    let container = &target.container;
    let network = match attachment.network.as_str() {
        "" => String::new(),
        network => format!(", network {network}"),
    };
    let shared = match target.shared_with.iter().map(Label::as_str).collect::<Vec<_>>().as_slice() {
        [] => String::new(),
        names => format!("; shared with {}", names.join(", ")),
    };
    let missed = match target.left_out.as_slice() {
        [] => String::new(),
        left_out => {
            let networks: Vec<&str> = left_out.iter().map(|left_out| left_out.network.as_str()).collect();
            format!("; not captured: {}", networks.join(", "))
        }
    };
    Interface {
        name: attachment.name(),
        description: Label::with_limit(
            &format!(
                "{} container {} ({}){network}, {}{missed}{shared}",
                container.engine.word(),
                container.name,
                container.image,
                attachment.tap
            ),
            250,
        ),
        hardware_address: None,
        filter: settings.filter.clone(),
        snap_length: settings.snap_length,
        link_type: rings.link_type(),
    }
}
