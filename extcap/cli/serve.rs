//! `containerdump serve`: list or capture for containerdump on another host.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use clap::Args;
use containerdump::error::Error;
use containerdump::peer;
use containerdump::privilege::Privilege;
use containerdump::request::PeerRequest;
use nix::poll::{PollFd, PollFlags, poll};

use super::{capture, list};

/// List or capture for containerdump on another host, which starts this over ssh
///
/// Prints the version of the protocol, then reads one line from standard input, the request, and writes the
/// list or the capture to standard output. Ends like tap when standard input ends or is silent.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// Print the version of the protocol, and exit
    #[arg(long)]
    hello: bool,
}

/// For the request to arrive; it is sent with the greeting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Standard input until a deadline.
struct RequestInput {
    input: File,
    deadline: Instant,
}

impl io::Read for RequestInput {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let milliseconds = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
        match poll(&mut [PollFd::new(self.input.as_fd(), PollFlags::POLLIN)], milliseconds)? {
            0 => Err(io::Error::other(format!("none within {} seconds", REQUEST_TIMEOUT.as_secs()))),
            _ => self.input.read(bytes),
        }
    }
}

impl ServeArgs {
    pub(super) fn run(self, privilege: Privilege) -> Result<(), Error> {
        let printed = io::stdout().write_all(peer::hello().as_bytes()).and_then(|()| io::stdout().flush());
        // A closed pipe is a normal end.
        if self.hello || printed.is_err() {
            return Ok(());
        }
        // Unbuffered: what follows the request is read by others.
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| {
            Error::new(
                format!("cannot read standard input: {error}"),
                "raise the limit of open files: ulimit -n",
            )
        })?;
        let input = RequestInput { input: File::from(input), deadline: Instant::now() + REQUEST_TIMEOUT };
        match PeerRequest::read(input)? {
            PeerRequest::List(request) => list::serve(request, &privilege),
            PeerRequest::Capture(request) => capture::serve(request, privilege),
        }
    }
}
