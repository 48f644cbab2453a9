//! The program under test without an engine of this machine, its output and its end.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than every timeout of the program.
const TIMEOUT: Duration = Duration::from_mins(1);

/// An address without an engine.
pub(crate) const NO_ENGINE: &str = "unix:///nonexistent.sock";

/// A running program.
pub(crate) struct Running {
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

/// An ended program.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with one engine, independent of the tester's settings.
pub(crate) fn program(docker_host: &str) -> Command {
    let mut command = Command::new(alone());
    command.env("DOCKER_HOST", docker_host);
    // This machine may have a Podman and network namespaces.
    command.env("CONTAINERDUMP_ENGINES", "docker");
    command
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("XDG_CACHE_HOME", "/nonexistent")
        .env_remove("SUDO_UID")
        .env_remove("DOAS_USER");
    command.env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// The program without the static program beside it, so that it cannot use tap containers.
fn alone() -> &'static Path {
    static ALONE: OnceLock<PathBuf> = OnceLock::new();
    ALONE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("containerdump");
        let _ = fs::remove_file(&path);
        fs::hard_link(env!("CARGO_BIN_EXE_containerdump"), &path).expect("a second name");
        path
    })
}

/// Runs the program with `arguments`.
pub(crate) fn ask<S: AsRef<OsStr>>(docker_host: &str, arguments: impl IntoIterator<Item = S>) -> Ended {
    Running::start(program(docker_host).args(arguments)).ended()
}

/// Starts the capture of `interface` into `fifo`.
pub(crate) fn start_capture(
    docker_host: &str,
    interface: impl AsRef<OsStr>,
    fifo: impl AsRef<OsStr>,
) -> Running {
    let mut command = program(docker_host);
    command.args(["--capture", "--extcap-interface"]).arg(interface).arg("--fifo").arg(fifo);
    Running::start(&mut command)
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout = read_all(child.stdout.take().expect("a pipe was asked for"));
        let stderr = read_all(child.stderr.take().expect("a pipe was asked for"));
        Self { child, stdout, stderr }
    }

    pub(crate) fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid is small");
        kill(Pid::from_raw(pid), signal).expect("the program runs");
    }

    /// Waits until the program has blocked SIGTERM, to handle it.
    pub(crate) fn wait_until_signals_are_blocked(&self) {
        until("the program blocks SIGTERM", || {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
            blocked & (1 << (Signal::SIGTERM as u64 - 1)) != 0
        });
    }

    /// Waits for the end. The output must contain no control characters.
    pub(crate) fn ended(self) -> Ended {
        let (status, stdout, stderr) = self.end();
        Ended { status, stdout: readable(stdout), stderr: readable(stderr) }
    }

    /// The same for a program that writes packets to standard output: its status and standard error.
    pub(crate) fn ended_with_bytes(self) -> (Option<i32>, String) {
        let (status, _, stderr) = self.end();
        (status.code(), readable(stderr))
    }

    fn end(mut self) -> (ExitStatus, Vec<u8>, Vec<u8>) {
        let end = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the program is our child") {
                break status;
            }
            if Instant::now() > end {
                self.child.kill().expect("the program runs");
                panic!("the program did not end within {TIMEOUT:?}");
            }
            thread::sleep(Duration::from_millis(2));
        };
        let all = |reader: JoinHandle<Vec<u8>>| reader.join().expect("reading does not panic");
        (status, all(self.stdout), all(self.stderr))
    }
}

impl Ended {
    /// The standard output of a query, which must succeed with an empty standard error.
    pub(crate) fn answer(self) -> String {
        assert_eq!((self.status.code(), self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// The error message of a failed capture. Wireshark shows about 1 KiB of it.
    pub(crate) fn complaint(self) -> String {
        assert_eq!(self.status.code(), Some(1), "{}", self.stderr);
        let (reason, remedy) = self.stderr.split_once("\nRemedy: ").expect("a remedy");
        assert!(!reason.is_empty() && !remedy.is_empty() && self.stderr.len() <= 1024, "{}", self.stderr);
        assert_eq!(self.stdout, "");
        self.stderr
    }

    /// Asserts success without output.
    pub(crate) fn succeeds_silently(self) {
        assert_eq!(self.answer(), "");
    }
}

fn readable(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes).expect("UTF-8");
    assert!(!text.contains(is_control_character), "control characters in {text:?}");
    text
}

/// Waits until `state` holds.
pub(crate) fn until(what: &str, mut state: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !state() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Control characters and bidirectional formatting (C0 except newline, DEL, C1, Unicode embeddings, overrides, isolates,
/// line and paragraph separators).
fn is_control_character(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn read_all(mut source: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}
