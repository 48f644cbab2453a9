//! With which right containerdump runs on another host.

use crate::Test;
use crate::lab::{Lab, eventually};
use crate::recording::{Recording, capinfos, fields_of};
use crate::ssh::SshHost;

pub(crate) const TESTS: &[Test] =
    &[("an_ordinary_user_captures_through_the_engine_and_by_sudo_as_root_by_ssh", by_engine_and_by_sudo)];

fn by_engine_and_by_sudo(lab: &Lab) {
    let there = SshHost::start(lab);
    let host = "containerdump-lab@build1";
    let through_engine = described(&there, &["--host", host]).0;
    assert!(through_engine.contains("through the engine"), "{through_engine}");
    let refused = there.program().args(["list", "--sudo", "--host", host]).output().expect("the program");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("sudo: "), "{said}");
    let_it_be_root(&there);
    let as_root = described(&there, &["--host", host, "--sudo"]).0;
    assert!(as_root.contains("host veth veth"), "{as_root}");
    there.is_left_alone();
}

/// Captures a request by way of the host; how its interface is described, and what was said.
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

/// Lets the ordinary user there run everything as root.
pub(crate) fn let_it_be_root(there: &SshHost) {
    there.inside(
        "printf 'Defaults env_keep += \"DOCKER_HOST CONTAINERDUMP_ENGINES\"\\ncontainerdump-lab ALL = NOPASSWD: ALL\\n' \
         >/run/sudoers; chmod 440 /run/sudoers; mount --bind /run/sudoers /etc/sudoers; \
         (cat /etc/shadow; echo 'containerdump-lab:*:19000:0:99999:7:::') >/run/shadow; chmod 600 /run/shadow; \
         mount --bind /run/shadow /etc/shadow",
    );
}
