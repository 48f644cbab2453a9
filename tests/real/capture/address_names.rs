//! Resolved names of addresses, as shown by tshark.

use std::path::Path;
use std::process::Command;

use pcap_parser::{Block, NameRecordType};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab};
use crate::support::podman::Podman;
use crate::support::recording::{Recorded, Recording, each_block, named_fields_of};

pub(crate) const TESTS: &[Test] = tests![
    containers_gateways_and_docker_dns_have_names,
    network_aliases_of_a_container_are_written_as_names,
    podman_services_and_gateways_have_names,
];

/// Source and destination names of matching packets, without repetition.
fn ends(recorded: &Recorded, filter: &str, version: &str) -> Vec<[String; 2]> {
    let (source, destination) = (format!("{version}.src_host"), format!("{version}.dst_host"));
    let shown = named_fields_of(&recorded.path, filter, &[&source, &destination]);
    let mut ends: Vec<[String; 2]> = shown.into_iter().filter_map(|ends| ends.try_into().ok()).collect();
    ends.dedup();
    ends
}

/// The names of an address in the file, by an independent parser.
fn names_of(path: &Path, address: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    each_block(path, |block| {
        let Block::NameResolution(block) = block else { return };
        let records = block.nr.iter();
        for record in
            records.filter(|one| matches!(one.record_type, NameRecordType::Ipv4 | NameRecordType::Ipv6))
        {
            if let Some(told) = record.record_value.strip_prefix(address) {
                let name = told.split(|byte| *byte == 0).next().unwrap_or_default();
                names.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    });
    names
}

fn exec(lab: &Lab, container: &Container, command: &[&str]) {
    // The request need not be answered.
    let mut docker = Command::new("docker");
    docker.args(["--host", &lab.endpoint, "exec", &container.name]).args(command).output().expect("docker");
}

fn containers_gateways_and_docker_dns_have_names(lab: &Lab) {
    let network = lab.network_with(&["--ipv6", "--subnet", "fd00:77:1::/64"]);
    let (web, other) =
        (lab.container(&["--network", &network.name]), lab.container(&["--network", &network.name]));
    let template =
        format!("{{{{(index .NetworkSettings.Networks \"{}\").GlobalIPv6Address}}}}", network.name);
    let sixth = lab.docker(&["inspect", "--format", &template, &other.name]);
    let recording = Recording::begin(lab, &[&web], &["-i", &network.name]);
    exec(lab, &web, &["ping", "-c", "1", "-W", "5", "fd00:77:1::1"]);
    exec(lab, &web, &["ping", "-c", "1", "-W", "5", &sixth]);
    // From the host, whose address there is the gateway's.
    web.fetch(1);
    let recorded = recording.stop();
    let gateway = format!("gateway.{}", network.name);
    assert_eq!(ends(&recorded, "http.request", "ip"), [[gateway.as_str(), &web.name]]);
    let pings = ends(&recorded, "icmpv6.type == 128", "ipv6");
    assert_eq!(pings, [[web.name.as_str(), &gateway], [&web.name, &other.name]]);
    // Docker's DNS server, whose packets stay on lo.
    let recording = Recording::begin(lab, &[&web], &["-i", "lo", "--tap", "inside"]);
    exec(lab, &web, &["nslookup", &other.name]);
    let asked = ends(&recording.stop(), "ip.dst == 127.0.0.11", "ip");
    assert!(asked.iter().any(|[_, to]| to == "docker-dns"), "{asked:?}");
}

fn network_aliases_of_a_container_are_written_as_names(lab: &Lab) {
    let network = lab.network();
    let labels =
        ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=front"];
    let options = ["--network", &network.name, "--network-alias", "www"];
    let web = lab.container(&[&options[..], &labels].concat());
    let recording = Recording::begin(lab, &[&web], &[]);
    web.fetch(1);
    let recorded = recording.stop();
    let address: std::net::Ipv4Addr = web.address().parse().expect("an address");
    assert_eq!(names_of(&recorded.path, &address.octets()), ["www", "front", &web.name]);
    assert_eq!(ends(&recorded, "http.request", "ip")[0][1], web.name, "the last is shown");
    // The address of the sandbox's eth0, which is on no bridge; other sandboxes have the same.
    let names = names_of(&recorded.path, &[198, 18, 0, 2]);
    assert!(names.iter().any(|name| name == "host"), "{names:?}");
}

fn podman_services_and_gateways_have_names(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let network = podman.network();
    let service = ["--label", "com.docker.compose.service=front"];
    let web = podman.container(&[&["--network", network.name.as_str()], &service[..]].concat());
    let recording = Recording::begin_with(crate::support::podman::program(lab), &[&web.name], &[]);
    web.fetch();
    let recorded = recording.stop();
    assert_eq!(
        ends(&recorded, "http.request", "ip"),
        [[format!("gateway.{}", network.name), web.name.clone()]]
    );
    let address: std::net::Ipv4Addr = web.address().parse().expect("an address");
    assert_eq!(names_of(&recorded.path, &address.octets()), ["front", &web.name]);
}
