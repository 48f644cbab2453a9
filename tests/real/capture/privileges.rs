//! Capabilities of the program, private files, and hostile environments.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, fifo, folder, output, start};
use crate::support::processes::{assert_no_capabilities, children, core_limits};
use crate::support::recording::Recording;
use crate::support::unprivileged::{NOBODY, allow_engine_access, as_nobody, copy};

pub(crate) const TESTS: &[Test] = tests![
    no_thread_has_capabilities_while_packets_are_read,
    no_process_of_a_capture_writes_a_core_file,
    a_program_with_cap_net_raw_captures_for_an_unprivileged_user,
    a_program_with_cap_net_raw_ignores_a_hostile_environment,
    the_log_file_is_private_and_contains_no_secrets,
    under_sudo_files_belong_to_the_calling_user,
    a_missing_capture_permission_is_reported_with_a_remedy,
    a_failed_privilege_drop_ends_the_program_before_reading_packets,
];

fn no_thread_has_capabilities_while_packets_are_read(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &[]);
    container.fetch(1);
    assert_no_capabilities(recording.child.id());
    recording.stop();
}

fn no_process_of_a_capture_writes_a_core_file(lab: &Lab) {
    let container = lab.container(&[]);
    let mut prlimit = lab.program_at(Path::new("prlimit"));
    prlimit.args(["--core=unlimited", env!("CARGO_BIN_EXE_containerdump")]);
    let recording = Recording::begin_by(prlimit, &[&container], &["--follow"]);
    let capture = recording.child.id();
    let all = || {
        let brokers = children(capture);
        let taps = brokers.iter().flat_map(|broker| children(*broker)).collect::<Vec<_>>();
        [vec![capture], brokers, taps]
    };
    eventually("a broker and taps run", || all().iter().all(|kind| !kind.is_empty()));
    for process in all().concat() {
        // A tap that has just been forked is still a copy of the broker, which has the same limits.
        assert_eq!(
            core_limits(process),
            ("0".to_owned(), "0".to_owned()),
            "process {process} of {:?}",
            all()
        );
    }
    recording.stop();
}

