//! Idle taps, waiting for a request: a running process opens in half the time, and the first packet of a starting
//! container is soon.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::TapRequest;
use super::message::{self, ReceivedMessage};
use crate::error::Error;
use crate::own_program;

/// Number of idle taps. Containers that start together need more than one.
const POOL_SIZE: usize = 2;

/// The idle taps.
#[derive(Default)]
pub(super) struct TapPool(VecDeque<IdleTap>);

struct IdleTap {
    socket: OwnedFd,
    process: Child,
}

impl TapPool {
    /// Passes a request, a stream and a descriptor for errors to a tap.
    ///
    /// Fails when none can be started, or it has ended.
    pub(super) fn assign(
        &mut self,
        request: &TapRequest,
        descriptors: [BorrowedFd<'_>; 2],
    ) -> io::Result<Child> {
        let IdleTap { socket, mut process } = self.0.pop_front().map_or_else(IdleTap::start, Ok)?;
        message::send(socket.as_fd(), request, descriptors).inspect_err(|_| {
            let _ = process.kill();
            let _ = process.wait();
        })?;
        Ok(process)
    }

    /// Refills the pool. If a tap cannot be started or one ended by itself, taps are started on demand.
    pub(super) fn refill(&mut self) {
        let count = self.0.len();
        self.0.retain_mut(|tap| matches!(tap.process.try_wait(), Ok(None)));
        let has_failed = self.0.len() < count;
        while !has_failed && self.0.len() < POOL_SIZE {
            let Ok(tap) = IdleTap::start() else { return };
            self.0.push_back(tap);
        }
    }

    /// Ends them: they see their socket closed.
    pub(super) fn close(self) -> Vec<Child> {
        self.0.into_iter().map(|tap| tap.process).collect()
    }
}

impl IdleTap {
    fn start() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (socket, remote_end) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let mut tap = Command::new(own_program::EXECUTABLE);
        tap.args(["tap", "--from-broker"]).env_clear();
        let process = tap.stdin(remote_end).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { socket, process })
    }
}

/// In a tap: receives a request on standard input, and makes the stream that comes with it standard input and output.
/// `None` if the broker has ended.
///
/// Fails when standard input is not a broker's.
pub fn receive_request() -> Result<Option<TapRequest>, Error> {
    let invalid = |why: &str| {
        Error::new(
            format!("cannot serve standard input: {why}"),
            "do not run this by hand, a capture starts it: containerdump capture",
        )
    };
    let stdin = io::stdin();
    let received = message::receive(stdin.as_fd()).map_err(|error| invalid(&error.to_string()))?;
    let ReceivedMessage::Request(request, descriptors) = received else { return Ok(None) };
    let request = request.map_err(|why| invalid(&why))?;
    let [stream, errors]: [OwnedFd; 2] =
        descriptors.try_into().map_err(|_| invalid("the request has no stream"))?;
    dup2_stdin(&stream)
        .and_then(|()| dup2_stdout(&stream))
        .and_then(|()| dup2_stderr(&errors))
        .map_err(|errno| invalid(&errno.to_string()))?;
    Ok(Some(request))
}
