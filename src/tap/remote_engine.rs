//! Attachments of containers whose engine runs on another host or in a virtual machine.

use crate::capture::CaptureSettings;
use crate::container::Container;
use crate::container::endpoint::Endpoint;
use crate::link::{Attachment, Tap};
use crate::safe_text::SafeText;

/// One attachment for each network that gave the container a MAC address, by which the tap container finds the
/// interface; a single one for all interfaces if none did.
pub(super) fn attachments(container: &Container) -> Vec<Attachment> {
    let attachment = |network: SafeText| Attachment {
        container: container.name.clone(),
        interface: SafeText::default(),
        network,
        inside: None,
        tap: Tap::ThroughEngine { name: None, why: SafeText::new("its engine runs on another host") },
    };
    let connected = container.networks.iter().filter(|network| !network.mac.is_empty());
    let attachments: Vec<_> = connected.map(|network| attachment(network.name.clone())).collect();
    if attachments.is_empty() { vec![attachment(SafeText::default())] } else { attachments }
}

/// The traffic to exclude in the network of the container's host, where the engine is reached by ssh.
pub(super) fn remote_exclusion<'a>(container: &Container, settings: &'a CaptureSettings) -> Option<&'a str> {
    let applies = container.uses_host_network() && matches!(container.endpoint, Endpoint::Ssh { .. });
    settings.remote_exclusion.as_deref().filter(|_| applies)
}
