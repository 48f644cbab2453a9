//! IP addresses in a network namespace.

use std::fs;
use std::net::{IpAddr, Ipv6Addr};

/// Addresses in the network namespace of process `pid`, without loopback and link-local ones.
pub fn addresses_of_process(pid: i32) -> Vec<IpAddr> {
    addresses(&format!("/proc/{pid}/net"))
}

/// Addresses in this network namespace, without loopback and link-local ones.
pub fn own_addresses() -> Vec<IpAddr> {
    addresses("/proc/thread-self/net")
}

/// Addresses from the tables in `folder`.
pub(super) fn addresses(folder: &str) -> Vec<IpAddr> {
    let read = |table: &str| fs::read_to_string(format!("{folder}/{table}")).unwrap_or_default();
    let mut addresses = ipv4(&read("fib_trie"));
    addresses.extend(ipv6(&read("if_inet6")));
    addresses
}

/// Local addresses in `/proc/net/fib_trie`, each in the line before its type:
/// `|-- 10.0.0.2`, `/32 host LOCAL` (net/ipv4/fib_trie.c, `fib_trie_seq_show`).
fn ipv4(table: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !address.is_loopback()
            && !found.contains(&address)
        {
            // Each is in the local and the main table, or in one for both.
            found.push(address);
        }
    }
    found
}

/// Addresses in `/proc/net/if_inet6`: 32 hexadecimal digits begin each line (net/ipv6/addrconf.c,
/// `if6_seq_show`).
fn ipv6(table: &str) -> Vec<IpAddr> {
    let addresses = table.lines().filter_map(|line| line.split_whitespace().next());
    let addresses = addresses.filter_map(|digits| u128::from_str_radix(digits, 16).ok()).map(Ipv6Addr::from);
    addresses
        .filter(|address| !address.is_loopback() && !address.is_unicast_link_local())
        .map(IpAddr::V6)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_read_once_and_networks_are_not() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.9.0.0\n        /24 link UNICAST\n     |-- 10.9.0.2\n        /32 host LOCAL\n\
                     |-- 127.0.0.1\n /32 host LOCAL\nLocal:\n     |-- 10.9.0.2\n        /32 host LOCAL\n";
        assert_eq!(ipv4(table), [IpAddr::from([10, 9, 0, 2])]);
    }

    #[test]
    fn loopback_and_link_local_addresses_are_nobodys() {
        let table = "00000000000000000000000000000001 01 80 10 80       lo\n\
                     fe800000000000000042acfffe110002 07 40 20 80     eth0\n\
                     fd000000000000000000000000000002 07 40 00 80     eth0\n";
        assert_eq!(ipv6(table), ["fd00::2".parse::<IpAddr>().expect("an address")]);
    }
}
