//! Uploads to hosts with invalid replies, played by a fake `ssh`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::program::{NO_ENGINE, Running};

const PROBE: &str = "echo containerdump-probe; echo system Linux x86_64; echo user 0";
const PLACE: &str = "echo containerdump-deploy";
const ESCAPE: &str = r"\033]0;x\007\033[2J\302\233\342\200\256";

/// A host that replies to probe, offer and execution by shell scripts.
struct UploadHost(TempDir);

impl UploadHost {
    fn new(probe: &str, offered: &str, run: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssh");
        let script = format!(
            "#!/bin/bash\nfor last; do :; done\ncase $last in *containerdump-probe*) {probe} ;; \
             *size*) for n in 1 2 3 4 5; do read -r line; echo \"$line\" >>{0}/asked; done; {offered} ;; *far*) {run} ;; esac\n",
            folder.path().display(),
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        Self(folder)
    }

    /// The error of a failed list.
    fn complaint(&self) -> String {
        // Some wait for a timeout.
        let ended = self.asked();
        let reason = ended.0.split_once("\nRemedy: ").expect("a remedy").0.to_owned();
        assert_eq!(ended.1, Some(1), "{reason}");
        reason
    }

    fn asked(&self) -> (String, Option<i32>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_containerdump"));
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").expect("a PATH"));
        command.env("PATH", path).env("DOCKER_HOST", NO_ENGINE).args(["list", "--host", "build1"]);
        let ended = Running::start(&mut command).ended();
        (ended.stderr, ended.status.code())
    }
}

/// Whether a program to upload is built.
fn can_upload() -> bool {
    let is_here =
        Path::new(env!("CARGO_BIN_EXE_containerdump")).with_file_name("containerdump-x86_64").exists();
    assert!(is_here || std::env::var_os("CI").is_none(), "make test builds the static program");
    is_here
}

#[test]
fn a_stalled_upload_times_out() {
    if !can_upload() {
        return;
    }
    let hosts = [
        // The host never reads, never confirms, repeats itself, or is silent.
        format!("{PLACE} ready 0; exec sleep 600"),
        format!("{PLACE} ready 0; cat >/dev/null; exec sleep 600"),
        format!("{PLACE} ready 0; while sleep 1; do {PLACE} received 5; done"),
        "exec sleep 600".to_owned(),
    ];
    let is_given_up = |offered: &String| {
        let begun = Instant::now();
        let said = UploadHost::new(PROBE, offered, "").complaint();
        assert!(
            said.contains("cannot upload containerdump to build1: timed out waiting for the host"),
            "{said}"
        );
        assert!(begun.elapsed() > Duration::from_secs(10));
    };
    std::thread::scope(|scope| {
        for offered in &hosts {
            scope.spawn(|| is_given_up(offered));
        }
    });
}

#[test]
fn a_failed_upload_is_reported_in_one_message() {
    if !can_upload() {
        return;
    }
    let floods = UploadHost::new(PROBE, &format!("{PLACE} ready 0; cat /dev/zero"), "");
    assert!(floods.complaint().contains("unexpected output exceeds"));
    let floods = UploadHost::new(PROBE, &format!("while :; do {PLACE} skipped x; done"), "");
    assert!(floods.complaint().contains("unexpected output exceeds"));
    let breaks_off = UploadHost::new(PROBE, &format!("{PLACE} ready 0; exit 1"), "");
    assert!(breaks_off.complaint().contains("cannot upload containerdump to build1"));
    // It claims to have the program in a missing place, or more bytes than exist.
    let lies = UploadHost::new(
        PROBE,
        &format!("{PLACE} stored 0; {PLACE} exists 9; {PLACE} received 9999999999"),
        "",
    );
    assert!(lies.complaint().contains("cannot upload containerdump to build1: the connection was closed"));
    let again = UploadHost::new(PROBE, &format!("{PLACE} failed 0"), "");
    assert!(again.complaint().contains("cannot upload containerdump to build1"));
    let lies = UploadHost::new(PROBE, &format!("{PLACE} exists 0"), "exit 1");
    assert!(lies.complaint().contains("containerdump on build1 ended unexpectedly"));
    let another = PROBE.replace("Linux x86_64", "Linux riscv64");
    let said = UploadHost::new(&another, "", "").complaint();
    assert!(
        said.contains(
            "is not installed on build1, and cannot be uploaded: there is no program for its processor"
        ),
        "{said}"
    );
    let another = PROBE.replace("Linux x86_64", "Darwin arm64");
    let said = UploadHost::new(&another, "", "").complaint();
    assert!(
        said.contains("is not installed on build1, and cannot be uploaded: the host runs Darwin"),
        "{said}"
    );
}

#[test]
fn upload_messages_of_a_host_contain_no_control_characters() {
    if !can_upload() {
        return;
    }
    // `Running::ended` checks the output.
    let says = format!("printf 'containerdump-deploy skipped /{ESCAPE} {ESCAPE}\\n'");
    let said = UploadHost::new(PROBE, &format!("{says}; {PLACE} nofolder"), "").complaint();
    assert!(said.contains("cannot upload containerdump to build1: /"), "{said}");
    let (said, _) = UploadHost::new(PROBE, &format!("{says}; {PLACE} exists 1"), "exit 1").asked();
    assert!(said.contains("build1: not used: /"), "{said}");
}

#[test]
fn the_upload_offer_is_passed_on_standard_input() {
    if !can_upload() {
        return;
    }
    let host = UploadHost::new(PROBE, &format!("{PLACE} nofolder"), "");
    host.complaint();
    let asked = std::fs::read_to_string(host.0.path().join("asked")).expect("it was asked");
    let [name, digest, size, skip, trial] = asked.lines().collect::<Vec<_>>()[..] else { panic!("{asked}") };
    assert_eq!(name, format!("containerdump-x86_64-{digest}"));
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert!(size.parse::<u64>().is_ok_and(|size| size > 1_000_000), "{size}");
    assert_eq!([skip, trial], ["0", "#!/bin/sh"]);
}
