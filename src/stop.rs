//! When to stop: a signal, or the end of whoever we capture for.

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

/// Signals that keep their own effect: a failure of the program, its end with a memory dump (Ctrl-\), and those that stop
/// and continue it or tell of children and windows.
const LEFT_ALONE: [Signal; 16] = [
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
/// Signals that change nothing: tcpdump goes on after the first two, and the last is told by `write`, too.
const WITHOUT_EFFECT: [Signal; 3] = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGXFSZ];

/// Watches for the reasons to stop. From its making on, no signal that can be caught ends this thread and those it
/// starts without the last statistics: SIGTERM, SIGINT, SIGHUP and all others whose purpose is to end a program are
/// reasons to stop.
#[derive(Debug)]
pub struct Stop {
    signals: SignalFd,
    parent: Option<OwnedFd>,
    lifeline: Option<Keepalive>,
}

/// What ended a wait.
pub(crate) struct Woken {
    /// There is a reason to stop.
    pub(crate) stop: bool,
    /// What is ready, in the order it was given.
    pub(crate) ready: Vec<bool>,
}

/// Somebody asked to stop before there was anything to stop.
#[derive(Debug, PartialEq, Eq)]
pub struct Stopped;

impl Stop {
    /// Watches for signals; with `parent`, also for the end of the parent process: a Wireshark
    /// that was killed hard tells nobody.
    ///
    /// Fails when the process has no file descriptors left.
    pub fn watch(parent: bool) -> Result<Self, Error> {
        let cannot = |error: io::Error| {
            Error::new(format!("cannot watch for signals: {error}"), "free some file descriptors: ulimit -n")
        };
        let mut mask = SigSet::all();
        for signal in LEFT_ALONE.into_iter().chain(ignored()) {
            mask.remove(signal);
        }
        mask.thread_block().map_err(|errno| cannot(errno.into()))?;
        for signal in WITHOUT_EFFECT {
            mask.remove(signal);
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).map_err(|errno| cannot(errno.into()))?;
        // No parent to be seen: it is in another pid namespace, and its end is not ours.
        let parent = getppid()
            .filter(|_| parent)
            .map(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .transpose()
            .map_err(|errno| cannot(errno.into()))?;
        Ok(Self { signals, parent, lifeline: None })
    }

    /// Also stops when whoever holds the other end of standard input says so, leaves or falls
    /// silent.
    ///
    /// Fails when the process has no file descriptors left.
    pub fn with_lifeline(self) -> Result<Self, Error> {
        let lifeline = Keepalive::new(io::stdin().as_fd()).map_err(|error| {
            Error::new(
                format!("cannot watch standard input: {error}"),
                "free some file descriptors: ulimit -n",
            )
        })?;
        Ok(Self { lifeline: Some(lifeline), ..self })
    }

    /// Waits until one of `others` is ready, a reason to stop comes up or `timeout` has passed;
    /// tells of each of `others` whether it is ready.
    pub(crate) fn wait(&self, others: Vec<PollFd<'_>>, timeout: Duration) -> Woken {
        let count = others.len();
        let own: Vec<BorrowedFd> = self.descriptors().collect();
        let mut all: Vec<PollFd> = others;
        all.extend(own.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let milliseconds = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        // An interrupted wait is a short wait.
        let _ = poll(&mut all, PollTimeout::from(milliseconds));
        let mut ready: Vec<bool> = all.iter().map(|fd| fd.any() == Some(true)).collect();
        let mut reasons = ready.split_off(count);
        if let Some(lifeline) = &self.lifeline {
            let speaks = reasons.pop() == Some(true);
            reasons.push(lifeline.has_ended(speaks));
        }
        Woken { stop: reasons.contains(&true), ready }
    }

    /// The capture filter that whoever is at the other end of standard input asks for, once, and its number.
    pub(crate) fn take_filter(&self) -> Option<(u32, Option<String>)> {
        self.lifeline.as_ref()?.take_filter_request()
    }

    /// Does `work`, which may take its time, on a thread without any capability, and returns its
    /// outcome.
    ///
    /// Fails with [`Stopped`] as soon as there is a reason to stop or nobody reads from the pipe
    /// `output` any more; the work is then left behind for the end of the process to end.
    pub fn wait_for<T: Send + 'static>(
        &self,
        output: Option<BorrowedFd<'_>>,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<Result<T, Error>, Stopped> {
        let cannot = |why: String| Error::new(format!("cannot start a thread: {why}"), "free some memory");
        let (done, finished) = match io::pipe() {
            Ok((reader, writer)) => (reader, writer),
            Err(error) => return Ok(Err(cannot(error.to_string()))),
        };
        let worker = std::thread::Builder::new().name("look-up".to_owned()).spawn(move || {
            let _finished = finished;
            privilege::drop_on_this_thread().map_err(|error| cannot(error.to_string()))?;
            work()
        });
        let worker = match worker {
            Ok(worker) => worker,
            Err(error) => return Ok(Err(cannot(error.to_string()))),
        };
        while !worker.is_finished() {
            let mut others = vec![PollFd::new(done.as_fd(), PollFlags::POLLIN)];
            others.extend(output.map(watched_for_its_reader));
            let woken = self.wait(others, Duration::from_secs(1));
            if woken.stop || woken.ready.get(1) == Some(&true) {
                return Err(Stopped);
            }
        }
        Ok(worker.join().unwrap_or_else(|_| Err(cannot("it ended in a panic".to_owned()))))
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
        // The life line comes last.
        let others = [self.parent.as_ref().map(AsFd::as_fd), self.lifeline.as_ref().map(AsFd::as_fd)];
        std::iter::once(self.signals.as_fd()).chain(others.into_iter().flatten())
    }
}

/// Signals that were ignored when the program started, as SIGHUP under nohup; but SIGINT, which shells make
/// programs in the background ignore, and SIGTERM end a capture even then, as they end tcpdump.
fn ignored() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let is_ignored = |signal: &Signal| mask & (1 << (*signal as u64 - 1)) != 0;
    let ends = |signal: &Signal| matches!(signal, Signal::SIGINT | Signal::SIGTERM);
    Signal::iterator().filter(|signal| is_ignored(signal) && !ends(signal)).collect()
}

/// A pipe that is ready when nobody reads from it any more: that is told unasked.
pub(crate) fn watched_for_its_reader(pipe: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(pipe, PollFlags::empty())
}
