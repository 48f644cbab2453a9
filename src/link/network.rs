//! Matches interfaces of a container to its networks.

use std::net::IpAddr;

use crate::container::Network;

/// The network of a bridge: by default, Docker names bridges after network IDs.
pub(super) fn network_on_bridge<'a>(networks: &'a [Network], bridge: Option<&str>) -> Option<&'a Network> {
    let bridge = bridge?;
    match bridge.strip_prefix("br-") {
        Some(id) if id.len() == 12 => networks.iter().find(|network| network.id.starts_with(id)),
        _ if bridge == "docker0" => networks.iter().find(|network| network.name.as_str() == "bridge"),
        _ => None,
    }
}

/// The network with an address in a subnet that the interface `inside` is connected to.
pub(super) fn network_of_interface<'a>(
    networks: &'a [Network],
    inside: &str,
    connected: &[(String, IpAddr, u8)],
) -> Option<&'a Network> {
    networks.iter().find(|network| {
        network.addresses.iter().any(|address| {
            let mut of_interface = connected.iter().filter(|(name, ..)| name == inside);
            of_interface.any(|(_, base, prefix)| same_network(*address, *base, *prefix))
        })
    })
}

/// Whether two addresses agree in their first `prefix` bits.
fn same_network(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let shift = |bits: u32| bits.saturating_sub(u32::from(prefix));
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(shift(u32::BITS)).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(shift(u128::BITS)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_by_their_prefix() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(same_network(parse("172.18.3.4"), parse("172.18.0.0"), 16));
        assert!(!same_network(parse("172.19.3.4"), parse("172.18.0.0"), 16));
        assert!(same_network(parse("fd00::5"), parse("fd00::1"), 64));
        assert!(!same_network(parse("fd01::5"), parse("fd00::1"), 64));
        assert!(same_network(parse("10.0.0.1"), parse("192.168.0.1"), 0));
        assert!(!same_network(parse("10.0.0.1"), parse("fd00::1"), 0));
    }
}
