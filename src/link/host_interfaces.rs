//! The interfaces of the host, for containers in the host network.

use std::io;
use std::net::IpAddr;

use super::netlink::{self, Link};
use super::{Attachment, LOOPBACK, LinkIndex, Tap};
use crate::container::Container;
use crate::safe_text::SafeText;

/// The interfaces of this network namespace that are up, by index, loopback last. `networks` are the subnets they are
/// connected to. Host veths on a bridge are left out: their packets are those of one container.
///
/// Fails when the kernel cannot be queried.
pub(super) fn attachments(
    container: &Container,
    links: &[Link],
    networks: &[(String, IpAddr, u8)],
) -> io::Result<Vec<Attachment>> {
    let addresses = netlink::addresses()?;
    let feeds_a_bridge = |link: &Link| link.peer_namespace.is_some() && link.controller.is_some();
    let mut links: Vec<&Link> = links.iter().filter(|link| link.is_up && !feeds_a_bridge(link)).collect();
    links.sort_by_key(|link| (link.name == LOOPBACK, link.index));
    let attachment = |link: &Link| Attachment {
        container: container.name.clone(),
        interface: SafeText::new(&link.name),
        network: if link.name != LOOPBACK && is_used(link, &addresses, networks) {
            SafeText::new("host")
        } else {
            SafeText::default()
        },
        inside: Some(link.name.clone()),
        tap: Tap::Host { name: link.name.clone(), index: link.index },
    };
    Ok(links.into_iter().map(attachment).collect())
}

/// Whether the host itself uses `link`: it has an address. A link-local address or a route alone does not count for
/// ports of a bridge or bond and for veths, whose packets are captured elsewhere.
fn is_used(link: &Link, addresses: &[(LinkIndex, IpAddr)], networks: &[(String, IpAddr, u8)]) -> bool {
    let mut its = addresses.iter().filter(|(index, _)| *index == link.index);
    let gave_itself = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let is_given = its.clone().any(|(_, address)| !gave_itself(address));
    let is_apart = link.controller.is_none() && link.peer_namespace.is_none();
    is_given || is_apart && (its.next().is_some() || networks.iter().any(|(name, ..)| *name == link.name))
}

#[cfg(test)]
mod tests {
    use super::super::NamespaceId;
    use super::*;

    fn link(controller: Option<u32>, peer_namespace: Option<i32>) -> Link {
        Link {
            index: LinkIndex(7),
            name: "x0".to_owned(),
            address: Vec::new(),
            is_ethernet: true,
            is_up: true,
            is_veth: peer_namespace.is_some(),
            controller: controller.map(LinkIndex),
            peer: None,
            peer_namespace: peer_namespace.map(NamespaceId),
        }
    }

    fn is_used_with(link: &Link, address: &str) -> bool {
        let addresses = [(LinkIndex(7), address.parse().expect("an address"))];
        is_used(link, &addresses, &[])
    }

    #[test]
    fn an_interface_with_an_address_is_used_wherever_it_leads() {
        for address in ["198.18.0.2", "169.254.7.7", "fd00::7"] {
            for link in [link(None, None), link(Some(3), None), link(None, Some(0))] {
                assert!(is_used_with(&link, address), "{address} {link:?}");
            }
        }
    }

    #[test]
    fn an_address_that_every_interface_has_counts_where_nothing_else_shows_the_packets() {
        assert!(is_used_with(&link(None, None), "fe80::7"));
        assert!(!is_used_with(&link(Some(3), None), "fe80::7"));
        assert!(!is_used_with(&link(None, Some(0)), "fe80::7"));
    }

    #[test]
    fn a_route_will_do_where_there_is_no_address() {
        let networks = [("x0".to_owned(), IpAddr::from([192, 0, 2, 0]), 24)];
        assert!(is_used(&link(None, None), &[], &networks));
        assert!(!is_used(&link(None, Some(0)), &[], &networks));
        assert!(!is_used(&link(None, None), &[], &[]));
    }
}
