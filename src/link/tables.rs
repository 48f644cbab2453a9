//! Interfaces of a network namespace, read from world-readable tables below `/proc/PID/net`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::LinkIndex;
use crate::proc_file;

/// The interfaces of a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InterfaceTables {
    /// Names by index in that namespace.
    pub(super) names: BTreeMap<LinkIndex, String>,
    /// IPv4 subnets and IPv6 addresses: interface, address, prefix length in bits.
    pub(super) networks: Vec<(String, IpAddr, u8)>,
}

impl InterfaceTables {
    /// Reads the tables in `folder`, such as `/proc/PID/net`; empty where the process has exited.
    pub(super) fn read(folder: &str) -> Self {
        let read = |table: &str| {
            let bytes = proc_file::read(&format!("{folder}/{table}"), u64::MAX);
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
        };
        // Every Ethernet interface that is up is in some multicast group.
        let mut names = indexed_names(&read("dev_mcast"));
        names.extend(indexed_names(&read("igmp")));
        let mut networks = ipv4_routes(&read("route"));
        networks.extend(ipv6_addresses(&read("if_inet6")));
        Self { names, networks }
    }
}

/// Lines that begin with an index and a name: `7 eth0 …`.
fn indexed_names(table: &str) -> BTreeMap<LinkIndex, String> {
    table
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let index = fields.next()?.parse().ok()?;
            // A long name has no space before the colon that follows it (net/ipv4/igmp.c); none has a colon.
            Some((LinkIndex(index), fields.next()?.trim_end_matches(':').to_owned()))
        })
        .collect()
}

/// `/proc/net/route`: directly connected networks; addresses are 32-bit words as the machine
/// stores them, printed in hexadecimal (net/ipv4/fib_trie.c, `fib_route_seq_show`).
fn ipv4_routes(table: &str) -> Vec<(String, IpAddr, u8)> {
    let word = |text: &str| Some(Ipv4Addr::from(u32::from_str_radix(text, 16).ok()?.to_ne_bytes()));
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (network, gateway, mask) =
                (word(fields.get(1)?)?, word(fields.get(2)?)?, word(fields.get(7)?)?);
            let connected = gateway.is_unspecified() && !mask.is_unspecified();
            let prefix = u8::try_from(mask.to_bits().leading_ones()).ok()?;
            connected.then(|| (fields[0].to_owned(), IpAddr::V4(network), prefix))
        })
        .collect()
}

/// `/proc/net/if_inet6`: address in 32 hexadecimal digits, index, prefix length, scope, flags
/// (all hexadecimal), name (net/ipv6/addrconf.c, `if6_seq_show`).
fn ipv6_addresses(table: &str) -> Vec<(String, IpAddr, u8)> {
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let address = Ipv6Addr::from(u128::from_str_radix(fields.first()?, 16).ok()?);
            let prefix = u8::from_str_radix(fields.get(2)?, 16).ok()?;
            Some(((*fields.get(5)?).to_owned(), IpAddr::V6(address), prefix))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_and_names_are_read_from_both_tables() {
        let multicast =
            "7    eth0            1     0     333300000001\n9    eth1            1     0     01005e000001\n";
        let groups = "Idx\tDevice    : Count Querier\n1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:0\n\
             8\tbr-c4f9c30a720c:     1      V3\n";
        assert_eq!(indexed_names(multicast)[&LinkIndex(9)], "eth1");
        let expected = [(LinkIndex(1), "lo".to_owned()), (LinkIndex(8), "br-c4f9c30a720c".to_owned())];
        assert_eq!(indexed_names(groups), BTreeMap::from(expected));
    }

    #[test]
    fn connected_networks_are_read_and_default_routes_are_not() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n\
                     eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n";
        let expected = ("eth0".to_owned(), IpAddr::from([172, 17, 0, 0]), 16);
        #[cfg(target_endian = "little")]
        assert_eq!(ipv4_routes(table), vec![expected]);
    }

    #[test]
    fn ipv6_addresses_are_read() {
        let table = "fd000000000000000000000000000002 07 40 00 80     eth0\n";
        let expected = ("eth0".to_owned(), "fd00::2".parse().expect("an address"), 64);
        assert_eq!(ipv6_addresses(table), vec![expected]);
    }
}
