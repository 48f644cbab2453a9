//! Containers whose engine runs elsewhere, in a virtual machine or on another host: their attachments, and what is
//! not to be captured there.

use crate::capture::CaptureSettings;
use crate::container::Container;
use crate::container::endpoint::Endpoint;
use crate::link::{Attachment, Tap};
use crate::safe_text::SafeText;

/// What the engine tells: one attachment for each network that gave the container a hardware address,
/// by which its interface will be known there; a single one for all that it has where none did.
pub(super) fn attachments(container: &Container) -> Vec<Attachment> {
    let attachment = |network: SafeText| Attachment {
        container: container.name.clone(),
        interface: SafeText::default(),
        network,
        inside: None,
        tap: Tap::ThroughEngine { name: None, why: SafeText::new("its engine runs elsewhere") },
    };
    let connected = container.networks.iter().filter(|network| !network.mac.is_empty());
    let attachments: Vec<_> = connected.map(|network| attachment(network.name.clone())).collect();
    if attachments.is_empty() { vec![attachment(SafeText::default())] } else { attachments }
}

/// What is not to be captured in the network of the host that `container` runs on, where `ssh` leads there.
pub(super) fn without_there<'a>(container: &Container, settings: &'a CaptureSettings) -> Option<&'a str> {
    let is_there = container.uses_host_network() && matches!(container.endpoint, Endpoint::Ssh { .. });
    settings.remote_exclusion.as_deref().filter(|_| is_there)
}
