//! Networks without a host veth, captured in the container's namespace.

use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, folder, output, start};
use crate::support::list_output::{listed, only};
use crate::support::recording::{Recorded, Recording, fields_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    macvlan_is_captured_in_the_namespace,
    overlay_is_captured_in_the_namespace_and_its_gateway_at_the_host,
    the_loopback_of_a_container_without_a_network_is_captured,
    the_loopback_of_a_bridged_container_can_be_selected,
    vlan_tags_are_preserved,
    large_frames_and_ipv6_only_networks_are_captured_whole,
    twelve_networks_are_twelve_interfaces,
    without_root_bridges_are_captured_and_other_networks_reported,
    an_interface_with_a_name_special_to_libpcap_is_refused,
    no_thread_or_descriptor_stays_in_an_entered_namespace,
];

/// Only CAP_NET_RAW, as when installed.
const CAPTURE_ONLY: [&str; 3] = ["setpriv", "--bounding-set=-all,+net_raw", "--inh-caps=-all"];

/// Compares a capture in the namespace with tcpdump there, and checks directions.
fn assert_same_inside(
    lab: &Lab,
    container: &Container,
    options: &[&str],
    interface: &str,
    traffic: impl FnOnce(),
) {
    const FILTER: &str = "tcp or icmp or icmp6";
    let witness = Tcpdump::inside(container, interface, FILTER);
    let recording = Recording::begin(lab, &[container], &[options, &["--filter", FILTER]].concat());
    traffic();
    let recorded = recording.stop_matching(witness);
    let names = recorded.fields("frame", &["frame.interface_name"]).concat();
    assert!(names.iter().all(|name| *name == format!("{}:{interface}", container.name)), "{names:?}");
}

/// Asserts the directions of packets to and from an address.
fn assert_directions(recorded: &Recorded, address: &str) {
    // epb_flags: 1 inbound, 2 outbound.
    for (filter, direction) in [("dst", "0x00000001"), ("src", "0x00000002")] {
        let filter = format!("ip.{filter} == {address}");
        let flags = recorded.fields(&filter, &["frame.packet_flags"]).concat();
        assert!(!flags.is_empty() && flags.iter().all(|flags| flags == direction), "{filter}: {flags:?}");
    }
}

fn get(from: &Container, address: &str) {
    output(&mut from.enter(&["curl", "-s", "-o", "/dev/null", &format!("http://{address}/")]));
}

fn macvlan_is_captured_in_the_namespace(lab: &Lab) {
    let network = lab.macvlan();
    let options = ["--network", network.name.as_str()];
    let (one, other) = (lab.container(&options), lab.container(&options));
    assert_same_inside(lab, &one, &[], "eth0", || get(&one, &other.address()));
    let recording = Recording::begin(lab, &[&one], &["--filter", "tcp"]);
    get(&one, &other.address());
    get(&other, &one.address());
    let recorded = recording.stop();
    assert_directions(&recorded, &one.address());
    let description = &recorded.fields("tcp", &["frame.interface_description"])[0][0];
    let place = format!("network {}, eth0 inside the container", network.name);
    assert!(description.ends_with(&place), "{description}");
}

fn overlay_is_captured_in_the_namespace_and_its_gateway_at_the_host(lab: &Lab) {
    let swarm = lab.swarm();
    let network = swarm.overlay();
    let options = ["--network", network.name.as_str()];
    let (one, other) = (lab.container(&options), lab.container(&options));
    let recording = Recording::begin(lab, &[&one], &["--filter", "tcp"]);
    get(&one, &other.address());
    // Through docker_gwbridge, which the engine does not report.
    let gateway = one.address_on("eth1");
    output(Command::new("curl").args(["-s", "-o", "/dev/null", &format!("http://{gateway}/")]));
    let recorded = recording.stop();
    assert_directions(&recorded, &one.address());
    for (interface, address) in [("eth0", one.address()), ("eth1", gateway)] {
        let filter = format!("http.request and ip.addr == {address}");
        let names = recorded.fields(&filter, &["frame.interface_name"]).concat();
        assert_eq!(names, [format!("{}:{interface}", one.name)], "{interface}");
    }
    // Neither the containers nor the engine's namespaces are listed again.
    let (objects, _) = listed(lab.program());
    for container in [&one, &other] {
        assert_eq!(only(&objects, "id", &container.id)["engine"], "docker");
        let number =
            output(Command::new("stat").args(["-c", "%i", &format!("/proc/{}/net/dev", container.pid)]));
        assert!(!objects.iter().any(|object| object["id"] == number), "{objects:?}");
    }
}

