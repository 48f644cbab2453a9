//! Reasons to stop a capture: signals, and the end of the process or session it runs for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{PidfdFlags, getppid, pidfd_open};

use crate::error::Error;
use crate::peer::Keepalive;
use crate::privilege;
use crate::waker::Waker;

/// Signals with their default effect: program failures, Ctrl-\, job control, child processes and terminal windows.
const UNBLOCKED_SIGNALS: [Signal; 16] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGQUIT,
    Signal::SIGPIPE,
    Signal::SIGCHLD,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGURG,
    Signal::SIGWINCH,
];
/// Ignored signals: tcpdump continues after the first two, and `write` reports the last as an error.
const IGNORED_SIGNALS: [Signal; 3] = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGXFSZ];

/// Watches for reasons to stop. It blocks the signals that end a program in this thread and those started from it, and
/// makes them reasons to stop, so that a capture ends with its last statistics.
#[derive(Debug)]
pub struct Stop {
    signals: SignalFd,
    /// A pidfd of the parent process.
    parent: Option<OwnedFd>,
    lifeline: Option<Keepalive>,
}

/// The result of [`Stop::wait`].
pub(crate) struct WaitResult {
    /// Whether there is a reason to stop.
    pub(crate) stop: bool,
    /// Whether each descriptor is ready, in the order they were given.
    pub(crate) ready: Vec<bool>,
}

/// There was a reason to stop before the capture began.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

impl Stop {
    /// Watches for signals; with `parent`, also for the end of the parent process, as a killed Wireshark sends no signal.
    ///
    /// Fails if no file descriptors are left.
    pub fn watch(parent: bool) -> Result<Self, Error> {
        let cannot = |error: io::Error| {
            Error::new(format!("cannot watch for signals: {error}"), "free some file descriptors: ulimit -n")
        };
        let mut mask = SigSet::all();
        for signal in UNBLOCKED_SIGNALS.into_iter().chain(signals_ignored_at_start()) {
            mask.remove(signal);
        }
        mask.thread_block().map_err(|errno| cannot(errno.into()))?;
        for signal in IGNORED_SIGNALS {
            mask.remove(signal);
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).map_err(|errno| cannot(errno.into()))?;
        // Without a pid, the parent is in another pid namespace, and its end is no reason to stop.
        let parent = getppid()
            .filter(|_| parent)
            .map(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .transpose()
            .map_err(|errno| cannot(errno.into()))?;
        Ok(Self { signals, parent, lifeline: None })
    }

    /// Also stops when the peer at standard input requests it, closes it, or sends no heartbeat.
    ///
    /// Fails if no file descriptors are left.
    pub fn with_lifeline(self) -> Result<Self, Error> {
        let lifeline = Keepalive::new(io::stdin().as_fd()).map_err(|error| {
            Error::new(
                format!("cannot watch standard input: {error}"),
                "free some file descriptors: ulimit -n",
            )
        })?;
        Ok(Self { lifeline: Some(lifeline), ..self })
    }

    /// Waits until one of `others` is ready, there is a reason to stop, or `timeout` has passed.
    pub(crate) fn wait(&self, others: Vec<PollFd<'_>>, timeout: Duration) -> WaitResult {
        let count = others.len();
        let own: Vec<BorrowedFd> = self.descriptors().collect();
        let mut all: Vec<PollFd> = others;
        all.extend(own.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let milliseconds = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        // An interruption only shortens the wait.
        let _ = poll(&mut all, PollTimeout::from(milliseconds));
        let mut ready: Vec<bool> = all.iter().map(|fd| fd.any() == Some(true)).collect();
        let mut reasons = ready.split_off(count);
        if let Some(lifeline) = &self.lifeline {
            let speaks = reasons.pop() == Some(true);
            reasons.push(lifeline.has_ended(speaks));
        }
        WaitResult { stop: reasons.contains(&true), ready }
    }

    /// The capture filter that the peer at standard input has requested since the last call, and its number.
    pub(crate) fn take_filter(&self) -> Option<(u32, Option<String>)> {
        self.lifeline.as_ref()?.take_filter_request()
    }

    /// Runs `work` on a thread without capabilities, and returns its result.
    ///
    /// Fails with [`Stopped`] as soon as there is a reason to stop or the reader of the pipe `output` is gone. The thread
    /// then runs until the process ends.
    pub fn wait_for<T: Send + 'static>(
        &self,
        output: Option<BorrowedFd<'_>>,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<Result<T, Error>, Stopped> {
        let cannot =
            |reason: String| Error::new(format!("cannot start a thread: {reason}"), "free some memory");
        let finished = match Waker::new() {
            Ok(waker) => waker,
            Err(error) => return Ok(Err(cannot(error.to_string()))),
        };
        let dropped_at_end = finished.clone();
        let worker = std::thread::Builder::new().name("look-up".to_owned()).spawn(move || {
            let _wakes_when_dropped = dropped_at_end;
            privilege::drop_on_this_thread().map_err(|error| cannot(error.to_string()))?;
            work()
        });
        let worker = match worker {
            Ok(worker) => worker,
            Err(error) => return Ok(Err(cannot(error.to_string()))),
        };
        while !worker.is_finished() {
            let mut others = vec![PollFd::new(finished.as_fd(), PollFlags::POLLIN)];
            others.extend(output.map(poll_for_reader_end));
            let woken = self.wait(others, Duration::from_secs(1));
            if woken.stop || woken.ready.get(1) == Some(&true) {
                return Err(Stopped);
            }
        }
        Ok(worker.join().unwrap_or_else(|_| Err(cannot("it panicked".to_owned()))))
    }

    /// Waits for `duration`, or until there is a reason to stop.
    ///
    /// Fails with [`Stopped`] in the second case.
    pub fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.wait(Vec::new(), left).stop {
                return Err(Stopped);
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        // The lifeline comes last.
        let others = [self.parent.as_ref().map(AsFd::as_fd), self.lifeline.as_ref().map(AsFd::as_fd)];
        std::iter::once(self.signals.as_fd()).chain(others.into_iter().flatten())
    }
}

/// Signals that were ignored when the program started, such as SIGHUP under nohup. SIGINT and SIGTERM end a capture even
/// then, as in tcpdump: shells make background programs ignore SIGINT.
fn signals_ignored_at_start() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let is_ignored = |signal: &Signal| mask & (1 << (*signal as u64 - 1)) != 0;
    let always_stops = |signal: &Signal| matches!(signal, Signal::SIGINT | Signal::SIGTERM);
    Signal::iterator().filter(|signal| is_ignored(signal) && !always_stops(signal)).collect()
}

/// Polls for the end of the reader of `pipe`, which is reported without requesting an event.
pub(crate) fn poll_for_reader_end(pipe: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(pipe, PollFlags::empty())
}
