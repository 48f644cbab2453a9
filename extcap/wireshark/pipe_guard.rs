//! Keeps a capture from ending before Wireshark has opened its pipes.
//!
//! Wireshark opens its control pipe for writing about 30 ms after it has started the program, while its window is blocked
//! (ui/qt/interface_toolbar.cpp, `startCapture`): without a reader, the window freezes for good. A capture whose FIFO was
//! never opened hangs in Wireshark 4.0.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use containerdump::safe_text::SafeText;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{PidfdFlags, getppid, pidfd_open};

use crate::wireshark::toolbar::ControlIn;

/// How long after its start the process waits for Wireshark, on a busy machine.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two attempts to open the FIFO, in milliseconds.
const POLL_INTERVAL: u16 = 10;

/// The guard of this process, for a panic on any thread.
static GUARD: OnceLock<Arc<PipeGuard>> = OnceLock::new();

/// Delays the end of the process until Wireshark has opened its pipes.
#[derive(Debug)]
pub(super) struct PipeGuard {
    started: Instant,
    control_in: Option<ControlIn>,
    fifo: Option<PathBuf>,
    fifo_was_opened: AtomicBool,
    /// Wireshark; `None` if it is in another PID namespace.
    parent: Option<OwnedFd>,
}

impl PipeGuard {
    /// Opens the control pipe for reading. From then on, a panic on any thread ends the process like any other failure.
    pub(super) fn open(control_in: Option<PathBuf>, fifo: Option<PathBuf>) -> Arc<Self> {
        let guard = Arc::new(Self {
            control_in: control_in.and_then(|path| ControlIn::open(&path)),
            started: Instant::now(),
            fifo,
            fifo_was_opened: AtomicBool::new(false),
            parent: getppid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()),
        });
        if GUARD.set(Arc::clone(&guard)).is_ok() {
            std::panic::set_hook(Box::new(|panic| {
                let message = SafeText::with_limit(&panic.to_string(), 500);
                // Without a reader of stderr, there is nothing left to do.
                let _ = writeln!(
                    io::stderr(),
                    "containerdump failed because of a bug: {message}\n\
                     Remedy: start the capture again, and report this message"
                );
                GUARD.get().iter().for_each(|guard| guard.wait());
            }));
        }
        guard
    }

    pub(super) fn control_in(&self) -> Option<&ControlIn> {
        self.control_in.as_ref()
    }

    /// Records that the FIFO was opened: it need not be opened at the end.
    pub(super) fn set_fifo_opened(&self) {
        self.fifo_was_opened.store(true, Ordering::Relaxed);
    }

    /// Waits until Wireshark has opened the pipes, [`OPEN_TIMEOUT`] has passed since the start, a signal comes or
    /// Wireshark has ended. Messages to stderr must be written before.
    pub(super) fn wait(&self) {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            mask.add(signal);
        }
        // A signal that is not blocked ends the process.
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).ok();
        while self.started.elapsed() < OPEN_TIMEOUT && !self.is_done() {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut watched: Vec<PollFd> = signals.iter().map(|signals| readable(signals.as_fd())).collect();
            watched.extend(self.parent.iter().map(|parent| readable(parent.as_fd())));
            // An interrupted wait is a short wait.
            let _ = poll(&mut watched, PollTimeout::from(POLL_INTERVAL));
            if watched.iter().any(|fd| fd.any() == Some(true)) {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        // Both are tried each time: the order in which Wireshark opens them is not known.
        let fifo_is_open = self.open_fifo();
        self.control_in.as_ref().is_none_or(ControlIn::is_initialized) && fifo_is_open
    }

    /// Opens and closes the FIFO, unless it was opened before. Whether dumpcap no longer waits for it.
    fn open_fifo(&self) -> bool {
        let Some(path) = &self.fifo else { return true };
        if !self.fifo_was_opened.load(Ordering::Relaxed) {
            let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let opened = OpenOptions::new().write(true).custom_flags(flags.bits()).open(path);
            let has_no_reader = |error: io::Error| error.raw_os_error() == Some(nix::libc::ENXIO);
            if opened.is_err_and(has_no_reader) {
                return false;
            }
            self.set_fifo_opened();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    /// The variable with the folder of the pipes.
    const PIPES: &str = "CONTAINERDUMP_TEST_PIPES";

    #[test]
    fn panicking_capture() {
        if let Some(folder) = std::env::var_os(PIPES) {
            let folder = Path::new(&folder);
            let _guard = PipeGuard::open(Some(folder.join("in")), Some(folder.join("fifo")));
            panic!("on\npurpose");
        }
    }

    #[test]
    fn capture_that_panics_ends_after_wireshark_has_opened_its_pipes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["in", "fifo"] {
            mkfifo(&path(name), Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
        }
        let mut panics = Command::new(std::env::current_exe().expect("its path"));
        panics
            .args(["--exact", "wireshark::pipe_guard::tests::panicking_capture", "--nocapture"])
            .env(PIPES, folder.path());
        let mut panics = panics.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stderr = BufReader::new(panics.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let message = stderr.find(|line| line.starts_with("containerdump failed")).expect("a message");
        assert!(message.ends_with("on purpose"), "{message}");
        assert!(stderr.next().is_some_and(|line| line.starts_with("Remedy: ")));
        let open = |options: &mut OpenOptions, name| {
            options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path(name)).expect("it is there")
        };
        let mut control_in = open(OpenOptions::new().write(true), "in");
        control_in.write_all(b"T\0\0\x02\0\0").expect("a reader");
        assert!(matches!(panics.try_wait(), Ok(None)), "it waits for a reader of the FIFO, too");
        let _fifo = open(OpenOptions::new().read(true), "fifo");
        assert!(!panics.wait().expect("a child").success());
    }
}
