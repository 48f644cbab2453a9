//! Which attachments of a container are captured.

use log::warn;

use super::Target;
use crate::link::{Attachment, Tap};
use crate::trouble::Trouble;

/// `target` with those attachments whose network, interface or host veth is in `networks`; where
/// that is empty, with those that are captured unless asked otherwise. What is taken inside stays
/// with `may_enter` only, or where the container is the caller's own rootless one.
///
/// Fails when there is no such attachment, or none without entering the container.
pub(super) fn chosen(mut target: Target, networks: &[String], may_enter: bool) -> Result<Target, Trouble> {
    let all = std::mem::take(&mut target.attachments);
    let there: Vec<String> = all.iter().map(in_words).collect();
    let wanted = |attachment: &&Attachment| {
        if networks.is_empty() {
            is_default(attachment, &all)
        } else {
            networks.iter().any(|name| is_called(attachment, name))
        }
    };
    let chosen: Vec<Attachment> = all.iter().filter(wanted).cloned().collect();
    let name = &target.container.name;
    if chosen.is_empty() {
        return Err(Trouble::new(
            format!("container {name} is not connected to {}", networks.join(", ")),
            format!("choose from: {}", there.join(", ")),
        ));
    }
    let may_enter = may_enter || target.rootless.is_some();
    let (kept, left): (Vec<Attachment>, Vec<Attachment>) =
        chosen.into_iter().partition(|attachment| may_enter || !attachment.tap.is_inside());
    if kept.is_empty() {
        let taken: Vec<String> = left.iter().map(in_words).collect();
        return Err(Trouble::new(
            format!("container {name} has no veth on this host for {}", taken.join(", ")),
            if target.container.endpoint.is_of_ordinary_user() {
                "its engine is rootless: capture as the user it belongs to".to_owned()
            } else {
                format!("root can capture inside it: sudo containerdump capture {name}")
            },
        ));
    }
    for attachment in left {
        warn!("{} is not captured: {} needs root", attachment.name(), attachment.tap);
        let network = if attachment.network.is_empty() { attachment.interface } else { attachment.network };
        target.left_out.push(network);
    }
    target.attachments = kept;
    Ok(target)
}

/// Whether an attachment is captured where none is named, given `all` of its container. What passes
/// through an interface that leads to none of the container's networks (a VLAN, a bridge of an
/// engine in the container) mostly passes through another, too; a loopback is captured where
/// there is nothing else.
pub fn is_default(attachment: &Attachment, all: &[Attachment]) -> bool {
    if attachment.tap.is_loopback() {
        return all.len() == 1;
    }
    !attachment.tap.is_inside()
        || !attachment.network.is_empty()
        || all.iter().all(|other| other.tap.is_inside())
}

fn is_called(attachment: &Attachment, name: &str) -> bool {
    let veth = match &attachment.tap {
        Tap::HostVeth { name, .. } => name,
        Tap::Inside { .. } => "",
    };
    [attachment.network.as_str(), attachment.interface.as_str(), veth].contains(&name)
}

fn in_words(attachment: &Attachment) -> String {
    match attachment.network.as_str() {
        "" => attachment.interface.to_string(),
        network => format!("{} ({network})", attachment.interface),
    }
}
