//! Privileges of containerdump on another host: root, engine, sudo, doas.

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually};
use crate::support::recording::{Recording, capinfos, fields_of};
use crate::support::ssh_host::{SshHost, allow_sudo};

pub(crate) const TESTS: &[Test] =
    tests![ssh_user_captures_through_the_engine_or_with_sudo, ssh_user_captures_with_doas,];

fn ssh_user_captures_through_the_engine_or_with_sudo(lab: &Lab) {
    let there = SshHost::start(lab);
    let host = "containerdump-lab@build1";
    let through_engine = described(&there, &["--host", host]).0;
    assert!(through_engine.contains("through the engine"), "{through_engine}");
    let refused = there.program().args(["list", "--sudo", "--host", host]).output().expect("the program");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("sudo: "), "{said}");
    assert!(said.contains("cannot become root on containerdump-lab@build1: sudo: "), "{said}");
    allow_sudo(&there);
    let as_root = described(&there, &["--host", host, "--sudo"]).0;
    assert!(as_root.contains("host veth veth"), "{as_root}");
    there.assert_cleaned_up();
}

fn ssh_user_captures_with_doas(lab: &Lab) {
    let there = SshHost::start(lab);
    let host = "containerdump-lab@build1";
    let list = || there.program().args(["list", "--doas", "--host", host]).output().expect("the program");
    // The host gets its own /etc/doas.conf, without permissions first.
    there.inside("cp -a /etc /run/etc; mount --bind /run/etc /etc; rm -f /etc/doas.conf");
    let refused = list();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("doas: "), "{said}");
    allow_sudo(&there);
    // Without PAM a password would be requested; -n fails instead.
    there.inside("echo 'permit containerdump-lab' >/etc/doas.conf");
    let refused = list();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("doas: "), "{said}");
    there.inside(
        "echo 'permit nopass setenv { DOCKER_HOST CONTAINERDUMP_ENGINES } containerdump-lab' >/etc/doas.conf",
    );
    let as_root = described(&there, &["--host", host, "--doas"]).0;
    assert!(as_root.contains("host veth veth"), "{as_root}");
    there.assert_cleaned_up();
}

/// Captures a request on the host. Returns the interface description and standard error.
pub(crate) fn described(there: &SshHost, options: &[&str]) -> (String, String) {
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let recording = Recording::begin_with(there.program(), &[&web.name], options);
    let description = ["frame.interface_description"];
    eventually("a request is there", || {
        there.host.fetch(&other, &address);
        !fields_of(&recording.path, "http.request", &description).is_empty()
    });
    let recorded = recording.stop();
    assert_eq!(capinfos(&recorded.path, "Number of interfaces in file"), "1");
    (recorded.fields("http.request", &description).concat().swap_remove(0), recorded.said)
}
