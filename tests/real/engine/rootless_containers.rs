//! Containers of a rootless engine, captured by its user without privileges.

use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, output};
use crate::support::list_output::described_by;
use crate::support::podman::Podman;
use crate::support::rootless::RootlessUser;

pub(crate) const TESTS: &[Test] = tests![
    a_rootless_container_is_captured_by_its_owner_without_privileges,
    a_rootless_container_on_a_bridge_is_captured_by_its_owner_without_privileges,
    a_container_of_rootless_docker_is_captured_by_its_owner_without_privileges,
    a_capture_in_a_user_namespace_stays_undumpable,
];

fn a_rootless_container_is_captured_by_its_owner_without_privileges(lab: &Lab) {
    let podman = Podman::rootless(lab);
    let container = podman.container(&[]);
    let owner = RootlessUser::new();
    let said = output(owner.run().arg("--extcap-interfaces"));
    assert!(said.contains(&format!("interface {{value=podman-{}}}", container.name)), "{said}");
    // Root's Podman runs too, with an inaccessible socket.
    assert!(!said.contains("containerdump-podman"), "{said}");
    let object = described_by(owner.run(), &container.name);
    assert_eq!(object["engine"], "podman");
    let taps = object["attachments"].as_array().expect("attachments");
    assert!(taps.iter().all(|attachment| attachment["tap"] == "inside"), "{object}");
    // The host's end of slirp4netns answers pings.
    owner.captures(&container.name, &container.pid(), "tap0", "10.0.2.2");
}

fn a_rootless_container_on_a_bridge_is_captured_by_its_owner_without_privileges(lab: &Lab) {
    let podman = Podman::rootless(lab);
    // Its usual bridge: Podman 4.3 does not find a network made since a rootless service started.
    let container = podman.container(&["--network", "podman"]);
    let owner = RootlessUser::new();
    let gateway = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}";
    let gateway = podman.podman(&["inspect", "--format", gateway, &container.name]);
    owner.captures(&container.name, &container.pid(), "eth0", &gateway);
}

fn a_container_of_rootless_docker_is_captured_by_its_owner_without_privileges(lab: &Lab) {
    let endpoint = std::env::var("CONTAINERDUMP_LAB_ROOTLESS_DOCKER")
        .expect("a rootless Docker, whose rootlesskit tests/lab/packages test installs");
    let rootless = Lab { endpoint, image: lab.image.clone() };
    let container = rootless.container(&[]);
    let owner = RootlessUser::new();
    let said = output(owner.run().arg("--extcap-interfaces"));
    assert!(said.contains(&format!("interface {{value=docker-{}}}", container.name)), "{said}");
    let gateway = rootless.docker(&[
        "inspect",
        "--format",
        "{{.NetworkSettings.Networks.bridge.Gateway}}",
        &container.name,
    ]);
    owner.captures(&container.name, &container.pid, "eth0", &gateway);
}

fn a_capture_in_a_user_namespace_stays_undumpable(lab: &Lab) {
    let podman = Podman::rootless(lab);
    let container = podman.container(&[]);
    let (owner, folder) = (RootlessUser::new(), RootlessUser::folder());
    let trace = folder.path().join("trace");
    let program = owner.run();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=setns,prctl", "-o"]).arg(&trace);
    strace.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace.args(["capture", &container.name, "-a", "duration:0.2", "-w"]);
    output(strace.arg(folder.path().join("out.pcapng")));
    let trace = std::fs::read_to_string(trace).expect("the trace");
    let entered = |line: &str| line.contains("CLONE_NEWUSER") && line.ends_with("= 0");
    let next = trace.lines().skip_while(|line| !entered(line)).nth(1).expect("another call");
    assert!(next.contains("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0"), "{trace}");
}
