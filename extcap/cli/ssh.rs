//! `containerdump ssh`: what a connection to another host starts in this terminal.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use nix::sys::signal::SigSet;

/// Become ssh, to which signals come that are kept from this program
#[derive(Args)]
pub(super) struct Ssh {
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

impl Ssh {
    pub(super) fn run(self, privilege: Privilege) -> Result<(), Error> {
        privilege.give_up()?;
        let unblocked = SigSet::all().thread_unblock().map_err(std::io::Error::from);
        let error = unblocked.err().unwrap_or_else(|| Command::new("ssh").args(self.arguments).exec());
        Err(Error::new(
            format!("cannot start ssh: {error}"),
            "see that it is installed (Debian: openssh-client), where PATH says",
        ))
    }
}
