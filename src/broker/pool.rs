//! Taps that wait until they are told what to take: a program that has begun already opens in half the time, and
//! the first packet of a container that is being started does not wait.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::TapRequest;
use super::message::{self, Received};
use crate::error::Error;
use crate::own_program;

/// How many wait. Cables come one after the other, but for containers that are started at the same time.
const SPARES: usize = 2;

/// Taps that wait.
#[derive(Default)]
pub(super) struct Spares(VecDeque<Spare>);

struct Spare {
    socket: OwnedFd,
    process: Child,
}

impl Spares {
    /// Has one take what `request` says: into a stream, and with a place to tell errors.
    ///
    /// Fails when none can be started, or it has ended.
    pub(super) fn hand_on(
        &mut self,
        request: &TapRequest,
        descriptors: [BorrowedFd<'_>; 2],
    ) -> io::Result<Child> {
        let Spare { socket, mut process } = self.0.pop_front().map_or_else(Spare::start, Ok)?;
        message::send(socket.as_fd(), request, descriptors).inspect_err(|_| {
            let _ = process.kill();
            let _ = process.wait();
        })?;
        Ok(process)
    }

    /// Starts as many as are missing. Where that is not possible, or one has ended that nobody has asked, each is
    /// started when it is needed.
    pub(super) fn fill_up(&mut self) {
        let before = self.0.len();
        self.0.retain_mut(|spare| matches!(spare.process.try_wait(), Ok(None)));
        let has_failed = self.0.len() < before;
        while !has_failed && self.0.len() < SPARES {
            let Ok(spare) = Spare::start() else { return };
            self.0.push_back(spare);
        }
    }

    /// They end, since nobody will ask them any more.
    pub(super) fn end(self) -> Vec<Child> {
        self.0.into_iter().map(|spare| spare.process).collect()
    }
}

impl Spare {
    fn start() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let mut tap = Command::new(own_program::EXECUTABLE);
        tap.args(["tap", "--from-broker"]).env_clear();
        let process = tap.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { socket, process })
    }
}

/// In a tap: waits until the opener says on standard input what to take, and takes the stream that comes with that for
/// standard input and output. `None` where nobody wants anything.
///
/// Fails when standard input is no opener's.
pub fn receive_request() -> Result<Option<TapRequest>, Error> {
    let wrong = |why: &str| {
        Error::new(
            format!("cannot serve standard input: {why}"),
            "this is started by a capture, and not by hand: containerdump capture",
        )
    };
    let stdin = io::stdin();
    let received = message::receive(stdin.as_fd()).map_err(|error| wrong(&error.to_string()))?;
    let Received::Message(request, descriptors) = received else { return Ok(None) };
    let request = request.map_err(|why| wrong(&why))?;
    let [stream, errors]: [OwnedFd; 2] =
        descriptors.try_into().map_err(|_| wrong("no stream came with it"))?;
    dup2_stdin(&stream)
        .and_then(|()| dup2_stdout(&stream))
        .and_then(|()| dup2_stderr(&errors))
        .map_err(|errno| wrong(&errno.to_string()))?;
    Ok(Some(request))
}
