//! Commands of containerdump-install, which an installed `containerdump` passes on to it.

use std::ffi::OsString;

use clap::Args;
use containerdump::error::Error;
use containerdump::own_program;

#[derive(Args)]
pub(crate) struct InstallerArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl InstallerArgs {
    /// Fails with the program that runs `command`: this one has given up the right to gain rights.
    pub(crate) fn refuse(&self, command: &str) -> Result<(), Error> {
        let installer = own_program::sibling("containerdump-install");
        let remedy = match installer {
            Ok(path) if path.exists() => {
                let words = self.arguments.iter().map(|word| word.to_string_lossy());
                let words: Vec<_> = std::iter::once(command.into()).chain(words).collect();
                format!("{} {}", path.display(), words.join(" "))
            }
            _ => "in the source folder of containerdump, run: make install".to_owned(),
        };
        Err(Error::new(format!("cannot run {command}: it is a command of containerdump-install"), remedy))
    }
}
