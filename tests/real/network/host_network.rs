//! Containers in the host network.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, Network, end_of, eventually, folder, output, start};
use crate::support::list_output::described_by;
use crate::support::podman::{self, Podman};
use crate::support::processes::assert_no_capabilities;
use crate::support::recording::{Recorded, Recording, capinfos, fields_of};
use crate::support::tcpdump::Tcpdump;
use crate::support::traffic::idle;
use crate::support::unprivileged::{allow_engine_access, as_nobody, copy};

pub(crate) const TESTS: &[Test] = tests![
    the_host_network_is_shown_wherever_it_can_be_selected,
    host_network_captures_the_interfaces_of_the_host,
    host_network_packets_match_tcpdump,
    the_loopback_of_the_host_can_be_selected,
    a_bridge_of_the_host_captures_no_traffic_between_containers,
    host_network_captures_need_only_cap_net_raw,
    a_member_of_the_capture_group_may_capture_the_host_itself,
    a_removed_host_interface_does_not_end_the_capture_of_others,
    a_podman_container_in_the_host_network_is_captured,
    interfaces_of_a_remote_host_are_not_mistaken_for_local_ones,
];

/// The bridge of a Docker network.
fn bridge(lab: &Lab, network: &Network) -> String {
    let id = lab.docker(&["network", "inspect", "--format", "{{.Id}}", &network.name]);
    format!("br-{}", &id[..12])
}

fn on(network: &Network) -> [&str; 2] {
    ["--network", network.name.as_str()]
}

fn get(lab: &Lab, from: &Container, address: &str) {
    lab.docker(&["exec", &from.name, "wget", "-q", "-O", "/dev/null", &format!("http://{address}/")]);
}

/// tcpdump without promiscuous mode.
fn witness(interface: &str, filter: &str) -> Tcpdump {
    let mut tcpdump = Command::new("tcpdump");
    tcpdump.arg("-p");
    Tcpdump::with(tcpdump, interface, filter)
}

fn assert_matches_tcpdump(recorded: &Recorded, witness: Tcpdump) {
    witness.assert_same(&recorded.path);
}

/// An interface of this host, which is removed on drop.
struct HostInterface(String);

impl HostInterface {
    fn bridge(number: u8) -> Self {
        let name = format!("x{number}-{}", std::process::id());
        output(Command::new("ip").args(["link", "add", &name, "type", "bridge"]));
        Self(name)
    }

    fn ip(&self, before: &[&str], after: &[&str]) {
        output(Command::new("ip").args(before).arg(&self.0).args(after));
    }
}

impl Drop for HostInterface {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "delete", &self.0]).output();
    }
}

fn the_host_network_is_shown_wherever_it_can_be_selected(lab: &Lab) {
    let host = idle(lab);
    let guest = lab.container(&["--network", &format!("container:{}", host.name)]);
    let image = lab.docker(&["inspect", "--format", "{{.Config.Image}}", &host.name]);
    let said = output(lab.program().arg("--extcap-interfaces"));
    for container in [&host, &guest] {
        let line = format!(
            "interface {{value={}}}{{display={} · {image} (host network)}}",
            container.interface(),
            container.name
        );
        assert!(said.lines().any(|text| text == line), "{line} in {said}");
    }
    let mut reload = lab.program();
    reload.args(["--extcap-config", "--extcap-reload-option", "network", "--extcap-interface"]);
    let said = output(reload.arg(host.interface()));
    let line = "value {arg=0}{value=eth0}{display=eth0 · host network}";
    assert!(said.lines().any(|text| text == line), "{said}");
    let table = output(lab.program().arg("list"));
    let row = table.lines().find(|line| line.starts_with(&host.name)).expect("its row");
    assert!(row.contains("eth0 (host network)") && !row.contains("lo (host network)"), "{row}");

    let folder = folder();
    let log = folder.path().join("log");
    let log = log.to_str().expect("a path");
    let recording =
        Recording::begin(lab, &[&host], &["-i", "eth0", "--log-level", "info", "--log-file", log]);
    let recorded = recording.stop();
    let plainly = format!("{} uses the network of the host", host.name);
    assert!(recorded.said.contains(&plainly), "{}", recorded.said);
    assert!(std::fs::read_to_string(log).expect("the log").contains(&plainly));
    let said = output(Command::new("capinfos").arg(&recorded.path));
    let block = format!("docker container {} ({image}), host network, interface eth0 of the host", host.name);
    assert!(said.contains(&block) && said.contains(&guest.name), "{said}");
}

