//! Containers added without a veth pair of their own, and cleanup after removed ones.

use std::path::Path;
use std::process::Command;

use crate::support::following::Following;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, output};
use crate::support::podman::{self, Podman};
use crate::support::processes::taps;
use crate::support::recording::{fields_of, fields_so_far, interfaces_in, statistics_of};
use crate::support::rootless::RootlessUser;
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    a_container_started_in_the_host_network_is_reported_as_not_captured,
    a_named_namespace_created_later_is_captured,
    a_rootless_container_started_later_is_captured_without_privileges,
    a_container_joining_a_shared_namespace_is_named,
    a_pod_is_captured_on_after_its_first_member_ends,
    a_tap_container_ends_with_the_container_it_taps,
];

fn a_container_started_in_the_host_network_is_reported_as_not_captured(lab: &Lab) {
    let name = format!("hosts{}", std::process::id());
    let label = format!("hosts={name}");
    let run = ["run", "--detach", "--interactive", "--network", "host", "--entrypoint", "/bin/cat"];
    let more = ["--name", &name, "--label", &label, &lab.image];
    let named = Following::begin(lab.program(), &[&name, "--wait"]);
    let of_group = Following::begin(lab.program(), &["--label", &label, "--wait"]);
    lab.docker(&[&run[..], &more].concat());
    let container = lab.found(&name);
    for (following, why) in [
        (named, format!("container {name} cannot join a capture that runs: it uses the host's network")),
        (of_group, format!("{name} uses the network of the host")),
    ] {
        let expected = format!("not captured: {name} ({why})\n");
        eventually("it is told", || following.said() == expected);
        let (path, _folder) = following.stop();
        assert_eq!(interfaces_in(&path), 0);
    }
    drop(container);
}

