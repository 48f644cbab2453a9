//! Deduplication while containers, addresses or packets change.

use std::process::Command;

use crate::real::group::deduplication::{INBOUND, OUTBOUND, all_counted, fetch, get, row, seen};
use crate::support::following::Following;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, eventually, folder, output, signal};
use crate::support::recording::{Recording, fields_of, sorted, statistics_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    traffic_of_containers_started_later_is_deduplicated,
    an_address_moved_to_another_container_hides_no_packets,
    packets_changed_on_a_bridge_are_kept_at_the_receiver,
    routed_packets_are_kept_on_each_network,
    packets_dropped_at_the_sender_are_kept_at_the_receiver,
];

fn hardware_address(container: &Container) -> String {
    let shown = output(&mut container.enter(&["ip", "-o", "link", "show", "eth0"]));
    let after = shown.split_once("link/ether ").expect("an Ethernet interface").1;
    after.split(' ').next().expect("an address").to_owned()
}

/// A container that is added, removed, and recreated with the same name and addresses.
fn traffic_of_containers_started_later_is_deduplicated(lab: &Lab) {
    let network = lab.network_with(&["--subnet", "198.18.76.0/24"]);
    let label = format!("run=duplicates{}", std::process::id());
    let on = ["--label", label.as_str(), "--network", network.name.as_str()];
    let stays = lab.container(&on);
    let following = Following::begin(lab.program(), &["--label", &label, "-f", "tcp port 80"]);
    let block = |container: &Container| format!("{}:eth0", container.name);
    following.wait_for(&block(&stays), 1);
    let witness = Tcpdump::begin(&stays.host_veth("eth0"), "tcp port 80");
    let (name, mut addresses) = (format!("joins{}", std::process::id()), Vec::new());
    for times in 1..=2 {
        let named = [&["run", "--detach", "--name", &name, "--ip", "198.18.76.9"], &on[..], &[&lab.image]];
        lab.docker(&named.concat());
        let joins = lab.found(&name);
        following.wait_for(&block(&joins), times);
        addresses.push(hardware_address(&joins));
        fetch(lab, &joins, &stays);
        fetch(lab, &stays, &joins);
        witness.settle();
    }
    assert_eq!(addresses[0], addresses[1]);
    let (path, _folder) = following.stop();
    let (witness, _witness_folder) = witness.stop();
    let fields = ["ip.src", "tcp.srcport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "frame.len"];
    assert_eq!(sorted(fields_of(&path, "tcp", &fields)), sorted(fields_of(&witness, "tcp", &fields)));
    let senders = fields_of(&path, "http.request", &["frame.interface_id", "frame.packet_flags_direction"]);
    let sender = |number: &str| vec![number.to_owned(), OUTBOUND.to_owned()];
    assert_eq!(senders, [sender("1"), sender("0"), sender("2"), sender("0")]);
    let statistics = statistics_of(&path);
    for (number, one) in &statistics {
        assert_eq!((one.written, one.lost), (one.packets, 0), "{number}");
    }
    // Everything one has sent was received by the other.
    assert_eq!(statistics[&0].crossed(), statistics[&1].written + statistics[&2].written);
    assert_eq!(statistics[&0].written, statistics[&1].crossed() + statistics[&2].crossed());
}

fn an_address_moved_to_another_container_hides_no_packets(lab: &Lab) {
    let network = lab.network_with(&["--subnet", "198.18.77.0/24"]);
    // Docker derives hardware addresses from these.
    let same = ["--network", &network.name, "--ip", "198.18.77.9"];
    let (db, before) = (lab.container(&["--network", &network.name]), lab.container(&same));
    let recording = Recording::begin(lab, &[&before, &db], &["--filter", "tcp"]);
    fetch(lab, &before, &db);
    let (name, address_before) = (before.name.clone(), hardware_address(&before));
    drop(before);
    let after = lab.container(&same);
    assert_eq!(address_before, hardware_address(&after));
    fetch(lab, &after, &db);
    let recorded = recording.stop();
    let expected = sorted(vec![vec![format!("{name}:eth0"), OUTBOUND.to_owned()], row(&db, INBOUND)]);
    assert_eq!(seen(&recorded, "http.request && ip.src == 198.18.77.9"), expected);
}

/// With a filter for the new address, which does not match the old one.
fn packets_changed_on_a_bridge_are_kept_at_the_receiver(lab: &Lab) {
    let network = lab.network_with(&["--subnet", "198.18.79.0/24", "--gateway", "198.18.79.1"]);
    let on = ["--network", network.name.as_str()];
    let (web, db) = (lab.container(&on), lab.container(&on));
    let (web_address, to) = (web.address(), format!("{}:80", db.address()));
    let bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    assert_eq!(output(Command::new("cat").arg(bridged)), "1", "the kernel changes what passes a bridge");
    let rule = ["PREROUTING", "-s", &web_address, "-d", "198.18.79.1", "-p", "tcp", "--dport", "8080"];
    let rule = [&["-t", "nat", "-A"], &rule[..], &["-j", "DNAT", "--to-destination", &to]].concat();
    output(Command::new("iptables").args(&rule));
    let recording = Recording::begin(lab, &[&web, &db], &["--filter", "tcp port 80"]);
    get(lab, &web, "http://198.18.79.1:8080/");
    let recorded = recording.stop();
    let remove: Vec<&str> = rule.iter().map(|word| if *word == "-A" { "-D" } else { *word }).collect();
    output(Command::new("iptables").args(remove));
    assert_eq!(seen(&recorded, "http.request"), [row(&db, INBOUND)]);
    assert_eq!(seen(&recorded, "http.response"), [row(&db, OUTBOUND)]);
    // Switched, not routed: the frame is unchanged.
    let senders = recorded.fields("http.request", &["eth.src"]);
    assert_eq!(senders, [[hardware_address(&web)]]);
    all_counted(&recorded);
}

fn routed_packets_are_kept_on_each_network(lab: &Lab) {
    let (near, far) = (lab.network(), lab.network());
    let web = lab.container(&["--network", &near.name]);
    let router = lab.container(&["--network", &near.name, "--sysctl", "net.ipv4.ip_forward=1"]);
    lab.docker(&["network", "connect", &far.name, &router.name]);
    let db = lab.container(&["--network", &far.name]);
    for (container, to, interface) in [(&web, &db, "eth0"), (&db, &web, "eth1")] {
        let way = ["ip", "route", "add", &to.address(), "via", &router.address_on(interface)];
        output(&mut container.enter(&way));
    }
    let recording = Recording::begin(lab, &[&web, &router, &db], &["--filter", "tcp"]);
    fetch(lab, &web, &db);
    let recorded = recording.stop();
    let fields = ["frame.interface_name", "frame.packet_flags_direction", "ip.ttl"];
    let passed = |container: &Container, interface: &str, ttl: &str| {
        vec![format!("{}:{interface}", container.name), OUTBOUND.to_owned(), ttl.to_owned()]
    };
    let syn = "tcp.flags.syn == 1 && tcp.flags.ack == 0";
    let there = sorted(vec![passed(&web, "eth0", "64"), passed(&router, "eth1", "63")]);
    assert_eq!(sorted(recorded.fields(syn, &fields)), there);
    let syn = "tcp.flags.syn == 1 && tcp.flags.ack == 1";
    let back = sorted(vec![passed(&db, "eth0", "64"), passed(&router, "eth0", "63")]);
    assert_eq!(sorted(recorded.fields(syn, &fields)), back);
    assert!(all_counted(&recorded).1 > 0);
}

/// Every packet is in the file or counted as dropped, also with full rings.
fn packets_dropped_at_the_sender_are_kept_at_the_receiver(lab: &Lab) {
    const BEFORE: u64 = 20_000;
    const THEN: u64 = 100;
    let network = lab.network();
    let on = ["--network", network.name.as_str()];
    let (web, db, other) = (lab.container(&on), lab.container(&on), lab.container(&on));
    let with = ["--buffer-size", "2", "--filter", "udp port 9"];
    let recording = Recording::begin(lab, &[&web, &db], &with);
    // A bridge may forward packets for others.
    let witness = Tcpdump::begin(&db.host_veth("eth0"), "udp port 9");
    // The sender's ring is full of other packets.
    signal(&recording.child, "STOP");
    send(&web, &other, BEFORE);
    send(&web, &db, THEN);
    witness.settle();
    signal(&recording.child, "CONT");
    let to_db = format!("ip.dst == {}", db.address());
    eventually("it is read", || fields_of(&recording.path, &to_db, &["ip.id"]).len() as u64 == THEN);
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let came = fields_of(&witness, "udp", &["ip.id"]).len() as u64;
    let rows = seen(&recorded, &to_db);
    assert_eq!(rows.len() as u64, THEN);
    assert!(rows.contains(&row(&db, INBOUND)), "{rows:?}");
    let statistics = recorded.statistics();
    let [web, db] = [0, 1].map(|number| statistics[&number]);
    assert!(web.lost > THEN, "{statistics:?}");
    assert_eq!(web.packets + web.lost, BEFORE + THEN);
    assert_eq!((db.packets + db.crossed(), db.lost), (came, 0));
}

/// Sends packets of 1000 bytes.
fn send(one: &Container, other: &Container, count: u64) {
    let text = format!(
        "{{ eth(sa={}, da={}), ipv4(saddr={}, daddr={}), udp(sp=9, dp=9), fill(0x61, 958) }}\n",
        hardware_address(one),
        hardware_address(other),
        one.address(),
        other.address()
    );
    let folder = folder();
    let frame = folder.path().join("frame");
    std::fs::write(&frame, text).expect("a frame");
    let (frame, count) = (frame.to_str().expect("a path"), count.to_string());
    output(&mut one.enter(&["trafgen", "-o", "eth0", "-i", frame, "-n", &count, "-P", "1", "-q"]));
}
