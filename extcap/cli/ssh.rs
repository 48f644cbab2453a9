//! `containerdump ssh`: replaces this process by `ssh`, with signals unblocked.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use nix::sys::signal::SigSet;

/// Become ssh, which receives the signals that this program blocks
#[derive(Args)]
pub(super) struct SshExec {
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

impl SshExec {
    pub(super) fn run(self, privilege: Privilege) -> Result<(), Error> {
        privilege.give_up()?;
        let unblocked = SigSet::all().thread_unblock().map_err(std::io::Error::from);
        let error = unblocked.err().unwrap_or_else(|| Command::new("ssh").args(self.arguments).exec());
        Err(Error::new(
            format!("cannot start ssh: {error}"),
            "check that it is installed (Debian: openssh-client), in a folder of PATH",
        ))
    }
}
