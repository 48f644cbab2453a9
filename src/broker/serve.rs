//! The broker process: assigns a tap to each request, and does nothing else.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::net::{SendFlags, SocketType, send, sockopt};

use super::message::{self, ReceivedMessage};
use super::pool::TapPool;
use super::{READY, TapLocation, TapRequest};
use crate::error::Error;
use crate::link::{LinkIndex, Links};
use crate::privilege::Privilege;

/// Most taps at a time.
const MAX_TAPS: usize = 1024;
/// For taps to end by themselves once their streams are closed.
const TAP_EXIT_TIMEOUT: Duration = Duration::from_secs(3);
const TAP_EXIT_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The running and idle taps.
struct RunningTaps {
    processes: Vec<Child>,
    pool: TapPool,
    /// The links that existed when the broker became ready.
    initial_links: Links,
}

/// Serves the session at the other end of standard input until that is closed.
///
/// Fails when standard input is not a broker's socket, or capabilities cannot be dropped.
pub fn serve(privilege: Privilege) -> Result<(), Error> {
    let rights = privilege.keep_for_broker()?;
    let invalid = |error: io::Error| {
        Error::new(
            format!("cannot serve standard input: {error}"),
            "do not run this by hand, a capture starts it: containerdump capture",
        )
    };
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    match sockopt::socket_type(socket) {
        Ok(SocketType::SEQPACKET) => {}
        Ok(_) => return Err(invalid(io::ErrorKind::InvalidInput.into())),
        Err(errno) => return Err(invalid(errno.into())),
    }
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block().map_err(|errno| invalid(errno.into()))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let exited = SignalFd::with_flags(&signals, flags).map_err(|errno| invalid(errno.into()))?;
    let mut taps =
        RunningTaps { processes: Vec::new(), pool: TapPool::default(), initial_links: Links::now()? };
    send(socket, &[READY, u8::from(rights.may_capture()), u8::from(rights.may_enter())], SendFlags::NOSIGNAL)
        .map_err(|errno| invalid(errno.into()))?;
    let mut is_idle = false;
    let outcome = loop {
        let mut watched =
            [PollFd::new(socket, PollFlags::POLLIN), PollFd::new(exited.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short one.
        let _ = poll(&mut watched, if is_idle { PollTimeout::NONE } else { PollTimeout::ZERO });
        let has_request = watched[0].any() == Some(true);
        while let Ok(Some(_)) = exited.read_signal() {}
        taps.processes.retain_mut(|tap| matches!(tap.try_wait(), Ok(None)));
        is_idle = !has_request;
        if is_idle {
            taps.pool.refill();
            continue;
        }
        match message::receive(socket) {
            Ok(ReceivedMessage::End) => break Ok(()),
            Ok(ReceivedMessage::Request(request, descriptors)) => taps.handle_request(request, descriptors),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(invalid(error)),
        }
    };
    taps.shutdown();
    outcome
}

impl RunningTaps {
    /// Assigns a request to a tap, or reports an error where the tap would.
    fn handle_request(&mut self, request: Result<TapRequest, String>, descriptors: Vec<OwnedFd>) {
        let Ok([stream, errors]) = <[OwnedFd; 2]>::try_from(descriptors) else { return };
        let refusal = |why: &str| {
            Error::new(
                format!("the capture broker refused a request: {why}"),
                "check that containerdump was not replaced while it was running, then capture again",
            )
        };
        let allowed = request.and_then(|request| match &request.place {
            _ if self.processes.len() >= MAX_TAPS => Err("too many interfaces".to_owned()),
            TapLocation::HostVeth { name, index, expected_holder: None }
                if self.initial_links.contain(name, LinkIndex(*index)) =>
            {
                Err("interface existed before the capture started".to_owned())
            }
            _ => Ok(request),
        });
        let started = allowed.map_err(|why| refusal(&why)).and_then(|request| {
            self.pool.assign(&request, [stream.as_fd(), errors.as_fd()]).map_err(|error| {
                Error::new(
                    format!("cannot start a tap process: {error}"),
                    "end some processes, or raise their limit: ulimit -u",
                )
            })
        });
        match started {
            Ok(tap) => self.processes.push(tap),
            Err(error) => {
                let line = error.to_string().replacen('\n', " ", 1);
                // The session may have exited.
                let _ = writeln!(File::from(errors), "containerdump: {line}");
            }
        }
    }

    /// Waits until all have ended: their streams are closed.
    fn shutdown(self) {
        let mut taps = self.processes;
        taps.extend(self.pool.close());
        let deadline = Instant::now() + TAP_EXIT_TIMEOUT;
        while !taps.is_empty() && Instant::now() < deadline {
            taps.retain_mut(|tap| matches!(tap.try_wait(), Ok(None)));
            std::thread::sleep(TAP_EXIT_POLL_INTERVAL);
        }
        for mut tap in taps {
            let _ = tap.kill();
            let _ = tap.wait();
        }
    }
}