fn host_network_captures_the_interfaces_of_the_host(lab: &Lab) {
    let network = lab.network();
    let (host, bridged) = (idle(lab), lab.container(&on(&network)));
    let (down, bare, addressed) =
        (HostInterface::bridge(1), HostInterface::bridge(2), HostInterface::bridge(3));
    down.ip(&["address", "add", "192.0.2.65/32", "dev"], &[]);
    // Nor its default.
    bare.ip(&["link", "set"], &["addrgenmode", "none"]);
    for link in [&bare, &addressed] {
        link.ip(&["link", "set"], &["up"]);
    }
    addressed.ip(&["address", "add", "192.0.2.66/32", "dev"], &[]);
    // A veth as uplink, as on a host that is a container itself.
    let cable = HostInterface(format!("x4-{}", std::process::id()));
    cable.ip(&["link", "add"], &["type", "veth", "peer", "name", "x4", "netns", &bridged.pid]);
    cable.ip(&["link", "set"], &["up"]);
    let default = || {
        let object = described_by(lab.program(), &host.name);
        let taps = object["attachments"].as_array().expect("attachments").clone();
        assert!(taps.iter().all(|tap| tap["tap"] == "host" && tap["host_veth"].is_null()), "{object}");
        move |name: &str| {
            let its = taps.iter().find(|tap| tap["interface"] == name);
            its.map(|tap| tap["default"].as_bool().expect("yes or no"))
        }
    };
    let before = default();
    assert_eq!(before("eth0"), Some(true));
    assert_eq!(before(&bridge(lab, &network)), Some(true));
    assert_eq!(before("lo"), Some(false));
    assert_eq!(before(&bridged.host_veth("eth0")), None, "a container's cable");
    assert_eq!(before(&down.0), None, "not up");
    assert_eq!(before(&bare.0), Some(false), "no address");
    assert_eq!(before(&addressed.0), Some(true), "an address that makes no route");
    assert_eq!(before(&cable.0), Some(false));
    cable.ip(&["address", "add", "192.0.2.67/32", "dev"], &[]);
    assert_eq!(default()(&cable.0), Some(true));
}

fn host_network_packets_match_tcpdump(lab: &Lab) {
    let network = lab.network();
    let (host, other) = (idle(lab), lab.container(&on(&network)));
    let bridge = bridge(lab, &network);
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = lab.docker(&["network", "inspect", "--format", gateway, &network.name]);
    let served = format!("{gateway}:18124");
    lab.docker(&["exec", "--detach", &host.name, "httpd", "-f", "-p", &served, "-h", "/www"]);
    eventually("it serves", || {
        Command::new("curl").args(["-s", &served]).output().is_ok_and(|one| one.status.success())
    });
    let filter = format!("tcp and host {}", other.address());
    // All interfaces of the host; traffic of this bridge passes no other.
    let (seen, recording) =
        (witness(&bridge, &filter), Recording::begin(lab, &[&host], &["--filter", &filter]));
    get(lab, &host, &other.address());
    get(lab, &other, &served);
    seen.settle();
    let recorded = recording.stop();
    assert_matches_tcpdump(&recorded, seen);
    let fields = ["ip.dst", "frame.packet_flags_direction", "frame.interface_name"];
    let name = format!("{}:{bridge}", host.name);
    let expected =
        [[other.address(), "0x00000002".to_owned(), name.clone()], [gateway, "0x00000001".to_owned(), name]];
    assert_eq!(recorded.fields("http.request", &fields), expected);

    let inbound = format!("inbound and {filter}");
    let recording = Recording::begin(lab, &[&host], &["-i", &bridge, "--filter", &inbound]);
    get(lab, &host, &other.address());
    let recorded = recording.stop();
    let sources = recorded.fields("tcp", &["ip.src"]).concat();
    assert!(!sources.is_empty() && sources.iter().all(|source| *source == other.address()), "{sources:?}");
}

fn the_loopback_of_the_host_can_be_selected(lab: &Lab) {
    let host = idle(lab);
    let served = "127.0.0.1:18125";
    lab.docker(&["exec", "--detach", &host.name, "httpd", "-f", "-p", served, "-h", "/www"]);
    eventually("it serves", || {
        Command::new("curl").args(["-s", served]).output().is_ok_and(|one| one.status.success())
    });
    let filter = "tcp port 18125";
    let seen = witness("lo", filter);
    let asked = Recording::begin(lab, &[&host], &["-i", "lo", "--filter", filter]);
    let unasked = Recording::begin(lab, &[&host], &["--filter", filter]);
    get(lab, &host, served);
    seen.settle();
    let (asked, unasked) = (asked.stop(), unasked.stop());
    assert_matches_tcpdump(&asked, seen);
    let requests = asked.fields("http.request", &["frame.interface_name", "ip.dst"]);
    assert_eq!(requests, [[format!("{}:lo", host.name), "127.0.0.1".to_owned()]]);
    assert_eq!(capinfos(&unasked.path, "Number of packets"), "0");
}

fn a_bridge_of_the_host_captures_no_traffic_between_containers(lab: &Lab) {
    let network = lab.network();
    let (host, one, other) = (idle(lab), lab.container(&on(&network)), lab.container(&on(&network)));
    let bridge = bridge(lab, &network);
    let recording = Recording::begin(lab, &[&host], &["-i", &bridge, "--filter", "tcp"]);
    let told = output(Command::new("ip").args(["-d", "link", "show", &bridge]));
    assert!(told.contains("promiscuity 0"), "{told}");
    get(lab, &one, &other.address());
    get(lab, &host, &other.address());
    let recorded = recording.stop();
    let requests = recorded.fields("http.request", &["ip.src"]).concat();
    assert!(requests.len() == 1 && requests[0] != one.address(), "{requests:?}");
}

