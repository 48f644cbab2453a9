//! Which tap is used: the best one, or the requested one.

use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Exclusive, Lab, Network, end_of, fifo, folder, output, start};
use crate::support::recording::{Recording, fields_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    the_requested_tap_is_used,
    a_tap_can_be_requested_in_the_wireshark_dialog,
    a_tap_without_packets_of_the_container_is_refused,
    an_unavailable_tap_is_refused_with_the_reason,
    list_shows_every_tap_and_why_it_is_unavailable,
];

/// The program without capabilities.
fn powerless(lab: &Lab) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", env!("CARGO_BIN_EXE_containerdump")]);
    command.env("DOCKER_HOST", &lab.endpoint).env("CONTAINERDUMP_ENGINES", "docker,netns");
    command
}

/// A container without a host veth.
fn without_veth(lab: &Lab) -> (Exclusive<Network>, Container) {
    let network = lab.macvlan();
    let container = lab.container(&["--network", &network.name]);
    (network, container)
}

fn the_requested_tap_is_used(lab: &Lab) {
    let container = lab.container(&[]);
    for (tap, place) in [
        ("host", format!("host veth {}", container.host_veth("eth0"))),
        ("inside", "eth0 inside the container".to_owned()),
        ("auto", format!("host veth {}", container.host_veth("eth0"))),
    ] {
        let witness = Tcpdump::inside(&container, "eth0", "tcp");
        let recording = Recording::begin(lab, &[&container], &["--tap", tap, "-f", "tcp"]);
        container.fetch(1);
        let recorded = recording.stop_matching(witness);
        let described = recorded.fields("http.request", &["frame.interface_description"]).concat();
        assert!(described[0].contains(&place), "{tap}: {described:?}");
        let inbound = recorded.fields("http.request", &["frame.packet_flags"]).concat();
        assert_eq!(inbound, ["0x00000001"], "{tap}");
    }
}

fn a_tap_can_be_requested_in_the_wireshark_dialog(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = folder();
    let fifo = fifo(&folder);
    let mut command = lab.program();
    command.args(["--capture", "--extcap-interface", &container.interface(), "--tap", "inside"]);
    let child = start(command.arg("--fifo").arg(&fifo));
    let path = folder.path().join("copy.pcapng");
    let copy =
        start(Command::new("dd").arg(format!("if={}", fifo.display())).arg(format!("of={}", path.display())));
    crate::support::lab::eventually("the capture begins", || {
        path.metadata().is_ok_and(|about| about.len() > 100)
    });
    container.fetch(1);
    crate::support::lab::signal(&child, "TERM");
    assert!(end_of(child).status.success());
    end_of(copy);
    let described = fields_of(&path, "http.request", &["frame.interface_description"]).concat();
    assert!(described[0].contains("eth0 inside the container"), "{described:?}");
}

fn refusal(command: &mut Command, container: &Container, options: &[&str]) -> String {
    let ended = end_of(start(
        command.args(["capture", &container.name, "-w", "/dev/null", "--overwrite"]).args(options),
    ));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    said
}

fn a_tap_without_packets_of_the_container_is_refused(lab: &Lab) {
    let (_network, container) = without_veth(lab);
    let said = refusal(&mut lab.program(), &container, &["--tap", "host"]);
    assert!(said.contains(&format!("{}:eth0", container.name)), "{said}");
    assert!(
        said.contains("this tap does not exist for it") && said.contains("containerdump list -v"),
        "{said}"
    );
}

fn an_unavailable_tap_is_refused_with_the_reason(lab: &Lab) {
    let container = lab.container(&[]);
    let said = refusal(&mut powerless(lab), &container, &["--tap", "inside"]);
    assert!(said.contains("only root may enter it"), "{said}");
    assert!(said.contains(&format!("sudo containerdump capture {}", container.name)), "{said}");
    let said = refusal(&mut powerless(lab), &container, &["--tap", "host"]);
    assert!(said.contains("no permission to capture"), "{said}");
    assert!(said.contains("sudo usermod -aG wireshark"), "{said}");
}

/// The first words of the lines of `list -v` about a container.
fn explained(command: &mut Command, container: &Container) -> Vec<String> {
    let said = output(command.args(["list", "-v"]));
    let head = format!("{} (", container.name);
    let mine = said.lines().skip_while(|line| !line.starts_with(&head)).skip(1);
    mine.take_while(|line| line.starts_with(' ')).map(|line| line.trim().to_owned()).collect()
}

fn list_shows_every_tap_and_why_it_is_unavailable(lab: &Lab) {
    let container = lab.container(&[]);
    let lines = explained(&mut lab.program(), &container);
    assert_eq!(lines[0], "eth0, network bridge", "{lines:?}");
    assert_eq!(lines[1], format!("* host    host veth {}", container.host_veth("eth0")), "{lines:?}");
    assert_eq!(lines[2], "inside  eth0 inside the container", "{lines:?}");
    assert!(lines.contains(&"lo, captured on request only: -i lo".to_owned()), "{lines:?}");
    let lines = explained(&mut powerless(lab), &container);
    assert!(lines[1].starts_with("host    no permission to capture (remedy: "), "{lines:?}");
    assert!(lines[2].starts_with("inside  only root may enter it (remedy: sudo "), "{lines:?}");
}
