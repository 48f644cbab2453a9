//! Deduplication of packets between captured containers.

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, output};
use crate::support::recording::{Recorded, Recording, Statistics, capinfos, fields_of, sorted};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    traffic_between_captured_containers_is_deduplicated,
    traffic_between_captured_containers_is_kept_twice_on_request,
    traffic_from_outside_is_kept_at_the_receiver,
    broadcasts_between_captured_containers_are_deduplicated,
    deduplication_with_a_directional_filter_drops_nothing,
    macvlan_traffic_between_captured_containers_is_deduplicated,
    traffic_captured_through_the_engine_is_deduplicated,
];

pub(crate) const OUTBOUND: &str = "0x00000002";
pub(crate) const INBOUND: &str = "0x00000001";

/// Sends a request from `one` to `other`.
pub(crate) fn fetch(lab: &Lab, one: &Container, other: &Container) {
    get(lab, one, &format!("http://{}/", other.address()));
}

pub(crate) fn get(lab: &Lab, one: &Container, page: &str) {
    lab.docker(&["exec", &one.name, "wget", "-q", "-O", "/dev/null", page]);
}

/// Interface and direction of matching packets, sorted.
pub(crate) fn seen(recorded: &Recorded, filter: &str) -> Vec<Vec<String>> {
    sorted(recorded.fields(filter, &["frame.interface_name", "frame.packet_flags_direction"]))
}

pub(crate) fn row(container: &Container, direction: &str) -> Vec<String> {
    vec![format!("{}:eth0", container.name), direction.to_owned()]
}

/// Asserts that all received packets were written or deduplicated and none was dropped. Returns the numbers of both.
pub(crate) fn all_counted(recorded: &Recorded) -> (u64, u64) {
    let statistics = recorded.statistics();
    for (interface, one) in &statistics {
        let (lost, lost_in_kernel) = (one.lost, one.lost_in_kernel);
        assert_eq!((one.written, lost, lost_in_kernel), (one.packets, 0, 0), "interface {interface}");
    }
    (statistics.values().map(|one| one.packets).sum(), statistics.values().map(Statistics::crossed).sum())
}

fn count(path: &std::path::Path) -> u64 {
    capinfos(path, "Number of packets").parse().expect("a number")
}

fn traffic_between_captured_containers_is_deduplicated(lab: &Lab) {
    let network = lab.network();
    let on = ["--network", network.name.as_str()];
    let (web, db, client) = (lab.container(&on), lab.container(&on), lab.container(&on));
    let of_web = format!("tcp and host {} and host {}", web.address(), db.address());
    let of_client = format!("tcp and host {}", client.address());
    let at_web = Tcpdump::begin(&web.host_veth("eth0"), &of_web);
    let at_db = Tcpdump::begin(&db.host_veth("eth0"), &of_client);
    let filter = format!("({of_web}) or ({of_client} and host {})", db.address());
    let recording = Recording::begin(lab, &[&web, &db], &["--filter", &filter]);
    for _ in 0..5 {
        fetch(lab, &web, &db);
    }
    fetch(lab, &client, &db);
    at_web.settle();
    let recorded = recording.stop();
    let (at_web, _web_folder) = at_web.stop();
    let (at_db, _db_folder) = at_db.stop();
    let between = format!("ip.addr == {} && ip.addr == {}", web.address(), db.address());
    assert_eq!(seen(&recorded, &format!("http.request && {between}")), vec![row(&web, OUTBOUND); 5]);
    assert_eq!(seen(&recorded, &format!("http.response && {between}")), vec![row(&db, OUTBOUND); 5]);
    // Exactly the packets of tcpdump.
    let fields = ["ip.id", "ip.src", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "frame.len"];
    assert_eq!(sorted(recorded.fields(&between, &fields)), sorted(fields_of(&at_web, "tcp", &fields)));
    // The client is not captured.
    let of_client = format!("ip.addr == {}", client.address());
    assert_eq!(sorted(recorded.fields(&of_client, &fields)), sorted(fields_of(&at_db, "tcp", &fields)));
    // One of two copies is dropped.
    assert_eq!(all_counted(&recorded), (count(&at_web) + count(&at_db), count(&at_web)));
}

