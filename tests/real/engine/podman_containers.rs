//! Containers of Podman as root, and its rootless service in the list.

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, output};
use crate::support::list_output::described_by;
use crate::support::podman::{Podman, program};
use crate::support::recording::{Recorded, Recording, capinfos, fields_of, named_fields_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    podman_and_docker_containers_are_listed_together,
    podman_packets_match_tcpdump,
    a_pod_is_captured_once_and_names_all_members,
    list_shows_the_networks_of_podman_containers,
];

/// Captures containers while `work` is done.
fn recorded(lab: &Lab, names: &[&str], work: impl FnOnce()) -> Recorded {
    let recording = Recording::begin_with(program(lab), names, &["--filter", "tcp"]);
    work();
    recording.stop()
}

fn podman_and_docker_containers_are_listed_together(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let network = podman.network();
    let (docker, one) = (lab.container(&[]), podman.container(&["--network", &network.name]));
    let said = output(program(lab).arg("--extcap-interfaces"));
    let image = podman.podman(&["inspect", "--format", "{{.ImageName}}", &one.name]);
    let wanted = format!("interface {{value=podman-{0}}}{{display={0} · {image} (Podman)}}", one.name);
    assert_eq!(said.lines().filter(|line| **line == wanted).count(), 1, "{wanted} in {said}");
    let at = |value: &str| said.find(&format!("{{value={value}}}")).expect("its line");
    assert!(at(&docker.interface()) < at(&format!("podman-{}", one.name)), "{said}");

    let object = described_by(program(lab), &one.name);
    assert_eq!(object["engine"], "podman");
    assert_eq!(object["network_mode"], "own");
    assert_eq!(object["networks"][0]["addresses"][0], one.address());
    let attachment = &object["attachments"][0];
    assert_eq!(attachment["interface"], "eth0", "{object}");
    assert_eq!(attachment["host_veth"], one.host_veth(), "{object}");
    assert_eq!(attachment["network"], network.name, "{object}");
    let table = output(program(lab).arg("list"));
    let row = table.lines().find(|line| line.starts_with(&one.name)).expect("its row");
    assert!(row.contains("  podman  ") && row.ends_with(&one.host_veth()), "{row}");
}

fn podman_packets_match_tcpdump(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let network = podman.network();
    let (one, other) =
        (podman.container(&["--network", &network.name]), podman.container(&["--network", &network.name]));
    let witness = Tcpdump::begin(&one.host_veth(), "tcp");
    let recorded = recorded(lab, &[&format!("podman-{}", one.name)], || {
        one.fetch();
        let page = format!("http://{}/", other.address());
        podman.podman(&["exec", &one.name, "wget", "-q", "-O", "/dev/null", &page]);
        witness.settle();
    });
    let (witness, _folder) = witness.stop();
    let frames_in = |path| {
        let mut frames = fields_of(path, "tcp", &["frame.len", "tcp.seq_raw", "tcp.ack_raw", "tcp.checksum"]);
        frames.sort();
        frames
    };
    let frames = frames_in(&recorded.path);
    assert!(frames.len() > 10 && frames == frames_in(&witness), "the frames differ: {frames:?}");
    let directions = recorded.fields("http.request", &["ip.dst", "frame.packet_flags_direction"]);
    let expected = [[one.address(), "0x00000001".to_owned()], [other.address(), "0x00000002".to_owned()]];
    assert_eq!(directions, expected);
    let names = recorded.fields("http.request", &["frame.interface_name", "frame.interface_description"]);
    assert_eq!(names[0][0], format!("{}:eth0", one.name));
    assert!(names[0][1].starts_with(&format!("podman container {}", one.name)), "{names:?}");
    assert!(names[0][1].contains(&format!("network {}", network.name)), "{names:?}");
}

fn a_pod_is_captured_once_and_names_all_members(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let pod = podman.pod();
    let web = podman.container(&["--pod", &pod.name]);
    let aside = podman.container(&["--pod", &pod.name, "--entrypoint", "/bin/yes"]);
    let infra = podman.podman(&["pod", "inspect", "--format", "{{.InfraContainerID}}", &pod.name]);
    let infra = podman.podman(&["inspect", "--format", "{{.Name}}", &infra]);
    for captured in [&[web.name.as_str()][..], &[&web.name, &aside.name, &infra]] {
        let recorded = recorded(lab, captured, || web.fetch());
        let rows = recorded.fields("http.request", &["frame.interface_name", "frame.interface_description"]);
        assert_eq!(rows.len(), 1, "{rows:?}");
        // The name of the captured container among those with this address.
        let names = named_fields_of(&recorded.path, "http.request", &["ip.dst_host"]);
        assert_eq!(names, [[captured[0]]]);
        assert_eq!(capinfos(&recorded.path, "Number of interfaces in file"), "1");
        for name in [&web.name, &aside.name, &infra] {
            assert!(rows[0][1].contains(name.as_str()), "{name} in {rows:?}");
        }
    }
    assert_eq!(described_by(program(lab), &aside.name)["network_mode"], "shared");
}

fn list_shows_the_networks_of_podman_containers(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let none = podman.container(&["--network", "none"]);
    let host = podman.container(&["--network", "host", "--entrypoint", "/bin/yes"]);
    assert_eq!(described_by(program(lab), &none.name)["network_mode"], "none");
    let object = described_by(program(lab), &host.name);
    assert_eq!(object["network_mode"], "host", "{object}");
    let taps = object["attachments"].as_array().expect("attachments");
    assert!(
        !taps.is_empty() && taps.iter().all(|tap| tap["tap"] == "host" && tap["host_veth"].is_null()),
        "{object}"
    );
}
