//! The values of the option Network.

use std::collections::BTreeMap;

use containerdump::container::Container;
use containerdump::safe_text::SafeText;
use containerdump::tap::Target;

use crate::wireshark::line::ExtcapLine;
pub(super) use crate::wireshark::options::ALL_NETWORKS;

/// The number of the option in a dialog.
pub(super) const OPTION_NUMBER: usize = 0;
/// Networks listed.
const MAX_NETWORKS: usize = 200;

/// The attachments of a container.
pub(super) fn of_container(target: &Target) -> Vec<ExtcapLine> {
    let attachments = target.attachments.iter().filter_map(|attachment| {
        match (attachment.interface.as_str(), attachment.network.as_str()) {
            (interface, _) if attachment.tap.is_host_interface() => {
                Some(value(0, interface, &format!("{interface} · host network")))
            }
            ("", "") => None,
            (name, "") | ("", name) => Some(value(0, name, name)),
            (interface, network) => Some(value(0, interface, &format!("{interface} · {network}"))),
        }
    });
    std::iter::once(all_networks(0)).chain(attachments).collect()
}

/// The networks of several containers as their engines list them, each with the number of containers, for a dialog whose
/// first option has the number `first`.
pub(super) fn of_containers<'a>(
    first: usize,
    containers: impl Iterator<Item = &'a Container>,
) -> Vec<ExtcapLine> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in containers.flat_map(|container| &container.networks).map(|network| network.name.as_str()) {
        // A group does not capture containers in the host's network.
        if !name.is_empty() && name != "host" {
            *counts.entry(name).or_default() += 1;
        }
    }
    let networks = counts.into_iter().take(MAX_NETWORKS).map(|(name, count)| {
        let plural = if count == 1 { "" } else { "s" };
        value(first, name, &format!("{name} · {count} container{plural}"))
    });
    std::iter::once(all_networks(first)).chain(networks).collect()
}

fn all_networks(first: usize) -> ExtcapLine {
    value(first, ALL_NETWORKS, "All networks").with("default", true)
}

fn value(first: usize, value: &str, display: &str) -> ExtcapLine {
    ExtcapLine::new("value")
        .with("arg", first + OPTION_NUMBER)
        .with("value", value)
        .with("display", SafeText::new(display))
}
