//! Containers that share a network namespace: captured once, all named.

use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, output};
use crate::support::list_output::described_by;
use crate::support::podman::Podman;
use crate::support::recording::{Recorded, Recording, capinfos, named_fields_of};
use crate::support::rootless::RootlessUser;

pub(crate) const TESTS: &[Test] = tests![
    a_shared_namespace_is_captured_once_for_any_member,
    containers_sharing_a_namespace_without_a_network_are_named,
    containers_sharing_a_namespace_of_an_ended_container_are_named,
    containers_left_in_an_old_namespace_are_not_named_after_a_restart,
    containers_sharing_a_namespace_are_named_also_if_the_engine_does_not_list_it,
];

/// An idle container, like the pause container of a Kubernetes pod.
const IDLE: [&str; 3] = ["--interactive", "--entrypoint", "/bin/cat"];

fn guest(lab: &Lab, host: &Container, options: &[&str]) -> Container {
    lab.container(&[&["--network", &format!("container:{}", host.name)], options].concat())
}

/// Asserts one interface, named after the first of `captured`, whose description names all `members`.
fn assert_one(recorded: &Recorded, captured: &[&str], members: &[&str]) {
    assert_eq!(capinfos(&recorded.path, "Number of interfaces in file"), "1", "{captured:?}");
    let all = output(Command::new("capinfos").arg(&recorded.path));
    let line = |name: &str| {
        let found = all.lines().find_map(|line| line.trim().strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {all}")).to_owned()
    };
    assert!(line("Name = ").starts_with(&format!("{}:", captured[0])), "{all}");
    let description = line("Description = ");
    let (first, others) = description.split_once("; shared with ").expect("those who share it");
    assert!(first.contains(&format!("container {} (", captured[0])), "{description}");
    let mut others: Vec<&str> = others.split(", ").collect();
    others.sort_unstable();
    let mut expected: Vec<&str> = members.iter().copied().filter(|name| *name != captured[0]).collect();
    expected.sort_unstable();
    assert_eq!(others, expected, "{description}");
}

fn a_shared_namespace_is_captured_once_for_any_member(lab: &Lab) {
    let network = lab.network();
    let pause = lab.container(&[&["--network", network.name.as_str()], &IDLE[..]].concat());
    let web = guest(lab, &pause, &[]);
    let aside = guest(lab, &web, &IDLE);
    // Docker describes them by the id of the namespace's owner.
    let renamed = format!("{}-renamed", pause.name);
    lab.docker(&["rename", &pause.name, &renamed]);
    let members = [renamed.as_str(), &web.name, &aside.name];
    let [first, second, third] = members;
    for captured in [&[first][..], &[second], &[third], &[third, first, second]] {
        let recording = Recording::begin_with(lab.program(), captured, &["--filter", "tcp"]);
        web.fetch(1);
        let recorded = recording.stop();
        assert_one(&recorded, captured, &members);
        let rows = recorded.fields("http.request", &["frame.interface_description"]).concat();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!(rows[0].contains(&format!("network {}, host veth", network.name)), "{rows:?}");
        let names = named_fields_of(&recorded.path, "http.request", &["ip.dst_host"]);
        assert_eq!(names, [[captured[0]]]);
    }
    // The network can be selected by name for any member.
    let recording = Recording::begin(lab, &[&aside], &["-i", &network.name]);
    assert_one(&recording.stop(), &[third], &members);
    let object = described_by(lab.program(), &aside.name);
    assert_eq!(object["network_mode"], "shared");
    assert_eq!(object["networks"][0]["addresses"][0], web.address(), "{object}");
    lab.docker(&["rename", &renamed, &pause.name]);
}

fn containers_sharing_a_namespace_without_a_network_are_named(lab: &Lab) {
    let pause = lab.container(&[&["--network", "none"], &IDLE[..]].concat());
    let web = guest(lab, &pause, &[]);
    let aside = guest(lab, &web, &IDLE);
    let members = [pause.name.as_str(), &web.name, &aside.name];
    for captured in [&members[..1], &members[1..2], &members[2..]] {
        let recording = Recording::begin_with(lab.program(), captured, &["--filter", "tcp"]);
        output(&mut web.enter(&["curl", "-s", "-o", "/dev/null", "http://127.0.0.1/"]));
        let recorded = recording.stop();
        assert_eq!(recorded.fields("http.request", &["frame.number"]).len(), 1);
        assert_one(&recorded, captured, &members);
    }
}

fn containers_sharing_a_namespace_of_an_ended_container_are_named(lab: &Lab) {
    let pause = lab.container(&IDLE);
    let (web, aside) = (guest(lab, &pause, &[]), guest(lab, &pause, &IDLE));
    lab.docker(&["rm", "--force", &pause.name]);
    let captured = [web.name.as_str()];
    let recording = Recording::begin_with(lab.program(), &captured, &["-i", "lo"]);
    assert_one(&recording.stop(), &captured, &[&web.name, &aside.name]);
}

fn containers_left_in_an_old_namespace_are_not_named_after_a_restart(lab: &Lab) {
    let pause = lab.container(&IDLE);
    let (web, aside) = (guest(lab, &pause, &[]), guest(lab, &pause, &IDLE));
    // The restarted container gets a new namespace; the others keep the old one.
    lab.docker(&["restart", "--time", "0", &pause.name]);
    let recording = Recording::begin(lab, &[&pause], &["--filter", "tcp"]);
    let recorded = recording.stop();
    let said = output(Command::new("capinfos").arg(&recorded.path));
    assert!(said.contains(&format!("{}:eth0", pause.name)) && !said.contains("shared with"), "{said}");
    let captured = [web.name.as_str()];
    let recording = Recording::begin_with(lab.program(), &captured, &["-i", "lo"]);
    assert_one(&recording.stop(), &captured, &[&web.name, &aside.name]);
}

/// The list of rootless Podman has neither addresses nor network modes.
fn containers_sharing_a_namespace_are_named_also_if_the_engine_does_not_list_it(lab: &Lab) {
    let podman = Podman::rootless(lab);
    let pause = podman.container(&[]);
    let joined = format!("container:{}", pause.name);
    let web = podman.container(&[&["--network", joined.as_str()], &IDLE[..]].concat());
    let apart = podman.container(&[]);
    let captured = [pause.name.as_str()];
    let owner = RootlessUser::new();
    let recording = Recording::begin_with(owner.run(), &captured, &["-i", "lo"]);
    assert_one(&recording.stop(), &captured, &[&pause.name, &web.name]);
    drop(apart);
}
