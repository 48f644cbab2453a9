//! Captures and log files under sudo and doas: whose files are written, and with which rights.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::extcap_capture::ExtcapCapture;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, folder, output, start};
use crate::support::recording::statistics_of;
use crate::support::unprivileged::NOBODY;

pub(crate) const TESTS: &[Test] = tests![
    under_sudo_the_log_file_belongs_to_the_calling_user,
    under_doas_files_belong_to_the_calling_user,
    in_a_root_shell_of_doas_files_belong_to_root,
    an_unknown_user_of_doas_is_not_taken_for_root,
    files_of_the_caller_are_opened_without_capabilities,
];

const USER: u32 = 65534;

/// A folder that only `owner` can write to.
fn private_folder(owner: u32) -> TempDir {
    let folder = folder();
    chown(folder.path(), Some(owner), Some(owner)).expect("its owner");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("its mode");
    folder
}

fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    let about = path.metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (about.uid(), about.gid(), about.mode() & 0o777)
}

fn said(ended: &Output) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

/// The arguments of a short capture with a log.
fn short_capture(container: &Container, folder: &Path) -> (String, PathBuf, PathBuf) {
    let (path, log) = (folder.join("out.pcapng"), folder.join("log"));
    let (name, shown, shown_log) = (&container.name, path.display(), log.display());
    let program = env!("CARGO_BIN_EXE_containerdump");
    let command = format!(
        "{program} capture {name} -a duration:0.2 -w {shown} --log-level info --log-file {shown_log}"
    );
    (command, path, log)
}

fn under_sudo_the_log_file_belongs_to_the_calling_user(lab: &Lab) {
    let container = lab.container(&[]);
    let sudo = || {
        let mut command = lab.program();
        command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string());
        command
    };
    let folder = private_folder(USER);
    let (own, of_wireshark) = (folder.path().join("own"), folder.path().join("of-wireshark"));
    let mut capture = sudo();
    capture.args(["capture", &container.name, "-a", "duration:0.2", "-w", "-", "--log-file"]).arg(&own);
    let ended = end_of(start(&mut capture));
    assert!(ended.status.success(), "{}", said(&ended));
    let log = of_wireshark.to_str().expect("a path");
    ExtcapCapture::begin_by(sudo(), &container.interface(), &["--log-file", log]).stop();
    for log in [own, of_wireshark] {
        assert_eq!(owner_and_mode(&log), (USER, USER, 0o600), "{}", log.display());
    }
    // Where the user may not write, root's rights do not help.
    let roots = private_folder(0);
    let mut refused = sudo();
    refused.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]);
    let fifo = crate::support::lab::fifo(&roots);
    let child = start(refused.arg(&fifo).arg("--log-file").arg(roots.path().join("log")));
    fs::read(&fifo).expect("the FIFO");
    let ended = end_of(child);
    assert!(said(&ended).contains("cannot open log file"), "{}", said(&ended));
    assert!(!roots.path().join("log").exists());
}

/// Runs a command line as a user who may call doas.
fn as_user_of_doas(lab: &Lab, command: &str) -> Output {
    let script = "cp -a /etc $0/etc; mount --bind $0/etc /etc; \
                  echo 'permit nopass setenv { DOCKER_HOST CONTAINERDUMP_ENGINES } nobody' >/etc/doas.conf; \
                  chmod 600 /etc/doas.conf; exec \"$@\"";
    let etc = folder();
    let mut unshare = lab.program_at(Path::new("unshare"));
    unshare.args(["--mount", "bash", "-euc", script]).arg(etc.path()).args(NOBODY);
    unshare.args(["sh", "-c", command]).output().expect("unshare")
}

