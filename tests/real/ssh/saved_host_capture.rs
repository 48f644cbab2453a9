//! Captures by the names of saved hosts.

use serde_json::Value;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, folder, output};
use crate::support::recording::{Recording, fields_of};
use crate::support::ssh_host::SshHost;

pub(crate) const TESTS: &[Test] =
    tests![ssh_uses_a_saved_host_by_name, ssh_hosts_are_saved_for_the_user_of_sudo,];

fn ssh_uses_a_saved_host_by_name(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let home = folder();
    let program = || {
        let mut program = there.program();
        program.env("XDG_CONFIG_HOME", home.path());
        program
    };
    let key = there.path("key").display().to_string();
    let address = format!("root@{}:2222", there.address);
    output(program().args(["host", "add", "shop", &address, "--key", &key]));
    let listed = output(program().args(["list", "--json", "--host", "shop"]));
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(listed.iter().all(|one| one["host"] == "shop") && listed.len() == 2, "{listed:?}");
    let capture = Recording::begin_by(program(), &[&web], &["--host", "shop", "-f", "tcp port 80"]);
    let there_is = there.host.address(&web, "bridge");
    eventually("a request is there", || {
        there.host.fetch(&other, &there_is);
        !fields_of(&capture.path, "http.request", &["frame.number"]).is_empty()
    });
    let recorded = capture.stop();
    let names = recorded.fields("http.request", &["frame.interface_name"]).concat();
    assert_eq!(names[0], format!("{}:eth0", web.name));
    there.assert_cleaned_up();
}

fn ssh_hosts_are_saved_for_the_user_of_sudo(lab: &Lab) {
    let there = SshHost::start(lab);
    let command = there.path("commands/containerdump");
    there.inside(&format!(
        "HOME={} SUDO_UID=4242 SUDO_GID=4242 {} host add build9 ann@192.0.2.9",
        there.path("bin").display(),
        command.display()
    ));
    let file = "/run/containerdump-lab/.config/containerdump/hosts.json";
    assert_eq!(there.inside(&format!("stat -c '%U %a' {file}")), "containerdump-lab 600");
    assert!(there.inside(&format!("cat {file}")).contains("ann@192.0.2.9"));
    assert!(!there.path("bin/.config").exists(), "root's are left alone");
}
