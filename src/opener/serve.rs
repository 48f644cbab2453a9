//! The opener itself: starts a tap for each request, and nothing else.

use std::fs::File;
use std::io::{self, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketType, recvmsg, send,
    sockopt,
};

use super::request::{MOST, Request};
use super::{PROGRAM, READY};
use crate::privilege::Privilege;
use crate::trouble::Trouble;

/// Taps that run at the same time.
const MOST_TAPS: usize = 1024;
/// How long taps have at the end to see for themselves that nobody wants them.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often taps are looked at then.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Serves whoever holds the other end of standard input, until that is closed.
///
/// Fails when standard input is not what a program opens for this, or there is no right to hand on.
pub fn serve(privilege: Privilege) -> Result<(), Trouble> {
    let rights = privilege.keep_to_open()?;
    let wrong = |error: io::Error| {
        Trouble::new(
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
    send(socket, &[READY, u8::from(rights.may_enter())], SendFlags::NOSIGNAL)
        .map_err(|errno| wrong(errno.into()))?;
    let mut taps: Vec<Child> = Vec::new();
    let mut bytes = vec![0; MOST];
    loop {
        let mut watched =
            [PollFd::new(socket, PollFlags::POLLIN), PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short wait.
        let _ = poll(&mut watched, PollTimeout::NONE);
        let asked = watched[0].any() == Some(true);
        while let Ok(Some(_)) = ended.read_signal() {}
        taps.retain_mut(|tap| matches!(tap.try_wait(), Ok(None)));
        if asked {
            match receive(socket, &mut bytes) {
                Ok(Received::End) => break,
                Ok(Received::Message(request, descriptors)) => {
                    if let Some(tap) = answer(request, descriptors, taps.len()) {
                        taps.push(tap);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    end(taps);
                    return Err(wrong(error));
                }
            }
        }
    }
    end(taps);
    Ok(())
}

enum Received {
    Message(Result<Request, String>, Vec<OwnedFd>),
    /// Nobody is there any more.
    End,
}

fn receive(socket: std::os::fd::BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    };
    let descriptors: Vec<OwnedFd> = control.drain().filter_map(rights).flatten().collect();
    if message.bytes == 0 && descriptors.is_empty() {
        return Ok(Received::End);
    }
    let request = if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        Err("it is too long".to_owned())
    } else {
        Request::parse(&bytes[..message.bytes])
    };
    Ok(Received::Message(request, descriptors))
}

/// Starts a tap, or says why not where the tap would have.
fn answer(request: Result<Request, String>, descriptors: Vec<OwnedFd>, running: usize) -> Option<Child> {
    let [stream, errors]: [OwnedFd; 2] = descriptors.try_into().ok()?;
    let mut told = File::from(errors.try_clone().ok()?);
    let refused = |why: &str| {
        let remedy = "see that containerdump was not replaced while it runs, then capture again";
        let trouble = Trouble::new(format!("the opener was asked for what it does not do: {why}"), remedy);
        trouble.to_string().replacen('\n', " ", 1)
    };
    let started = match request {
        Ok(_) if running >= MOST_TAPS => Err(refused("too many interfaces")),
        Ok(request) => start(&request, stream, errors).map_err(|error| {
            let trouble =
                Trouble::new(format!("cannot start a tap: {error}"), "free some processes: ulimit -u");
            trouble.to_string().replacen('\n', " ", 1)
        }),
        Err(why) => Err(refused(&why)),
    };
    started.map_err(|words| writeln!(told, "containerdump: {words}")).ok()
}

fn start(request: &Request, stream: OwnedFd, errors: OwnedFd) -> io::Result<Child> {
    let output = stream.try_clone()?;
    let mut tap = Command::new(PROGRAM);
    tap.args(request.arguments()).env_clear();
    tap.stdin(stream).stdout(output).stderr(Stdio::from(errors)).spawn()
}

/// Waits until all of them have ended, which they do since nobody holds their streams any more.
fn end(mut taps: Vec<Child>) {
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
