//! The opener itself: starts a tap for each request, and nothing else.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::net::{SendFlags, SocketType, send, sockopt};

use super::message::{self, Received};
use super::pool::Spares;
use super::{READY, TapLocation, TapRequest};
use crate::error::Error;
use crate::link::{LinkIndex, Links};
use crate::privilege::Privilege;

/// Taps that run at the same time.
const MOST_TAPS: usize = 1024;
/// How long taps have at the end to see for themselves that nobody wants them.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often taps are looked at then.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The taps that run, and what is asked about those who want one.
struct Taps {
    running: Vec<Child>,
    spares: Spares,
    /// The links that were there when the first request could come.
    before: Links,
}

/// Serves whoever holds the other end of standard input, until that is closed.
///
/// Fails when standard input is not what a program opens for this, or further rights cannot be dropped.
pub fn serve(privilege: Privilege) -> Result<(), Error> {
    let rights = privilege.keep_for_broker()?;
    let wrong = |error: io::Error| {
        Error::new(
            format!("cannot serve standard input: {error}"),
            "this is started by a capture, and not by hand: containerdump capture",
        )
    };
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    match sockopt::socket_type(socket) {
        Ok(SocketType::SEQPACKET) => {}
        Ok(_) => return Err(wrong(io::ErrorKind::InvalidInput.into())),
        Err(errno) => return Err(wrong(errno.into())),
    }
    let mut ended = SigSet::empty();
    ended.add(Signal::SIGCHLD);
    ended.thread_block().map_err(|errno| wrong(errno.into()))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let ended = SignalFd::with_flags(&ended, flags).map_err(|errno| wrong(errno.into()))?;
    let mut taps = Taps { running: Vec::new(), spares: Spares::default(), before: Links::now()? };
    send(socket, &[READY, u8::from(rights.may_capture()), u8::from(rights.may_enter())], SendFlags::NOSIGNAL)
        .map_err(|errno| wrong(errno.into()))?;
    let mut has_time = false;
    let outcome = loop {
        let mut watched =
            [PollFd::new(socket, PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short wait.
        let _ = poll(&mut watched, if has_time { PollTimeout::NONE } else { PollTimeout::ZERO });
        let asked = watched[0].any() == Some(true);
        while let Ok(Some(_)) = ended.read_signal() {}
        taps.running.retain_mut(|tap| matches!(tap.try_wait(), Ok(None)));
        has_time = !asked;
        if has_time {
            taps.spares.fill_up();
            continue;
        }
        match message::receive(socket) {
            Ok(Received::End) => break Ok(()),
            Ok(Received::Message(request, descriptors)) => taps.answer(request, descriptors),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(wrong(error)),
        }
    };
    taps.end();
    outcome
}

impl Taps {
    /// Has a tap do what is asked for, or says why not where the tap would have.
    fn answer(&mut self, request: Result<TapRequest, String>, descriptors: Vec<OwnedFd>) {
        let Ok([stream, errors]) = <[OwnedFd; 2]>::try_from(descriptors) else { return };
        let refused = |why: &str| {
            Error::new(
                format!("the opener was asked for what it does not do: {why}"),
                "see that containerdump was not replaced while it runs, then capture again",
            )
        };
        let allowed = request.and_then(|request| match &request.place {
            _ if self.running.len() >= MOST_TAPS => Err("too many interfaces".to_owned()),
            TapLocation::HostVeth { name, index, expected_holder: None }
                if self.before.contain(name, LinkIndex(*index)) =>
            {
                Err("it was there before, and so has to be somebody's".to_owned())
            }
            _ => Ok(request),
        });
        let started = allowed.map_err(|why| refused(&why)).and_then(|request| {
            self.spares.hand_on(&request, [stream.as_fd(), errors.as_fd()]).map_err(|error| {
                Error::new(format!("cannot start a tap: {error}"), "free some processes: ulimit -u")
            })
        });
        match started {
            Ok(tap) => self.running.push(tap),
            Err(trouble) => {
                let words = trouble.to_string().replacen('\n', " ", 1);
                // Whoever asked may have left.
                let _ = writeln!(File::from(errors), "containerdump: {words}");
            }
        }
    }

    /// Waits until all of them have ended, which they do since nobody holds their streams any more.
    fn end(self) {
        let mut taps = self.running;
        taps.extend(self.spares.end());
        let until = Instant::now() + PATIENCE;
        while !taps.is_empty() && Instant::now() < until {
            taps.retain_mut(|tap| matches!(tap.try_wait(), Ok(None)));
            std::thread::sleep(LOOK_EVERY);
        }
        for mut tap in taps {
            let _ = tap.kill();
            let _ = tap.wait();
        }
    }
}
