//! All kinds of frames, in both directions at once, byte for byte as tcpdump captures them.

use std::process::Command;

use crate::support::fifo_capture::{FifoCapture, Pace, statistics_in};
use crate::support::frames::{ALL_SERIES, Series, assert_frames};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, output, signal, start};
use crate::support::namespaces::{Namespace, Process, ip};
use crate::support::packet_bytes::{
    Packet, assert_in_order_of_time, assert_same_packets, packets_in, packets_in_pcap,
};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    frames_of_all_sizes_and_tags_match_tcpdump,
    frames_cut_to_a_snap_length_match_tcpdump,
    offload_frames_match_tcpdump,
    offload_frames_beyond_64_kib_match_tcpdump,
    frames_tagged_by_a_vlan_device_match_tcpdump,
];

const WHOLE: usize = 262_144;
/// The container's and the host's.
const SERIES: [Series; 2] = [Series::tagged(1), Series::tagged(2)];
/// Of each sender, and per second.
const COUNT: u64 = 20_000;
const RATE: u64 = 20_000;

/// A capture and its witness.
struct Compared {
    ours: Vec<u8>,
    witness: Vec<u8>,
}

impl Compared {
    fn ours(&self) -> Vec<Packet<'_>> {
        packets_in(&self.ours)
    }
}

/// Captures traffic beside tcpdump. Asserts that no packet is missing, and that all are the same.
fn compare(
    lab: &Lab,
    namespace: &Namespace,
    filter: &str,
    snap_length: usize,
    traffic: impl FnOnce(),
) -> Compared {
    let snap = snap_length.to_string();
    let witness = Tcpdump::at_full_rate(veth(namespace), filter, &snap);
    // Room for all packets, however busy the machine is.
    let options = ["--extcap-capture-filter", filter, "--snap-length", &snap, "--buffer-size", "128"];
    let mut capture = FifoCapture::begin(lab, &namespace.interface(), &options);
    let reading = capture.read(Pace::Fast);
    traffic();
    let witness = witness.stop_complete();
    signal(&capture.child, "TERM");
    let ours = reading.join().expect("a reader");
    assert!(capture.end().status.success());
    let compared = Compared { ours, witness };
    let (packets, statistics) = (compared.ours(), statistics_in(&compared.ours)[0]);
    assert_eq!((statistics.lost, statistics.written), (0, packets.len() as u64), "{statistics:?}");
    assert_in_order_of_time(&packets);
    assert_same_packets(&packets, &packets_in_pcap(&compared.witness));
    compared
}

fn veth(namespace: &Namespace) -> &str {
    namespace.veth.as_deref().expect("its veth")
}

/// Sends in both directions at once. Returns the number of frames of each.
fn send_both(namespace: &Namespace, series: [Series; 2]) -> [u64; 2] {
    let [inside, outside] = series;
    let inside = inside.start(|command| namespace.enter(command), "inner0", COUNT, RATE);
    let outside = outside.start(on_the_host, veth(namespace), COUNT, RATE);
    [inside.wait(), outside.wait()]
}

fn on_the_host(command: &[&str]) -> Command {
    let mut run = Command::new(command[0]);
    run.args(&command[1..]);
    run
}

fn frames_of_all_sizes_and_tags_match_tcpdump(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let mut sent = [0, 0];
    let compared = compare(lab, &namespace, ALL_SERIES, WHOLE, || sent = send_both(&namespace, SERIES));
    let groups = assert_frames(&compared.ours(), &SERIES, WHOLE);
    let expected = [((0, 1, Some(2)), sent[0]), ((0, 2, Some(1)), sent[1])];
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), expected, "interface, sender, direction");
    assert_frames(&packets_in_pcap(&compared.witness), &SERIES, WHOLE);
}

fn frames_cut_to_a_snap_length_match_tcpdump(lab: &Lab) {
    let namespace = Namespace::with_veth();
    // Within the addresses, within and behind the tags, and between the lengths of frames. With less, tcpdump fails.
    for snap_length in [13, 14, 17, 35, 61, 128, 1000, 1513] {
        let series = SERIES.map(|series| Series { lengths: (60, 1514), ..series });
        let compared = compare(lab, &namespace, ALL_SERIES, snap_length, || {
            for series in series {
                series.start(|command| namespace.enter(command), "inner0", COUNT / 10, RATE).wait();
            }
        });
        let packets = compared.ours();
        assert!(packets.iter().all(|packet| packet.bytes.len() == packet.length.min(snap_length)));
        if snap_length >= 35 {
            assert_frames(&packets, &series, snap_length);
        }
    }
}