fn a_program_with_cap_net_raw_captures_for_an_unprivileged_user(lab: &Lab) {
    allow_engine_access(lab);
    let container = lab.container(&[]);
    let folder = folder();
    let program = copy(folder.path(), true);
    let path = folder.path().join("out.pcapng");
    let child =
        start(as_nobody(lab, &program).args(["capture", &container.name, "-c", "6", "-w"]).arg(&path));
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
    assert_no_capabilities(child.id());
    container.fetch(1);
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn a_program_with_cap_net_raw_ignores_a_hostile_environment(lab: &Lab) {
    allow_engine_access(lab);
    let container = lab.container(&[]);
    let folder = folder();
    let program = copy(folder.path(), true);
    let evil = folder.path().join("evil");
    fs::create_dir(&evil).expect("a folder");
    let trap = evil.join("docker");
    fs::write(&trap, format!("#!/bin/sh\ntouch {}/sprung\n", folder.path().display())).expect("a trap");
    for name in ["ip", "nsenter", "tcpdump", "sh"] {
        fs::copy(&trap, evil.join(name)).expect("a trap");
    }
    for (name, value) in [
        ("LD_PRELOAD", "/nonexistent/evil.so"),
        ("PATH", evil.to_str().expect("a path")),
        ("RUST_LOG", "trace"),
        ("RUST_BACKTRACE", "full"),
        ("DOCKER_HOST", "tcp://127.0.0.1:1"),
        ("DOCKER_HOST", "ssh://-oProxyCommand=touch x"),
        ("TMPDIR", "/nonexistent"),
    ] {
        let mut command = as_nobody(lab, Path::new("/usr/bin/env"));
        command.arg(format!("{name}={value}")).arg(&program);
        let ended = command.args(["list", "--json"]).output().expect("a run");
        let code = ended.status.code().unwrap_or_else(|| panic!("{name}={value}: a signal"));
        assert!(code <= 1, "{name}={value}: status {code}");
    }
    // Closed standard streams and a low limit of descriptors.
    let script =
        format!("ulimit -n 8; exec {} capture {} -c 1 -w - <&- >&- 2>&-", program.display(), container.name);
    let mut starved = Command::new(NOBODY[0]);
    starved.args(&NOBODY[1..]).args(["sh", "-c", &script]).env("DOCKER_HOST", &lab.endpoint);
    let ended = end_of(start(&mut starved));
    assert!(ended.status.code().is_some(), "a signal: {:?}", ended.status);
    assert!(!folder.path().join("sprung").exists(), "a program of the environment's was run");
}

fn the_log_file_is_private_and_contains_no_secrets(lab: &Lab) {
    const MARK: &str = "marked-b2f1";
    let container =
        lab.container(&["--env", &format!("PASSWORD={MARK}"), "--label", &format!("token={MARK}")]);
    let folder = folder();
    let log = folder.path().join("log");
    let log_name = log.to_str().expect("a path");
    let recording = Recording::begin(lab, &[&container], &["--log-level", "noisy", "--log-file", log_name]);
    output(Command::new("curl").args(["-s", &format!("http://{}/{MARK}", container.address())]));
    let recorded = recording.stop();
    let mark = format!("http.request.uri contains \"{MARK}\"");
    assert_eq!(recorded.fields(&mark, &["frame.number"]).len(), 1, "it passed");
    let text = fs::read_to_string(&log).expect("the log");
    assert!(text.contains(&container.host_veth("eth0")), "{text}");
    assert!(!text.contains(MARK), "{text}");
    assert_eq!(log.metadata().expect("a file").mode() & 0o777, 0o600);
}

fn under_sudo_files_belong_to_the_calling_user(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = folder();
    nix::unistd::chown(folder.path(), Some(65534.into()), Some(65534.into())).expect("its owner");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("its mode");
    let path = folder.path().join("out.pcapng");
    let mut command = lab.program();
    command.env("SUDO_UID", "65534").env("SUDO_GID", "65534");
    let child = start(command.args(["capture", &container.name, "-c", "6", "-w"]).arg(&path));
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
    assert_no_capabilities(child.id());
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    assert!(
        status.contains("Uid:\t65534\t65534\t65534\t65534") && status.contains("Groups:\t65534 \n"),
        "{status}"
    );
    container.fetch(1);
    assert!(end_of(child).status.success());
    let about = path.metadata().expect("a file");
    assert_eq!((about.uid(), about.gid()), (65534, 65534));
}

fn a_missing_capture_permission_is_reported_with_a_remedy(lab: &Lab) {
    allow_engine_access(lab);
    let container = lab.container(&[]);
    let folder = folder();
    let program = copy(folder.path(), false);
    let fifo = fifo(&folder);
    nix::unistd::chown(&fifo, Some(65534.into()), Some(65534.into())).expect("its owner");
    let mut command = as_nobody(lab, &program);
    command.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]).arg(&fifo);
    let child = start(&mut command);
    // The FIFO is opened anyway: Wireshark 4.0 would hang.
    let stream = fs::read(&fifo).expect("the FIFO");
    assert_eq!(&stream[..4], [0x0a, 0x0d, 0x0d, 0x0a], "a section header and nothing else");
    let ended = end_of(child);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success());
    for part in [container.name.as_str(), "no permission to capture", "make install"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.lines().count() <= 2 && said.len() < 1000, "{said}");
}

fn a_failed_privilege_drop_ends_the_program_before_reading_packets(lab: &Lab) {
    let container = lab.container(&[]);
    // Each call of capset fails in turn.
    for call in 1..=4 {
        let folder = folder();
        let path = folder.path().join("out.pcapng");
        let inject = format!("inject=capset:error=EPERM:when={call}");
        let mut strace = lab.program_at(Path::new("strace"));
        strace.args(["-f", "-o", "/dev/null", "-e", &inject, env!("CARGO_BIN_EXE_containerdump")]);
        strace.args(["capture", &container.name, "-c", "1", "-w"]).arg(&path);
        let fetching = start(&mut strace);
        let ended = end_of(fetching);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success(), "call {call}: {said}");
        assert!(path.metadata().map_or(0, |about| about.len()) == 0, "call {call}: bytes were written");
    }
}
