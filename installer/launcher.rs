//! `containerdump` on the command line.
//!
//! The program carries a capability, so only the capture group may execute it, and it sets `no_new_privs` first.
//! `doctor` must run for users outside that group, and starts dumpcap, which needs its own capabilities. So
//! `/usr/local/bin/containerdump` is this installer, without capabilities: it runs its own commands and executes
//! the program for all others. Wireshark executes the program directly.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::unistd::{AccessFlags, access};

use containerdump::error::Error;

use crate::install::own_path;
use crate::layout::{self, shown};
use crate::membership;

/// The installer's own commands.
const INSTALLER_COMMANDS: [&str; 3] = ["install", "uninstall", "doctor"];

/// Whether these arguments, `argv[0]` first, are for the program and not for the installer.
pub(crate) fn is_for_program(arguments: &[OsString]) -> bool {
    let called = arguments.first().and_then(|name| Path::new(name).file_name());
    let command = arguments.get(1).and_then(|word| word.to_str());
    called == Some(OsStr::new(layout::NAME))
        && !command.is_some_and(|word| INSTALLER_COMMANDS.contains(&word))
}

/// Executes the program beside this installer. Returns only on failure.
pub(crate) fn start_program(arguments: &[OsString]) -> ExitCode {
    let error = match own_path() {
        Ok(own) => cannot_start(&own.with_file_name(layout::NAME), arguments),
        Err(error) => error,
    };
    crate::print_error(layout::NAME, &error);
    ExitCode::FAILURE
}

fn cannot_start(program: &Path, arguments: &[OsString]) -> Error {
    let error = Command::new(program).arg0(layout::NAME).args(arguments.iter().skip(1)).exec();
    if program.exists() && access(program, AccessFlags::X_OK).is_err() {
        return membership::not_executable(program);
    }
    Error::new(format!("cannot start {}: {error}", shown(program)), layout::install_again())
}

#[cfg(test)]
mod tests {
    use super::is_for_program;

    fn is_passed_on(words: &[&str]) -> bool {
        is_for_program(&words.iter().map(std::ffi::OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn only_the_commands_of_the_installer_are_kept() {
        assert!(is_passed_on(&["containerdump"]));
        assert!(is_passed_on(&["/usr/local/bin/containerdump", "list", "doctor"]));
        assert!(is_passed_on(&["containerdump", "--help"]));
        assert!(!is_passed_on(&["containerdump", "doctor", "--json"]));
        assert!(!is_passed_on(&["containerdump-install", "list"]));
        assert!(!is_passed_on(&[]));
    }
}