/// At its host veth and inside; the namespace is a file without processes.
fn a_named_namespace_created_later_is_captured(lab: &Lab) {
    for (interface, address, tap) in
        [("eth0", "192.0.2.1", "host veth"), ("lo", "127.0.0.1", "inside the container")]
    {
        let name = format!("late{}{interface}", std::process::id());
        let mut program = lab.program();
        program.env("CONTAINERDUMP_ENGINES", "netns");
        // Only its loopback is known yet.
        let asked = if interface == "lo" { ["-i", "lo"] } else { ["-s", "65535"] };
        let value = format!("netns-{name}");
        let options = [&[&value, "--wait", "-f", "icmp"][..], &asked].concat();
        let following = Following::begin(program, &options);
        let ip = |arguments: &[&str]| output(Command::new("ip").args(arguments));
        let end = format!("l{}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        ip(&["link", "add", &end, "type", "veth", "peer", "name", "eth0", "netns", &name]);
        ip(&["-n", &name, "address", "add", "192.0.2.2/24", "dev", "eth0"]);
        ip(&["-n", &name, "link", "set", "eth0", "up"]);
        ip(&["address", "add", "192.0.2.1/24", "dev", &end]);
        ip(&["link", "set", &end, "up"]);
        eventually("it joins", || following.interfaces().len() == 1);
        let (shown, described) = following.interfaces().remove(0);
        assert!(shown.starts_with(&format!("{name}:")) && described.contains(tap), "{shown}: {described}");
        ip(&["netns", "exec", &name, "busybox", "ping", "-c", "2", "-W", "5", address]);
        let requests = || fields_so_far(following.path(), "icmp.type == 8", &["icmp.seq"]);
        eventually("the packets are there", || requests().len() == 2);
        ip(&["netns", "delete", &name]);
        eventually("its end is told", || following.said().contains(&format!("{name} has ended")));
        assert_eq!(following.interfaces().len(), 1);
        following.stop();
    }
}

fn a_rootless_container_started_later_is_captured_without_privileges(lab: &Lab) {
    let podman = Podman::rootless(lab);
    let owner = RootlessUser::new();
    let label = format!("late={}", std::process::id());
    let following = Following::begin_in(
        RootlessUser::folder(),
        owner.run(),
        &["--label", &label, "--wait", "-f", "icmp"],
    );
    let container = podman.container(&["--label", &label]);
    let block = format!("{}:tap0", container.name);
    following.wait_for(&block, 1);
    let described = following.interfaces().remove(0).1;
    assert!(described.contains("inside the container"), "{described}");
    let pid = container.pid();
    let inside = || {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--net", "--target", &pid]);
        nsenter
    };
    for process in taps(following.child.id()) {
        crate::support::processes::assert_no_capabilities(process);
    }
    let mut tcpdump = inside();
    tcpdump.arg("tcpdump");
    let witness = Tcpdump::with(tcpdump, "tap0", "icmp");
    output(inside().args(["busybox", "ping", "-c", "3", "10.0.2.2"]));
    witness.settle();
    let (path, _folder) = following.stop();
    let (witness, _witness_folder) = witness.stop();
    let of = |path: &Path| fields_of(path, "icmp", &["icmp.type", "icmp.ident", "icmp.seq"]);
    assert_eq!(of(&path), of(&witness));
    assert_eq!(of(&path).len(), 6);
}

fn a_container_joining_a_shared_namespace_is_named(lab: &Lab) {
    let label = format!("guests={}", std::process::id());
    let following = Following::begin(lab.program(), &["--label", &label, "--wait", "-f", "tcp port 80"]);
    let host = lab.container(&["--label", &label]);
    let block = format!("{}:eth0", host.name);
    following.wait_for(&block, 1);
    let network = format!("container:{}", host.name);
    let idle = ["--interactive", "--entrypoint", "/bin/cat"];
    let guest = lab.container(&[&["--label", &label, "--network", &network][..], &idle].concat());
    eventually("it is known", || following.said().contains(&format!("{} shares the network of", guest.name)));
    host.fetch(1);
    let third = lab.container(&["--label", &label]);
    following.wait_for(&format!("{}:eth0", third.name), 1);
    assert_eq!(taps(following.child.id()).len(), 2);
    let (path, _folder) = following.stop();
    assert_eq!(fields_of(&path, "http.request", &["frame.interface_name"]), [[block]]);
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
}

fn a_pod_is_captured_on_after_its_first_member_ends(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let pod = podman.pod();
    let label = format!("pods={}", std::process::id());
    let member = ["--pod", &pod.name, "--label", &label];
    let following =
        Following::begin(podman::program(lab), &["--label", &label, "--wait", "-f", "tcp port 80"]);
    let first = podman.container_with(&member, &["sleep", "9999"]);
    let block = format!("{}:eth0", first.name);
    following.wait_for(&block, 1);
    let second = podman.container(&member);
    eventually("it is known", || {
        following.said().contains(&format!("{} shares the network of", second.name))
    });
    podman.podman(&["kill", &first.name]);
    eventually("its end is told", || following.said().contains(&format!("{} has ended", first.name)));
    second.fetch();
    let (path, _folder) = following.stop();
    assert_eq!(fields_of(&path, "http.request", &["frame.interface_name"]), [[block]]);
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
}

fn a_tap_container_ends_with_the_container_it_taps(lab: &Lab) {
    let label = format!("taps={}", std::process::id());
    let options = ["--label", &label, "--wait", "--tap", "engine", "-f", "tcp port 80"];
    let (first, second) = (lab.container(&["--label", &label]), lab.container(&["--label", &label]));
    let following = Following::begin(lab.program(), &options);
    let third = lab.container(&["--label", &label]);
    let all = [&first, &second, &third].map(|container| format!("{}:eth0", container.name));
    for block in &all {
        following.wait_for(block, 1);
    }
    let session = following.child.id();
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{session}/task")).expect("its threads").flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "tap container").count()
    };
    assert_eq!(threads(), 3);
    // One from the start, and one added later.
    drop(first);
    drop(third);
    eventually("what they had is gone", || threads() == 1);
    second.fetch(1);
    let (path, _folder) = following.stop();
    assert_eq!(fields_of(&path, "http.request", &["frame.interface_name"]).concat(), [all[1].as_str()]);
}