fn under_doas_files_belong_to_the_calling_user(lab: &Lab) {
    let container = lab.container(&[]);
    for prefix in ["doas", "doas timeout 9"] {
        let folder = private_folder(USER);
        let (command, path, log) = short_capture(&container, folder.path());
        let ended = as_user_of_doas(lab, &format!("{prefix} {command}"));
        assert!(ended.status.success(), "{prefix}: {}", said(&ended));
        statistics_of(&path);
        for file in [path, log] {
            assert_eq!(owner_and_mode(&file), (USER, USER, 0o600), "{prefix}: {}", file.display());
        }
    }
    let roots = private_folder(0);
    let ended = as_user_of_doas(lab, &format!("doas {}", short_capture(&container, roots.path()).0));
    assert!(!ended.status.success() && said(&ended).contains("Permission denied"), "{}", said(&ended));
    assert_eq!(fs::read_dir(roots.path()).expect("a folder").count(), 0);
}

fn in_a_root_shell_of_doas_files_belong_to_root(lab: &Lab) {
    let container = lab.container(&[]);
    let scripts = folder();
    let script = scripts.path().join("captures");
    for shell in ["doas sh -c 'COMMAND; :'".to_owned(), format!("doas {}", script.display())] {
        let roots = private_folder(0);
        let (command, path, log) = short_capture(&container, roots.path());
        fs::write(&script, format!("#!/bin/sh\n{command}\nexit $?\n")).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
        let ended = as_user_of_doas(lab, &shell.replace("COMMAND", &command));
        assert!(ended.status.success(), "{shell}: {}", said(&ended));
        for file in [path, log] {
            assert_eq!(owner_and_mode(&file), (0, 0, 0o600), "{shell}: {}", file.display());
        }
    }
}

fn an_unknown_user_of_doas_is_not_taken_for_root(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = folder();
    let mut command = lab.program();
    command.env("DOAS_USER", "no-such-user").args(["capture", &container.name, "-a", "duration:0.2", "-w"]);
    let ended = end_of(start(command.arg(folder.path().join("out.pcapng"))));
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(said(&ended).contains("cannot find user no-such-user, who called doas"), "{}", said(&ended));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    // An ordinary user gains nothing by the variable, and loses nothing.
    let mut list = Command::new(NOBODY[0]);
    list.args(&NOBODY[1..]).args(["env", "DOAS_USER=no-such-user", "CONTAINERDUMP_ENGINES=netns"]);
    output(list.arg(env!("CARGO_BIN_EXE_containerdump")).arg("list"));
}

fn files_of_the_caller_are_opened_without_capabilities(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = private_folder(USER);
    let trace = folder.path().join("trace");
    let mut strace = lab.program_at(Path::new("strace"));
    strace.args(["-f", "-e", "trace=capset,openat,prctl,setfsuid,setuid", "-o"]).arg(&trace);
    strace.args([
        env!("CARGO_BIN_EXE_containerdump"),
        "capture",
        &container.name,
        "-a",
        "duration:0.2",
        "-w",
    ]);
    strace.arg(folder.path().join("out.pcapng")).arg("--log-file").arg(folder.path().join("log"));
    let ended = end_of(start(strace.env("SUDO_UID", "65534").env("SUDO_GID", "65534")));
    assert!(ended.status.success(), "{}", said(&ended));
    let trace = fs::read_to_string(&trace).expect("the trace");
    // The first process only: taps and the broker write no files.
    let pid = trace.split_whitespace().next().expect("a line");
    let (mut effective, mut is_dumpable, mut opened) = (true, true, Vec::new());
    for line in trace.lines().filter_map(|line| line.strip_prefix(pid)).map(str::trim_start) {
        if line.starts_with("capset(") {
            effective = !line.contains("{effective=0,");
        } else if line.starts_with("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE") {
            is_dumpable = false;
        } else if line.starts_with("setuid(") || line.starts_with("setfsuid(") && !line.contains("(-1)") {
            // The kernel sets what fs.suid_dumpable says.
            is_dumpable = true;
        } else if ["/log\"", "out.pcapng\""].iter().any(|name| line.contains(name)) {
            assert!(!effective && !is_dumpable, "effective: {effective}, dumpable: {is_dumpable}: {line}");
            opened.push(line);
        }
    }
    assert_eq!(opened.len(), 2, "{trace}");
}