fn traffic_between_captured_containers_is_kept_twice_on_request(lab: &Lab) {
    let network = lab.network();
    let on = ["--network", network.name.as_str()];
    let (web, db) = (lab.container(&on), lab.container(&on));
    let recording = Recording::begin(lab, &[&web, &db], &["--duplicates", "keep"]);
    fetch(lab, &web, &db);
    let recorded = recording.stop();
    // Wireshark takes the second copy for a retransmission and finds no request in it.
    let expected = sorted(vec![row(&web, OUTBOUND), row(&db, INBOUND)]);
    assert_eq!(seen(&recorded, "tcp.dstport == 80 && tcp.flags.syn == 1"), expected);
    let expected = sorted(vec![row(&web, INBOUND), row(&db, OUTBOUND)]);
    assert_eq!(seen(&recorded, "tcp.srcport == 80 && tcp.flags.syn == 1"), expected);
    assert_eq!(all_counted(&recorded).1, 0);
}

fn traffic_from_outside_is_kept_at_the_receiver(lab: &Lab) {
    let network = lab.network();
    let on = ["--network", network.name.as_str()];
    let (web, db, unseen) = (lab.container(&on), lab.container(&on), lab.container(&on));
    let recording = Recording::begin(lab, &[&web, &db], &["--filter", "tcp"]);
    // Packets of the host and of a container that is not captured.
    web.fetch(2);
    fetch(lab, &unseen, &db);
    let recorded = recording.stop();
    let at = |container: &Container| format!("http.request && ip.dst == {}", container.address());
    assert_eq!(seen(&recorded, &at(&web)), vec![row(&web, INBOUND); 2]);
    assert_eq!(seen(&recorded, &at(&db)), vec![row(&db, INBOUND); 1]);
    all_counted(&recorded);
}

fn broadcasts_between_captured_containers_are_deduplicated(lab: &Lab) {
    let network = lab.network_with(&["--subnet", "198.18.78.0/24"]);
    let on = ["--network", network.name.as_str()];
    let containers = [lab.container(&on), lab.container(&on), lab.container(&on)];
    let [asks, ..] = &containers;
    let recording = Recording::begin(lab, &containers.each_ref(), &["--filter", "arp"]);
    // An unused address: both get the ARP request.
    lab.docker(&["exec", &asks.name, "sh", "-c", "ping -c 1 -W 1 198.18.78.250 || true"]);
    let recorded = recording.stop();
    let asked = "arp.opcode == 1 && arp.dst.proto_ipv4 == 198.18.78.250";
    let rows = seen(&recorded, asked);
    assert!(!rows.is_empty());
    assert_eq!(rows, vec![row(asks, OUTBOUND); rows.len()]);
    assert!(all_counted(&recorded).1 >= 2 * rows.len() as u64);
}

fn deduplication_with_a_directional_filter_drops_nothing(lab: &Lab) {
    let network = lab.network();
    let on = ["--network", network.name.as_str()];
    let (web, db) = (lab.container(&on), lab.container(&on));
    let recording = Recording::begin(lab, &[&web, &db], &["--filter", "inbound and tcp"]);
    fetch(lab, &web, &db);
    let recorded = recording.stop();
    assert_eq!(seen(&recorded, "http.request"), [row(&db, INBOUND)]);
    assert_eq!(seen(&recorded, "http.response"), [row(&web, INBOUND)]);
}

fn macvlan_traffic_between_captured_containers_is_deduplicated(lab: &Lab) {
    let network = lab.macvlan();
    let on = ["--network", network.name.as_str()];
    let (web, db) = (lab.container(&on), lab.container(&on));
    let recording = Recording::begin(lab, &[&web, &db], &["--filter", "tcp"]);
    output(&mut web.enter(&["curl", "-s", "-o", "/dev/null", &format!("http://{}/", db.address())]));
    let recorded = recording.stop();
    assert_eq!(seen(&recorded, "http.request"), [row(&web, OUTBOUND)]);
    assert_eq!(seen(&recorded, "http.response"), [row(&db, OUTBOUND)]);
    assert!(all_counted(&recorded).1 > 0);
}

fn traffic_captured_through_the_engine_is_deduplicated(lab: &Lab) {
    let network = lab.network();
    let on = ["--network", network.name.as_str()];
    let (web, db) = (lab.container(&on), lab.container(&on));
    for (duplicates, times) in [("drop", 1), ("keep", 2)] {
        let with = ["--tap", "engine", "--duplicates", duplicates, "--filter", "tcp"];
        let recording = Recording::begin(lab, &[&web, &db], &with);
        fetch(lab, &web, &db);
        let recorded = recording.stop();
        for (port, sender) in [("dst", &web), ("src", &db)] {
            let rows = seen(&recorded, &format!("tcp.{port}port == 80 && tcp.flags.syn == 1"));
            assert_eq!(rows.len(), times, "{duplicates}: {rows:?}");
            assert!(rows.contains(&row(sender, OUTBOUND)), "{rows:?}");
        }
        assert_eq!(all_counted(&recorded).1 > 0, times == 1);
    }
}
