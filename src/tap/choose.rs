//! Chooses the attachments of a container to capture, and a tap for each.

use log::{info, warn};

use super::candidates::{self, TapCandidate, TapRights};
use super::{TapKind, Target, UncapturedNetwork};
use crate::error::Error;
use crate::link::{Attachment, Tap};
use crate::safe_text::SafeText;

/// `target` with those attachments whose network, interface or host veth is in `networks`; where
/// that is empty, with those that are captured unless asked otherwise. Each with the best tap that
/// `means` allow, or the one of kind `forced`.
///
/// Fails when there is no such attachment, or no tap for any of them.
pub(super) fn choose_taps(
    mut target: Target,
    networks: &[String],
    means: &TapRights,
    forced: Option<TapKind>,
) -> Result<Target, Error> {
    let all = std::mem::take(&mut target.attachments);
    let there: Vec<String> = all.iter().map(describe).collect();
    let wanted = |attachment: &&Attachment| {
        if networks.is_empty() {
            is_default(attachment, &all)
        } else {
            networks.iter().any(|name| matches_name(attachment, name))
        }
    };
    let wanted: Vec<&Attachment> = all.iter().filter(wanted).collect();
    let name = &target.container.name;
    if wanted.is_empty() {
        return Err(Error::new(
            format!("container {name} is not connected to {}", networks.join(", ")),
            format!("choose from: {}", there.join(", ")),
        ));
    }
    if networks.is_empty() {
        let is_unnamed = |one: &&Attachment| {
            !one.tap.is_host_interface() && !one.tap.is_loopback() && !wanted.iter().any(|other| other == one)
        };
        target.unnamed = all.iter().filter(is_unnamed).map(|one| one.interface.clone()).collect();
    }
    let mut errors = Vec::new();
    for attachment in wanted {
        let candidates = candidates::tap_candidates(&target, attachment, means);
        let fits =
            |candidate: &&TapCandidate| forced.is_none_or(|kind| TapKind::from_tap(&candidate.tap) == kind);
        let fitting: Vec<&TapCandidate> = candidates.iter().filter(fits).collect();
        if let Some(candidate) = fitting.iter().find(|candidate| candidate.unavailable.is_none()) {
            info!("{} is taken at {}", attachment.name(), candidate.tap);
            target.attachments.push(Attachment { tap: candidate.tap.clone(), ..attachment.clone() });
            continue;
        }
        let error = no_tap_available(&target, attachment, &fitting, forced);
        warn!("{error}");
        let network = if attachment.network.is_empty() { &attachment.interface } else { &attachment.network };
        target.left_out.push(UncapturedNetwork { network: network.clone(), why: reasons(&fitting) });
        errors.push(error);
    }
    match errors.into_iter().next() {
        Some(error) if target.attachments.is_empty() => Err(error),
        _ => Ok(target),
    }
}

/// Whether any attachment of `target` is in `networks`, where these say which.
pub(super) fn is_connected(target: &Target, networks: &[String]) -> bool {
    let is_wanted = |attachment: &Attachment| networks.iter().any(|name| matches_name(attachment, name));
    networks.is_empty() || target.attachments.iter().any(is_wanted)
}

/// Whether an attachment is captured where none is named, given `all` of its container. What passes
/// through an interface that leads to none of the container's networks (a VLAN, a bridge of an
/// engine in the container) mostly passes through another, too; a loopback is captured where
/// there is nothing else. Of the host's interfaces, those are that the host itself sends through.
pub fn is_default(attachment: &Attachment, all: &[Attachment]) -> bool {
    if attachment.tap.is_host_interface() {
        let nothing_else = || all.iter().all(|other| other.network.is_empty());
        return !attachment.network.is_empty() || attachment.tap.is_loopback() && nothing_else();
    }
    if attachment.tap.is_loopback() {
        return all.len() == 1;
    }
    !attachment.tap.is_inside()
        || !attachment.network.is_empty()
        || all.iter().all(|other| other.tap.is_inside())
}

fn no_tap_available(
    target: &Target,
    attachment: &Attachment,
    fitting: &[&TapCandidate],
    forced: Option<TapKind>,
) -> Error {
    let name = attachment.name();
    let unavailable = || fitting.iter().filter_map(|candidate| candidate.unavailable.as_ref());
    let mut remedies: Vec<&str> = unavailable().map(|one| one.remedy.as_str()).collect();
    // Why the taps of this host are not among them.
    let not_here = target.holder.as_ref().err();
    let prefix = not_here.map(|error| format!("{}; ", error.message())).unwrap_or_default();
    remedies.extend(not_here.map(|error| error.remedy().as_str()));
    match forced {
        Some(kind) if fitting.is_empty() => Error::new(
            format!("cannot capture {name} with --tap {}: this tap does not exist for it", kind.as_str()),
            "leave --tap out, or see which taps there are: containerdump list -v",
        )
        .with_wireshark_text(
            format!("cannot capture {name} {}: this tap does not exist for it", dialog_name(kind)),
            CHOOSE_AUTOMATIC_REMEDY,
        ),
        Some(kind) => Error::new(
            format!("cannot capture {name} with --tap {}: {prefix}{}", kind.as_str(), reasons(fitting)),
            format!("{}; or leave --tap out", remedies.join("; or ")),
        )
        .with_wireshark_text(
            format!("cannot capture {name} {}: {prefix}{}", dialog_name(kind), reasons(fitting)),
            format!("{}; or {CHOOSE_AUTOMATIC_REMEDY}", remedies.join("; or ")),
        ),
        None => Error::new(
            format!("cannot capture {name}: {prefix}{}", reasons(fitting)),
            format!("one of these is enough: {}", remedies.join("; or ")),
        ),
    }
}

const CHOOSE_AUTOMATIC_REMEDY: &str =
    "choose Automatic under Where to capture in the options of the interface";

/// The kind of tap as Wireshark's dialog shows it.
const fn dialog_name(kind: TapKind) -> &'static str {
    match kind {
        TapKind::Host => "at the host veth",
        TapKind::Inside => "inside the container",
        TapKind::Engine => "through the engine",
    }
}

/// `host: no permission to capture; inside: only root may enter it`
fn reasons(candidates: &[&TapCandidate]) -> SafeText {
    let reason = |candidate: &&TapCandidate| {
        Some(format!(
            "{}: {}",
            TapKind::from_tap(&candidate.tap).as_str(),
            candidate.unavailable.as_ref()?.reason
        ))
    };
    SafeText::with_limit(&candidates.iter().filter_map(reason).collect::<Vec<_>>().join("; "), 300)
}

fn matches_name(attachment: &Attachment, name: &str) -> bool {
    let veth = match &attachment.tap {
        Tap::HostVeth { name, .. } => name,
        Tap::Inside { .. } | Tap::Host { .. } | Tap::ThroughEngine { .. } => "",
    };
    [attachment.network.as_str(), attachment.interface.as_str(), veth].contains(&name)
}

fn describe(attachment: &Attachment) -> String {
    match (attachment.interface.as_str(), attachment.network.as_str()) {
        (interface, "") => interface.to_owned(),
        ("", network) => network.to_owned(),
        (interface, network) => format!("{interface} ({network})"),
    }
}
