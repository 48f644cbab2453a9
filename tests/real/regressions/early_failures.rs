//! Captures that fail early, at the other end of Wireshark's pipes; what other processes see of a capture.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, output, signal, start};
use crate::support::podman::Podman;
use crate::support::rootless::RootlessUser;
use crate::support::toolbar_pipes::{ToolbarCapture, ToolbarPipes};

pub(crate) const TESTS: &[Test] = tests![
    a_failed_capture_waits_until_wireshark_opens_the_control_pipe,
    a_capture_with_a_closed_reader_waits_until_wireshark_opens_the_control_pipe,
    a_failed_capture_ends_if_wireshark_does_not_open_the_control_pipe,
    a_failed_capture_ends_at_once_on_sigterm_or_without_wireshark,
    a_rootless_container_with_host_pids_cannot_inspect_the_capture,
];

/// How often each capture is started.
const STARTS: usize = 10;
/// Wireshark opens the control pipe some 30 ms after the start; later on a busy machine.
const LATER: Duration = Duration::from_millis(150);
/// How long a capture waits for Wireshark at most (`extcap/wireshark/pipe_guard.rs`).
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A program, its options, and what it says.
type Failure<'a> = (fn(&Lab) -> Command, &'a [&'a str], &'a str);

fn a_failed_capture_waits_until_wireshark_opens_the_control_pipe(lab: &Lab) {
    // A capture that fails early freezes Wireshark's window: the control pipe has no reader when it is opened.
    let container = lab.container(&[]);
    let here = container.interface();
    let plain: fn(&Lab) -> Command = Lab::program;
    let failures: &[Failure] = &[
        (plain, &[], "no"),
        (plain, &["--extcap-interface", "docker-gone"], "gone"),
        (plain, &["--extcap-interface", "containerdump-docker"], "cannot capture containerdump-docker"),
        (plain, &["--extcap-interface", &here, "--extcap-capture-filter", "tcp prot 80"], "tcp prot 80"),
        (plain, &["--extcap-interface", &here, "--snap-length", "x"], "invalid value for --snap-length"),
        (plain, &["--extcap-interface", &here, "--tap", "nonsense"], "invalid value for --tap"),
        (plain, &["--extcap-interface", &here, "--log-file", "/nonexistent/log"], "cannot open log file"),
        (plain, &["--extcap-interface", "containerdump-ssh"], "cannot connect"),
        (
            plain,
            &["--extcap-interface", "containerdump-ssh", "--remote-host", "127.0.0.1", "--remote-port", "9"],
            "127.0.0.1",
        ),
        (plain, &["--fifo", "/nonexistent/fifo"], "cannot open /nonexistent/fifo"),
        (|lab| lab.program_without("prctl"), &["--extcap-interface", &here], "exited before"),
        (|lab| lab.program_without("capset"), &["--extcap-interface", &here], "exited before"),
        (|lab| lab.program_without("signalfd4"), &["--extcap-interface", &here], "cannot watch for signals"),
    ];
    for (program, options, says) in failures {
        thread::scope(|scope| {
            for _ in 0..STARTS {
                scope.spawn(|| {
                    let capture = ToolbarCapture::begin(program(lab), options, ToolbarPipes::make());
                    if options.contains(&"/nonexistent/fifo") {
                        // Nothing writes to the FIFO there is.
                        drop(
                            fs::OpenOptions::new().write(true).open(capture.pipes.folder.path().join("fifo")),
                        );
                    }
                    let (status, said) = capture.fails(LATER);
                    assert_eq!(status, Some(1), "{says}: {said}");
                    assert!(said.contains(says) && said.contains("\nRemedy: "), "{says}: {said}");
                });
            }
        });
    }
}

fn a_capture_with_a_closed_reader_waits_until_wireshark_opens_the_control_pipe(lab: &Lab) {
    // The same where the capture ends normally at once, since dumpcap has failed.
    let container = lab.container(&[]);
    for _ in 0..STARTS {
        let options = ["--extcap-interface", &container.interface(), "--count", "1"];
        let capture = ToolbarCapture::begin(lab.program(), &options, ToolbarPipes::make());
        capture.captures();
        container.fetch(1);
        assert_eq!(capture.fails(LATER), (Some(0), String::new()));
    }
}

/// A capture of what does not exist, which has closed the FIFO and waits for Wireshark.
fn failed(lab: &Lab) -> (Child, ToolbarPipes) {
    let options = ["--extcap-interface", "docker-gone"];
    ToolbarCapture::begin(lab.program(), &options, ToolbarPipes::make()).comes_to_its_end()
}