fn the_loopback_of_a_container_without_a_network_is_captured(lab: &Lab) {
    let container = lab.container(&["--network", "none"]);
    assert_same_inside(lab, &container, &[], "lo", || get(&container, "127.0.0.1"));
}

fn the_loopback_of_a_bridged_container_can_be_selected(lab: &Lab) {
    let container = lab.container(&[]);
    assert_same_inside(lab, &container, &["--network", "lo"], "lo", || {
        container.fetch(1);
        get(&container, "127.0.0.1");
    });
    let recording = Recording::begin(lab, &[&container], &[]);
    get(&container, "127.0.0.1");
    container.fetch(1);
    let recorded = recording.stop();
    assert!(recorded.fields("ip.addr == 127.0.0.1", &["frame.number"]).is_empty());
    assert_eq!(recorded.fields("http.request", &["frame.number"]).len(), 1);
}

fn vlan_tags_are_preserved(lab: &Lab) {
    let container = lab.container(&[]);
    let bridge = output(Command::new("cat").arg("/sys/class/net/docker0/address"));
    let folder = folder();
    let frame = folder.path().join("frame");
    // EtherType of a VLAN tag, tag 5, and the EtherType for local experiments (IEEE 802).
    let text = format!(
        "{{ eth(da={}, type=0x8100), const16(5), const16(0x88b5), fill(0x61, 80) }}\n",
        bridge.trim()
    );
    std::fs::write(&frame, text).expect("a frame");
    let veth = container.host_veth("eth0");
    let (witness, recording) = (Tcpdump::begin(&veth, "vlan 5"), Recording::begin(lab, &[&container], &[]));
    let frame = frame.to_str().expect("a path");
    output(&mut container.enter(&["trafgen", "-o", "eth0", "-i", frame, "-n", "3", "-P", "1", "-q"]));
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let fields = ["vlan.id", "frame.len"];
    let tagged = recorded.fields("vlan", &fields);
    assert_eq!(tagged, vec![["5", "98"]; 3]);
    assert_eq!(tagged, fields_of(&witness, "vlan", &fields));
}

fn large_frames_and_ipv6_only_networks_are_captured_whole(lab: &Lab) {
    let network = lab.network_with(&[
        "--ipv6",
        "--subnet",
        "fd12:3456::/64",
        "--opt",
        "com.docker.network.driver.mtu=9000",
    ]);
    let options = ["--network", network.name.as_str()];
    let (one, other) = (lab.container(&options), lab.container(&options));
    for container in [&one, &other] {
        output(&mut container.enter(&["ip", "-4", "address", "flush", "dev", "eth0"]));
    }
    let shown = output(&mut other.enter(&["ip", "-6", "-o", "address", "show", "eth0", "scope", "global"]));
    let address =
        shown.split_whitespace().nth(3).and_then(|word| word.split('/').next()).expect("an address");
    let witness = Tcpdump::inside(&one, "eth0", "icmp6 and ip6[40] >= 128 and ip6[40] <= 129");
    let recording = Recording::begin(lab, &[&one], &["-f", "icmp6 and ip6[40] >= 128 and ip6[40] <= 129"]);
    lab.docker(&["exec", &one.name, "ping", "-6", "-c", "3", "-s", "8952", address]);
    let recorded = recording.stop_matching(witness);
    let lengths = recorded.fields("icmpv6.type == 128", &["frame.len"]).concat();
    assert_eq!(lengths, ["9014"; 3]);
}

