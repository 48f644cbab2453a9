//! Hosts without containerdump: the program is uploaded.

use std::process::Command;

use crate::real::ssh::elevation::described;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, output};
use crate::support::recording::Recording;
use crate::support::ssh_host::{SshHost, allow_sudo};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    ssh_uploads_containerdump_to_a_host_without_it,
    ssh_user_captures_with_the_uploaded_containerdump,
    ssh_uploads_to_another_directory_if_the_cache_is_noexec,
];

const CACHE: &str = "/root/.cache/containerdump";

/// A host without the program and with its own home directories.
fn bare(lab: &Lab) -> SshHost {
    let there = SshHost::bare(lab);
    there.inside("mount -t tmpfs -o mode=700 home /root; mount -t tmpfs -o mode=1777 tmp /var/tmp");
    there
}

/// Inodes and names of the files in a directory of the host.
fn files(there: &SshHost, folder: &str) -> String {
    there.inside(&format!("ls -i {folder} 2>/dev/null || true"))
}

/// The standard error of `list`.
fn said(there: &SshHost, options: &[&str]) -> String {
    let mut program = there.program();
    let listed = program.args(["list", "--host", "build1"]).args(options).output().expect("the program");
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.success(), "{said}");
    assert!(listed.stdout.starts_with(b"NAME"), "{said}");
    said
}

fn ssh_uploads_containerdump_to_a_host_without_it(lab: &Lab) {
    let there = bare(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let filter = format!("tcp and host {address}");
    let witness = Tcpdump::with(there.tcpdump(&web), "eth0", &filter);
    let recording = Recording::begin_by(there.program(), &[&web], &["--host", "build1", "-f", &filter]);
    let runs = there.runs();
    assert!(runs.len() == 1 && runs[0].starts_with("./containerdump-"), "{runs:?}");
    for _ in 0..20 {
        there.host.fetch(&other, &address);
    }
    let recorded = recording.stop_matching(witness);
    assert_eq!(recorded.said, "build1: uploaded containerdump 0.1.0 (not installed), running as root\n");
    let sent = files(&there, CACHE);
    let name = format!("containerdump-{}-", std::env::consts::ARCH);
    assert!(sent.lines().count() == 1 && sent.contains(&name), "{sent}");
    let is_whole = format!("cd {CACHE}; echo \"$(echo * | sed 's/.*-//')  $(echo *)\" | sha256sum --check");
    assert!(there.inside(&is_whole).ends_with(": OK"));
    // No second upload.
    let before = bytes_to(&there);
    assert_eq!(
        said(&there, &[]),
        "build1: using uploaded containerdump 0.1.0 (not installed), running as root\n"
    );
    assert_eq!(files(&there, CACHE), sent);
    assert!(bytes_to(&there) - before < 200_000, "{} bytes", bytes_to(&there) - before);
    // Programs of another protocol version or that cannot run do not prevent it.
    there.script("commands/containerdump", "#!/bin/sh\necho containerdump-peer 99 9.9.9\n");
    assert!(said(&there, &[]).contains(" (the installed version 9.9.9 is incompatible), "));
    there.script("commands/containerdump", "#!/bin/sh\nexit 2\n");
    assert!(said(&there, &[]).contains(" (the installed program cannot be started), "));
    let removed = output(there.program().args(["host", "clean", "build1"]));
    assert_eq!(removed, format!("build1: removed 1 file from {CACHE}"));
    assert_eq!(files(&there, CACHE), "");
    there.assert_cleaned_up();
}

/// Bytes sent to the host so far.
fn bytes_to(there: &SshHost) -> u64 {
    let path = format!("/sys/class/net/{}/statistics/tx_bytes", there.cable);
    std::fs::read_to_string(path).expect("a cable").trim().parse().expect("a number")
}

fn ssh_user_captures_with_the_uploaded_containerdump(lab: &Lab) {
    let there = bare(lab);
    let options = ["--host", "containerdump-lab@build1"];
    let (through_engine, said) = described(&there, &options);
    assert!(through_engine.contains("through the engine"), "{through_engine}");
    let first = "build1: uploaded containerdump 0.1.0 (not installed), running as an ordinary user\n";
    assert!(said.starts_with(first), "{said}");
    let cache = "/run/containerdump-lab/.cache/containerdump";
    let sent = files(&there, cache);
    assert_eq!(sent.lines().count(), 1, "{sent}");
    let modes = there.inside(&format!("stat --format '%a %U' {cache} {cache}/*"));
    assert_eq!(modes, "700 containerdump-lab\n700 containerdump-lab");
    allow_sudo(&there);
    let (as_root, said) = described(&there, &[&options[..], &["--sudo"]].concat());
    assert!(as_root.contains("host veth veth"), "{as_root}");
    assert!(
        said.contains("using uploaded containerdump 0.1.0 (not installed), running as root with sudo\n"),
        "{said}"
    );
    assert_eq!(files(&there, cache), sent);
    eventually("no tap container is left", || there.host.lab.docker(&["ps", "--quiet", "--all"]).is_empty());
    there.assert_cleaned_up();
}

fn ssh_uploads_to_another_directory_if_the_cache_is_noexec(lab: &Lab) {
    let there = bare(lab);
    there.inside("mount -o remount,noexec /root");
    let told = said(&there, &[]);
    assert!(told.contains(&format!("not used: {CACHE} does not allow programs to be started\n")), "{told}");
    let modes = there.inside("stat --format '%a %U' /var/tmp/containerdump.* /var/tmp/containerdump.*/*");
    assert_eq!(modes, "700 root\n700 root");
    assert!(said(&there, &[]).contains(" using uploaded "));
    // No space in the first directory, foreign files in the next.
    there.inside("umount /root; mount -t tmpfs -o mode=700,size=1M home /root; rm -r /var/tmp/*");
    there.inside("mkdir -m 777 /var/tmp/containerdump.abcdefghij; ln -s /etc /var/tmp/containerdump.link");
    there.inside("mkdir -m 700 /var/tmp/containerdump.theirs; chown 4242 /var/tmp/containerdump.theirs");
    let told = said(&there, &[]);
    assert!(told.contains(&format!("not used: {CACHE} did not receive the complete file\n")), "{told}");
    assert_eq!(
        files(&there, "/var/tmp/containerdump.abcdefghij /var/tmp/containerdump.theirs")
            .lines()
            .filter(|line| line.contains("x86"))
            .count(),
        0
    );
    assert!(said(&there, &[]).contains(" using uploaded "));
    assert_eq!(files(&there, CACHE), "");
    let removed = output(there.program().args(["host", "clean", "build1"]));
    assert!(removed.starts_with("build1: removed 1 file from /var/tmp/containerdump."), "{removed}");
    assert_eq!(there.inside("ls -d /var/tmp/containerdump.* | wc -l"), "3");
    // In no directory.
    there.inside("mount -o remount,noexec /root; mount -o remount,noexec /var/tmp; mount --bind /tmp /tmp; mount -o remount,bind,noexec /tmp");
    let mut program = there.program();
    let refused = Command::output(program.args(["list", "--host", "build1"])).expect("the program");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot upload containerdump to build1: "), "{said}");
    assert!(
        said.contains("; /tmp/containerdump.") && said.contains(" does not allow programs to be started."),
        "{said}"
    );
    assert_eq!(there.inside("ls -d /var/tmp/containerdump.* | wc -l"), "3", "nothing is left");
}