fn a_failed_capture_ends_if_wireshark_does_not_open_the_control_pipe(lab: &Lab) {
    // Wireshark does not open the control pipes of a capture that it restarts.
    let (child, _pipes) = failed(lab);
    let ended = end_of(child);
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn a_failed_capture_ends_at_once_on_sigterm_or_without_wireshark(lab: &Lab) {
    // Wireshark that is closed, or was killed, is not waited for.
    let started = Instant::now();
    let (child, _pipes) = failed(lab);
    signal(&child, "TERM");
    assert_eq!(end_of(child).status.code(), Some(1));
    assert!(started.elapsed() < OPEN_TIMEOUT, "it ended only after its time was over");

    let started = Instant::now();
    let mut parent = Command::new("sh");
    parent.args(["-c", "\"$0\" \"$@\"; :"]).arg(lab.program().get_program());
    let options = ["--extcap-interface", "docker-gone"];
    let capture = ToolbarCapture::begin(parent, &options, ToolbarPipes::make());
    let fifo = capture.pipes.to_capture.display().to_string();
    let (parent, _pipes) = capture.comes_to_its_end();
    let runs = || output(Command::new("ps").args(["-e", "-o", "args="])).contains(&fifo);
    assert!(runs(), "it waits for Wireshark");
    signal(&parent, "KILL");
    eventually("it ends", || !runs());
    assert!(started.elapsed() < OPEN_TIMEOUT, "it ended only after its time was over");
    end_of(parent);
}

/// The pids of processes that run `program`.
fn processes_of(program: &str) -> BTreeSet<String> {
    let folders = fs::read_dir("/proc").expect("processes").flatten();
    let runs = |folder: &fs::DirEntry| {
        fs::read_link(folder.path().join("exe")).is_ok_and(|exe| exe.to_str() == Some(program))
    };
    folders.filter(runs).map(|folder| folder.file_name().to_string_lossy().into_owned()).collect()
}

/// What the kernel makes a process whose user or capabilities change; it is that of the whole machine.
struct SuidDumpable(String);

impl SuidDumpable {
    const PATH: &str = "/proc/sys/fs/suid_dumpable";

    /// Makes such processes dumpable until the value is dropped. `None` where that is not permitted.
    fn enable() -> Option<Self> {
        let before = fs::read_to_string(Self::PATH).ok()?;
        fs::write(Self::PATH, "1").ok().map(|()| Self(before))
    }
}

impl Drop for SuidDumpable {
    fn drop(&mut self) {
        let _ = fs::write(Self::PATH, &self.0);
    }
}

fn a_rootless_container_with_host_pids_cannot_inspect_the_capture(lab: &Lab) {
    // A rootless Podman container with --pid=host reads files of the user who captures by /proc/PID/root.
    let podman = Podman::rootless(lab);
    let captured = podman.container(&[]);
    let other = podman.container_with(&["--pid", "host"], &["sleep", "1000"]);
    let (owner, home) = (RootlessUser::new(), RootlessUser::folder());
    let secret = home.path().join("secret");
    fs::write(&secret, "of the user").expect("a file");
    chown(&secret, Some(4242), Some(4242)).expect("its owner");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its mode");
    // Again where the kernel makes processes dumpable that enter a user namespace.
    for (options, is_enabled) in
        [(&["--follow"][..], false), (&[], false), (&["--follow"], true), (&[], true)]
    {
        let dumpable = is_enabled.then(SuidDumpable::enable);
        if dumpable.as_ref().is_some_and(Option::is_none) {
            eprintln!("not tested: fs.suid_dumpable is read-only here");
            break;
        }
        let path = home.path().join(format!("out{}{is_enabled}.pcapng", options.len()));
        let mut capture = owner.run();
        let capture = start(capture.args(["capture", &captured.name, "--write"]).arg(&path).args(options));
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
        let program = owner.program().display().to_string();
        // Itself, the process that opens, and two taps that wait.
        let expected = if options.is_empty() { 1 } else { 4 };
        eventually("all its processes run", || processes_of(&program).len() == expected);
        for pid in processes_of(&program) {
            for what in [&format!("root{}", secret.display()), "environ", "maps"] {
                let path = format!("/proc/{pid}/{what}");
                let mut read = Command::new("podman");
                read.args(["--remote", "--url", &podman.url, "exec", &other.name, "cat", &path]);
                let read = read.output().expect("podman");
                let text = String::from_utf8_lossy(&read.stdout).into_owned();
                let why = String::from_utf8_lossy(&read.stderr).into_owned();
                let is_refused = why.contains("Permission denied") && text.is_empty();
                assert!(is_refused, "{options:?} {path}: {text} {why}");
            }
        }
        signal(&capture, "INT");
        let ended = end_of(capture);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}
