//! `containerdump list --host` and its errors.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, output};
use crate::support::ssh_host::SshHost;

pub(crate) const TESTS: &[Test] = tests![
    ssh_lists_the_containers_of_a_host,
    ssh_encrypts_by_aes_gcm_unless_ciphers_are_configured,
    ssh_refuses_a_changed_host_key,
    ssh_reports_a_missing_or_different_containerdump,
];

fn ssh_lists_the_containers_of_a_host(lab: &Lab) {
    let there = SshHost::start(lab);
    let web = there.host.lab.container(&[]);
    let printed =
        output(there.program().args(["list", "--json", "--host", "build1", "--host", "root@build2"]));
    let listed: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(listed.len(), 2, "{printed}");
    for (one, host) in listed.iter().zip(["build1", "build2"]) {
        assert_eq!([&one["host"], &one["name"], &one["id"]], [host, &web.name, &web.id], "{one}");
        assert_eq!(one["attachments"][0]["tap"], "host", "{one}");
        let veth = one["attachments"][0]["host_veth"].as_str().expect("a name");
        assert!(there.inside("ip -o link").contains(&format!(" {veth}@")), "{one}");
    }
    let table = output(there.program().args(["list", "--host", "build1"]));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..2], ["NAME", "ENGINE"]);
    assert_eq!(rows[1][..2], [&web.name, "docker"]);
    let taps = output(there.program().args(["list", "-v", "--host", "build1"]));
    assert!(taps.starts_with(&format!("{} (docker-{0}, ", web.name)), "{taps}");
    let veth = taps.split("* host    host veth ").nth(1).and_then(|rest| rest.lines().next()).expect(&taps);
    assert!(there.inside("ip -o link").contains(&format!(" {veth}@")), "{taps}");
    there.assert_cleaned_up();
}

fn ssh_encrypts_by_aes_gcm_unless_ciphers_are_configured(lab: &Lab) {
    let processor = fs::read_to_string("/proc/cpuinfo").expect("the processor");
    let has_aes = processor.split_whitespace().any(|flag| flag == "aes");
    let there = SshHost::start(lab);
    there.serve_with("LogLevel DEBUG1");
    // As the server writes it.
    let cipher = |host: &str| {
        output(there.program().args(["list", "--host", host]));
        let log = fs::read_to_string(there.path("sshd.log")).expect("the server's log");
        let line = log.lines().rfind(|line| line.contains("kex: client->server cipher: ")).expect(&log);
        line.split("cipher: ").nth(1).and_then(|rest| rest.split(' ').next()).expect(line).to_owned()
    };
    let usual = if has_aes { "aes128-gcm@openssh.com" } else { "chacha20-poly1305@openssh.com" };
    assert_eq!(cipher("build1"), usual);
    there.configure("Host build2\n Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com\n");
    assert_eq!(cipher("root@build2"), "chacha20-poly1305@openssh.com");
}

/// The error of `list` without a terminal.
fn complaint(there: &SshHost, host: &str) -> String {
    let mut program = there.program();
    let mut alone = Command::new("setsid");
    alone.arg("--wait").arg(program.get_program()).args(["list", "--no-upload", "--host", host]);
    alone.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    program.args(["list"]);
    let ended = alone.output().expect("the program");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert_eq!(ended.stdout, b"");
    said
}

fn ssh_refuses_a_changed_host_key(lab: &Lab) {
    let there = SshHost::start(lab);
    there.trust("other.pub");
    let changed = complaint(&there, "build1");
    assert!(changed.contains("cannot connect to build1: its host key has changed"), "{changed}");
    fs::write(there.path("known_hosts"), "").expect("known hosts");
    let unknown = complaint(&there, "build1");
    assert!(unknown.contains("cannot connect to build1: its host key is not known"), "{unknown}");
    assert_eq!(fs::read_to_string(there.path("known_hosts")).expect("known hosts"), "", "it was not trusted");
    there.trust("hostkey.pub");
    let denied = complaint(&there, "stranger@build1");
    assert!(
        denied.contains("cannot connect to stranger@build1: login refused (no key was accepted)"),
        "{denied}"
    );
    let refused = complaint(&there, "build1:2223");
    assert!(refused.contains("cannot connect to build1:2223: nothing listens on that port"), "{refused}");
    let nameless = complaint(&there, "no-such-host.invalid");
    assert!(nameless.contains("unknown host name"), "{nameless}");
    there.assert_cleaned_up();
}

fn ssh_reports_a_missing_or_different_containerdump(lab: &Lab) {
    let there = SshHost::bare(lab);
    assert!(complaint(&there, "build1").contains("containerdump is not installed on build1"));
    there.script("commands/containerdump", "#!/bin/sh\necho containerdump-peer 99 9.9.9\n");
    let other = complaint(&there, "build1");
    assert!(other.contains("containerdump 9.9.9 on build1 is incompatible"), "{other}");
    there.script("commands/containerdump", "#!/bin/sh\nexit 2\n");
    assert!(complaint(&there, "build1").contains("containerdump cannot be started on build1"));
    there.script("bin/ssh", "#!/nonexistent\n");
    let no_ssh = complaint(&there, "build1");
    assert!(no_ssh.contains("cannot connect to build1: "), "{no_ssh}");
}