/// Sends 64 MB by TCP from the namespace, and 32 MB to it.
fn transfer(namespace: &Namespace, address: &str) {
    let server = ["iperf3", "--server", "--bind", address, "--port", "5299"];
    let _server = Process::start(&mut on_the_host(&server));
    let client = ["iperf3", "--client", address, "--port", "5299", "--bitrate", "1G"];
    eventually("the server listens", || {
        let check = [&client[..], &["--bytes", "1"]].concat();
        start(&mut namespace.enter(&check)).wait().is_ok_and(|status| status.success())
    });
    output(&mut namespace.enter(&[&client[..], &["--bytes", "64M"]].concat()));
    output(&mut namespace.enter(&[&client[..], &["--bytes", "32M", "--reverse"]].concat()));
}

fn longest(packets: &[Packet<'_>]) -> usize {
    packets.iter().map(|packet| packet.bytes.len()).max().unwrap_or_default()
}

fn offload_frames_match_tcpdump(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let compared = compare(lab, &namespace, "tcp", WHOLE, || transfer(&namespace, &namespace.address(1)));
    let longest = longest(&compared.ours());
    assert!(longest > 60_000, "the longest frame has {longest} bytes: the link does not offload");
}

/// BIG TCP: IPv6 packets with a jumbo payload option.
fn offload_frames_beyond_64_kib_match_tcpdump(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let inside = ["-n", &namespace.name];
    let sizes = ["gso_max_size", "185000", "gro_max_size", "185000"];
    let set = [&["link", "set", "dev", veth(&namespace)], &sizes[..]].concat();
    let is_set = Command::new("ip").args(set).output().expect("ip").status.success();
    if !is_set {
        eprintln!("skipped: ip or the kernel has no BIG TCP");
        return;
    }
    ip(&[&inside[..], &["link", "set", "dev", "inner0"], &sizes[..]].concat());
    ip(&["address", "add", "fd00:5299::1/64", "dev", veth(&namespace), "nodad"]);
    ip(&[&inside[..], &["address", "add", "fd00:5299::2/64", "dev", "inner0", "nodad"]].concat());
    let compared = compare(lab, &namespace, "ip6 net fd00:5299::/64 and not icmp6", WHOLE, || {
        transfer(&namespace, "fd00:5299::1");
    });
    let longest = longest(&compared.ours());
    assert!(longest > 100_000, "the longest frame has {longest} bytes");
}

fn frames_tagged_by_a_vlan_device_match_tcpdump(lab: &Lab) {
    let namespace = Namespace::with_veth();
    for (number, protocol) in [("5", "802.1Q"), ("6", "802.1ad")] {
        let kind = ["type", "vlan", "proto", protocol, "id", number];
        let (outer, inner) = (format!("{}v", veth(&namespace)), "inner0v");
        let add = [&["link", "add", "link", veth(&namespace), "name", &outer], &kind[..]].concat();
        if !Command::new("ip").args(&add).output().expect("ip").status.success() {
            eprintln!("skipped: the kernel has no VLAN devices");
            return;
        }
        ip(&[&["-n", &namespace.name, "link", "add", "link", "inner0", "name", inner], &kind[..]].concat());
        ip(&["address", "add", &format!("198.18.{number}.1/24"), "dev", &outer]);
        ip(&["link", "set", &outer, "up"]);
        namespace.set_up(inner, &format!("198.18.{number}.2/24"));
        let series = [Series::mixed(1), Series::mixed(2)];
        let compared = compare(lab, &namespace, "vlan", WHOLE, || {
            series[0].start(|command| namespace.enter(command), inner, COUNT / 4, RATE).wait();
            series[1].start(on_the_host, &outer, COUNT / 4, RATE).wait();
            transfer(&namespace, &format!("198.18.{number}.1"));
        });
        let packets = compared.ours();
        let tag = if protocol == "802.1Q" { [0x81, 0] } else { [0x88, 0xa8] };
        assert!(packets.iter().all(|packet| packet.bytes[12..14] == tag), "{protocol}");
        let longest = longest(&packets);
        assert!(longest > 60_000, "the longest frame has {longest} bytes: the link does not offload");
        ip(&["link", "delete", &outer]);
    }
}
