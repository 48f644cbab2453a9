//! `containerdump far`: what containerdump on another host starts here, by ssh.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use clap::{Args, Parser as _};
use containerdump::error::Error;
use containerdump::peer::PeerRequest;
use containerdump::privilege::Privilege;

use super::{Cli, Command};

/// List or capture for containerdump on another host, which started this by ssh
///
/// Says first which protocol it speaks. Reads one line from standard input, what is asked for, and then does
/// as tap: somebody has to be at the other end.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// Say which protocol is spoken, and end
    #[arg(long)]
    hello: bool,
}

impl ServeArgs {
    pub(super) fn run(self, privilege: Privilege) -> Result<(), Error> {
        let said = io::stdout()
            .write_all(containerdump::peer::hello().as_bytes())
            .and_then(|()| io::stdout().flush());
        // A reader who has left does not want the rest.
        if self.hello || said.is_err() {
            return Ok(());
        }
        // Not through a buffer: what comes after the request is for others.
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| {
            Error::new(
                format!("cannot read standard input: {error}"),
                "free some file descriptors: ulimit -n",
            )
        })?;
        let request = PeerRequest::read(File::from(input))?;
        let words = std::iter::once("containerdump".to_owned()).chain(request.arguments);
        match Cli::try_parse_from(words).map(|people| people.verb) {
            Ok(Command::List(list)) => list.run(privilege),
            Ok(Command::Capture(capture)) => capture.run_for_session(privilege, request.compress),
            Ok(_) => Err(not_understood("it is neither list nor capture")),
            Err(error) => Err(not_understood(error.to_string().lines().next().unwrap_or_default())),
        }
    }
}

fn not_understood(why: &str) -> Error {
    Error::new(
        format!("cannot do what another host asks for: {}", why.trim_start_matches("error: ")),
        "install the same version of containerdump on both",
    )
}