fn twelve_networks_are_twelve_interfaces(lab: &Lab) {
    let networks: Vec<_> =
        (0..12).map(|number| lab.network_with(&["--subnet", &format!("10.213.{number}.0/24")])).collect();
    let container = lab.container(&["--network", &networks[0].name]);
    for network in &networks[1..] {
        lab.docker(&["network", "connect", &network.name, &container.name]);
    }
    let recording = Recording::begin(lab, &[&container], &["-f", "tcp"]);
    for number in 0..networks.len() {
        let url = format!("http://{}/", container.address_on(&format!("eth{number}")));
        output(Command::new("curl").args(["-s", "-o", "/dev/null", &url]));
    }
    let recorded = recording.stop();
    let mut names = recorded.fields("http.request", &["frame.interface_name"]).concat();
    names.sort_by_key(String::len);
    let expected: Vec<String> = (0..12).map(|number| format!("{}:eth{number}", container.name)).collect();
    assert_eq!(names, expected);
}

fn without_root_bridges_are_captured_and_other_networks_reported(lab: &Lab) {
    let network = lab.macvlan();
    let (both, alone) = (lab.container(&[]), lab.container(&["--network", &network.name]));
    lab.docker(&["network", "connect", &network.name, &both.name]);
    // Without the static program, so no tap container is possible.
    let folder = folder();
    let program = folder.path().join("containerdump");
    std::fs::copy(env!("CARGO_BIN_EXE_containerdump"), &program).expect("a copy");
    let capture = |name: &str| {
        let mut command = Command::new(CAPTURE_ONLY[0]);
        command.args(&CAPTURE_ONLY[1..]).arg(&program).env("DOCKER_HOST", &lab.endpoint);
        end_of(start(command.args(["capture", name, "-a", "duration:0.3", "-w", "/dev/null", "--overwrite"])))
    };
    let ended = capture(&both.name);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && said.contains(&format!("not captured: {}", network.name)), "{said}");
    let ended = capture(&alone.name);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("sudo containerdump capture {}", alone.name)), "{said}");
}

fn an_interface_with_a_name_special_to_libpcap_is_refused(lab: &Lab) {
    let container = lab.container(&[]);
    let make = "ip link add nflog type bridge; ip address add 192.0.2.9/24 dev nflog; ip link set nflog up";
    output(&mut container.enter(&["sh", "-c", make]));
    let capture = |options: &[&str]| {
        let mut command = lab.program();
        command.args(["capture", &container.name, "-a", "duration:0.3", "-w", "/dev/null", "--overwrite"]);
        end_of(start(command.args(options)))
    };
    let ended = capture(&["-i", "nflog"]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("uses that name for something else"), "{said}");
    assert!(capture(&[]).status.success());
}

/// The program has no capability, one thread, and its own namespace after entering another.
fn no_thread_or_descriptor_stays_in_an_entered_namespace(lab: &Lab) {
    let container = lab.container(&["--network", "none"]);
    let recording = Recording::begin(lab, &[&container], &[]);
    get(&container, "127.0.0.1");
    let process = format!("/proc/{}", recording.child.id());
    let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    for task in std::fs::read_dir(format!("{process}/task")).expect("its threads").flatten() {
        assert_eq!(std::fs::read_link(task.path().join("ns/net")).expect("a namespace"), own);
        let status = std::fs::read_to_string(task.path().join("status")).expect("its status");
        for set in ["CapPrm:\t", "CapEff:\t"] {
            assert!(status.contains(&format!("{set}0000000000000000")), "{status}");
        }
    }
    let held = std::fs::read_dir(format!("{process}/fd")).expect("its descriptors").flatten();
    let held: Vec<_> = held.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    assert!(held.iter().all(|path| !path.to_string_lossy().starts_with("net:")), "{held:?}");
    recording.stop();
}