fn host_network_captures_need_only_cap_net_raw(lab: &Lab) {
    allow_engine_access(lab);
    let network = lab.network();
    let (host, other) = (idle(lab), lab.container(&on(&network)));
    let folder = folder();
    let program = copy(folder.path(), true);
    let path = folder.path().join("out.pcapng");
    let filter = format!("tcp and dst host {}", other.address());
    let mut capture = as_nobody(lab, &program);
    capture.args(["capture", &host.name, "-f", &filter, "-c", "4", "-w"]).arg(&path);
    let child = start(&mut capture);
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
    assert_no_capabilities(child.id());
    get(lab, &host, &other.address());
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let names = fields_of(&path, "tcp", &["frame.interface_name", "frame.packet_flags_direction"]);
    let expected = [format!("{}:{}", host.name, bridge(lab, &network)), "0x00000002".to_owned()];
    assert!(names.len() == 4 && names.iter().all(|name| *name == expected), "{names:?}");
}

// As with dumpcap, and as SECURITY.md says.
fn a_member_of_the_capture_group_may_capture_the_host_itself(lab: &Lab) {
    let network = lab.network();
    let web = lab.container(&on(&network));
    let folder = folder();
    let program = copy(folder.path(), true);
    let path = folder.path().join("out.pcapng");
    let mut tap = as_nobody(lab, &program);
    tap.args(["tap", "--interface", &bridge(lab, &network), "--filter", "tcp port 80"]);
    tap.stdin(Stdio::piped()).stdout(File::create(&path).expect("a file"));
    let mut child = tap.spawn().expect("it starts");
    eventually("packets of the host's bridge", || {
        output(Command::new("curl").args([
            "-s",
            "-o",
            "/dev/null",
            &format!("http://{}/", web.address_on("eth0")),
        ]));
        !fields_of(&path, "http.request", &["frame.number"]).is_empty()
    });
    assert_no_capabilities(child.id());
    drop(child.stdin.take());
    child.wait().expect("it ends");
}

fn a_removed_host_interface_does_not_end_the_capture_of_others(lab: &Lab) {
    let (host, network, gone) = (idle(lab), lab.network(), lab.network());
    let other = lab.container(&on(&network));
    let options = ["-i", &bridge(lab, &network), "-i", &bridge(lab, &gone), "--filter", "tcp"];
    let recording = Recording::begin(lab, &[&host], &options);
    drop(gone);
    get(lab, &host, &other.address());
    let recorded = recording.stop();
    assert_eq!(recorded.fields("http.request", &["ip.dst"]), [[other.address()]]);
}

fn a_podman_container_in_the_host_network_is_captured(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let network = podman.network();
    let idle = ["--network", "host", "--interactive", "--entrypoint", "/bin/cat"];
    let (host, other) = (podman.container(&idle), podman.container(&["--network", &network.name]));
    let beside = self::idle(lab);
    let filter = format!("tcp and host {}", other.address());
    let recording = Recording::begin_with(podman::program(lab), &[&host.name], &["--filter", &filter]);
    let page = format!("http://{}/", other.address());
    podman.podman(&["exec", &host.name, "wget", "-q", "-O", "/dev/null", &page]);
    let recorded = recording.stop();
    let fields = ["ip.dst", "frame.packet_flags_direction", "frame.interface_description"];
    let requests = recorded.fields("http.request", &fields);
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0][..2], [other.address(), "0x00000002".to_owned()]);
    let description = &requests[0][2];
    assert!(description.contains("host network, interface cni-podman"), "{description}");
    // Other containers in the host network, of any engine.
    assert!(description.contains(&beside.name), "{description}");
}

/// With the program in a container.
fn interfaces_of_a_remote_host_are_not_mistaken_for_local_ones(lab: &Lab) {
    let network = lab.network();
    let (host, ours, other) = (idle(lab), lab.container(&[]), lab.container(&on(&network)));
    let program = env!("CARGO_BIN_EXE_containerdump");
    let within = || {
        let mut command = ours.enter(&[program]);
        command.env("DOCKER_HOST", &lab.endpoint).env("CONTAINERDUMP_ENGINES", "docker,netns");
        command
    };
    let object = described_by(within(), &host.name);
    let taps = object["attachments"].as_array().expect("attachments");
    assert!(taps.iter().all(|tap| tap["tap"] == "inside"), "{object}");
    let bridge = bridge(lab, &network);
    assert!(taps.iter().any(|tap| tap["interface"] == bridge), "{object}");
    let recording = Recording::begin_with(within(), &[&host.name], &["-i", &bridge, "-f", "tcp"]);
    get(lab, &host, &other.address());
    let recorded = recording.stop();
    let requests = recorded.fields("http.request", &["ip.dst", "frame.packet_flags_direction"]);
    assert_eq!(requests, [[other.address(), "0x00000002".to_owned()]]);
}
