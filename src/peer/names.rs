//! Names of addresses from other hosts. An address of several hosts gets the names of all of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ProtocolError;
use crate::safe_text::SafeText;

/// Most addresses with a name, as many as one host sends.
const MAX_ADDRESSES: usize = 30_000;
/// Bytes of the names of one host: 30,000 of 35 bytes.
const MAX_HOST_NAMES_LEN: usize = 1024 * 1024;
/// Longest name of an address of several hosts, in characters.
const MAX_JOINED_NAME_LEN: usize = 250;

/// Parses a name resolution block; the last name of an address is the valid one.
pub(super) fn parse(block: &[u8]) -> Result<Vec<(IpAddr, SafeText)>, ProtocolError> {
    let (mut names, mut rest) = (Vec::new(), block.get(8..block.len().saturating_sub(4)).unwrap_or_default());
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let kind = u16::from_le_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        if kind == 0 {
            break;
        }
        let (Some(value), Some(next)) = (after.get(..length), after.get(length.next_multiple_of(4)..)) else {
            return Err(ProtocolError::new("a name is longer than its block"));
        };
        rest = next;
        let (address, name) = match (kind, value.split_first_chunk::<4>(), value.split_first_chunk::<16>()) {
            (1, Some((four, name)), _) => (IpAddr::V4(Ipv4Addr::from(*four)), name),
            (2, _, Some((sixteen, name))) => (IpAddr::V6(Ipv6Addr::from(*sixteen)), name),
            _ => continue,
        };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = SafeText::new(&String::from_utf8_lossy(name));
        if !name.is_empty() {
            names.push((address, name));
        }
    }
    Ok(names)
}

/// The names of addresses, by the hosts that have them.
#[derive(Debug, Default)]
pub struct PeerNames {
    names: BTreeMap<IpAddr, Vec<(SafeText, SafeText)>>,
    /// Bytes of the names of each host.
    bytes: BTreeMap<SafeText, usize>,
}

impl PeerNames {
    /// Adds names from `host`, as far as they are within the limits. Returns the addresses whose name changed.
    pub fn add(&mut self, host: &SafeText, names: Vec<(IpAddr, SafeText)>) -> Vec<(IpAddr, SafeText)> {
        let last: BTreeMap<IpAddr, SafeText> = names.into_iter().collect();
        let bytes = self.bytes.entry(host.clone()).or_default();
        let mut changed = Vec::new();
        for (address, name) in last {
            let count = self.names.len();
            let known = self.names.get(&address);
            let of_host =
                |hosts: &'_ Vec<(SafeText, SafeText)>| hosts.iter().position(|(other, _)| other == host);
            let position = known.and_then(of_host);
            let before = position.and_then(|at| known?.get(at)).map(|(_, before)| before);
            let len = *bytes - before.map_or(0, |before| before.as_str().len()) + name.as_str().len();
            let has_room = (known.is_some() || count < MAX_ADDRESSES) && len <= MAX_HOST_NAMES_LEN;
            if before == Some(&name) || !has_room {
                continue;
            }
            *bytes = len;
            let hosts = self.names.entry(address).or_default();
            match position {
                Some(at) => hosts[at].1 = name,
                None => hosts.push((host.clone(), name)),
            }
            let each: Vec<&str> = hosts.iter().map(|(_, name)| name.as_str()).collect();
            changed.push((address, SafeText::with_limit(&each.join(" or "), MAX_JOINED_NAME_LEN)));
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcapng::BlockWriter;

    fn names(all: &[(&str, &str)]) -> Vec<(IpAddr, SafeText)> {
        all.iter()
            .map(|(address, name)| (address.parse().expect("an address"), SafeText::new(name)))
            .collect()
    }

    #[test]
    fn names_are_parsed_as_they_were_written() {
        let names_written = names(&[("172.17.0.2", "www"), ("172.17.0.2", "web"), ("fd00::2", "db")]);
        let mut blocks = BlockWriter::begin_section();
        blocks.take();
        blocks.add_names(&names_written);
        let block = blocks.take();
        assert_eq!(parse(&block), Ok(names_written));
        blocks.add_empty_block();
        assert_eq!(parse(&blocks.take()), Ok(Vec::new()));
        for cut in 0..block.len() {
            // Must not panic.
            let _ = parse(&block[..cut]);
        }
        let mut longer = block.clone();
        longer[10] = 0xff;
        assert!(parse(&longer).is_err());
        let mut odd = block;
        odd[8] = 7;
        assert_eq!(parse(&odd).map(|names| names.len()), Ok(2), "unknown records are skipped");
    }

    #[test]
    fn an_address_of_two_hosts_has_the_names_of_both() {
        let (mut known, [one, two]) = (PeerNames::default(), ["build1", "build2"].map(SafeText::new));
        let web = names(&[("172.17.0.2", "www@build1"), ("172.17.0.2", "web@build1")]);
        assert_eq!(known.add(&one, web.clone()), names(&[("172.17.0.2", "web@build1")]));
        assert_eq!(known.add(&one, web), []);
        let both = known.add(&two, names(&[("172.17.0.2", "db@build2"), ("172.18.0.2", "x@build2")]));
        assert_eq!(both, names(&[("172.17.0.2", "web@build1 or db@build2"), ("172.18.0.2", "x@build2")]));
        let renamed = known.add(&one, names(&[("172.17.0.2", "shop@build1")]));
        assert_eq!(renamed, names(&[("172.17.0.2", "shop@build1 or db@build2")]));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let many = (0..40_000_u32).map(|number| (IpAddr::V4(Ipv4Addr::from(number)), SafeText::new("x")));
        let mut known = PeerNames::default();
        assert_eq!(known.add(&SafeText::new("build1"), many.collect()).len(), MAX_ADDRESSES);
        assert_eq!(known.names.len(), MAX_ADDRESSES);
    }

    #[test]
    fn the_names_of_a_host_are_bounded_in_bytes() {
        let (mut known, [one, two]) = (PeerNames::default(), ["build1", "build2"].map(SafeText::new));
        let long = |letter: &str| {
            let name = SafeText::with_limit(&letter.repeat(200), 200);
            (0..10_000_u32).map(move |number| (IpAddr::V4(Ipv4Addr::from(number)), name.clone())).collect()
        };
        let max_names = MAX_HOST_NAMES_LEN / 200;
        assert_eq!(known.add(&one, long("x")).len(), max_names);
        assert_eq!(known.add(&one, long("y")).len(), max_names, "names of known addresses are replaced");
        assert_eq!(known.add(&two, long("x")).len(), max_names, "another host has a limit of its own");
        assert_eq!(known.names.len(), max_names);
    }
}
