//! A container's first process, held on to, and what the kernel tells everyone about the
//! network namespace it is in.
//!
//! `/proc/PID/net` needs no right to look into the process (fs/proc/proc_net.c,
//! `get_proc_task_net`), unlike `/proc/PID/ns/net`.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::LinkIndex;
use crate::container::Container;
use crate::trouble::Trouble;

/// A process that is the one we mean, for as long as it lives: its pid cannot be given to
/// another without [`Process::is_alive`] telling.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    handle: OwnedFd,
}

impl Process {
    /// Holds process `pid`, which must belong to `container` by its control group or, since rootless
    /// engines may run without control groups, by the monitor that started it.
    ///
    /// Fails when it is gone, or is another process: an engine that runs elsewhere (in a virtual
    /// machine, on another host) counts pids of its own.
    pub fn of_container(container: &Container, pid: i32) -> Result<Self, Trouble> {
        let gone = || gone(container);
        let raw = Pid::from_raw(pid).ok_or_else(gone)?;
        let handle = pidfd_open(raw, PidfdFlags::empty()).map_err(|errno| match errno {
            Errno::SRCH => gone(),
            other => Trouble::new(
                format!("cannot hold on to process {pid} of container {}: {other}", container.name),
                "see that there are file descriptors left (ulimit -n) and the kernel is Linux 5.4 or later",
            ),
        })?;
        let process = Self { pid, handle };
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|_| gone())?;
        let is_of_container = groups.contains(container.id.as_str()) || is_monitored(pid, container);
        if !process.is_alive() {
            return Err(gone());
        }
        if !is_of_container {
            return Err(Trouble::new(
                format!("process {pid} on this host is not container {}", container.name),
                "the engine runs elsewhere (in a virtual machine or on another host): capture there",
            ));
        }
        Ok(process)
    }

    /// Whether the process still runs, so that its pid still means it.
    pub fn is_alive(&self) -> bool {
        let mut handle = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        // linux/pidfd: readable when the process has ended.
        matches!(poll(&mut handle, PollTimeout::ZERO), Ok(0))
    }

    /// What tells its network namespace from any other, for as long as it lives: each has a
    /// `/proc/PID/net` of its own (fs/proc/proc_net.c), whose inodes everyone may see, unlike that
    /// of `/proc/PID/ns/net`. `None` once the process is gone.
    pub fn network_identity(&self) -> Option<u64> {
        identity(&self.pid.to_string())
    }

    /// Whether its network namespace is the one this program runs in.
    pub(super) fn shares_our_network(&self) -> bool {
        self.network_identity().is_some_and(|its| identity("self") == Some(its))
    }

    /// Its pid.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Names of the namespace's interfaces by their index there.
    pub(super) fn interface_names(&self) -> BTreeMap<LinkIndex, String> {
        // Every Ethernet interface that is up listens to some group.
        let mut names = indexed_names(&self.read("dev_mcast"));
        names.extend(indexed_names(&self.read("igmp")));
        names
    }

    /// IPv4 networks and IPv6 addresses that interfaces of the namespace have:
    /// name, network address, prefix length in bits.
    pub(super) fn interface_networks(&self) -> Vec<(String, IpAddr, u8)> {
        let mut networks = ipv4_routes(&self.read("route"));
        networks.extend(ipv6_addresses(&self.read("if_inet6")));
        networks
    }

    fn read(&self, table: &str) -> String {
        fs::read_to_string(format!("/proc/{}/net/{table}", self.pid)).unwrap_or_default()
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

fn identity(process: &str) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{process}/net/dev")).ok()?.ino())
}

/// Programs that watch over the first process of each container, and the flag that says which it is:
/// Podman's and containerd's.
const MONITORS: [(&[u8], &[u8]); 2] = [(b"conmon", b"-c"), (b"containerd-shim-runc-v2", b"-id")];

/// Whether the parent of process `pid` is `conmon … -c ID …` or `containerd-shim-runc-v2 … -id ID …`.
fn is_monitored(pid: i32, container: &Container) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default().trim();
    let command = fs::read(format!("/proc/{parent}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = command.split(|&byte| byte == 0).collect();
    MONITORS.iter().any(|(program, flag)| {
        words.first().is_some_and(|first| first.ends_with(program))
            && words.windows(2).any(|pair| pair == [*flag, container.id.as_str().as_bytes()])
    })
}

/// The container ended between two looks at it.
pub(super) fn gone(container: &Container) -> Trouble {
    Trouble::new(
        format!("container {} went away while it was looked up", container.name),
        "start it, then capture again",
    )
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
