//! Attachments of a container whose engine runs elsewhere: in a virtual machine, on another host.

use crate::container::Container;
use crate::link::{Attachment, Tap};
use crate::text::Label;

/// What the engine tells: one attachment for each network that gave the container a hardware address,
/// by which its interface will be known there; a single one for all that it has where none did.
pub(super) fn attachments(container: &Container) -> Vec<Attachment> {
    let attachment = |network: Label| Attachment {
        container: container.name.clone(),
        interface: Label::default(),
        network,
        inside: None,
        tap: Tap::ThroughEngine { name: None, why: Label::new("its engine runs elsewhere") },
    };
    let connected = container.networks.iter().filter(|network| !network.mac.is_empty());
    let attachments: Vec<_> = connected.map(|network| attachment(network.name.clone())).collect();
    if attachments.is_empty() { vec![attachment(Label::default())] } else { attachments }
}
