//! `containerdump` on the command line.
//!
//! The program carries a capability, so only the capture group may start it, and it gives up the right to gain
//! any (`no_new_privs`) first of all. `doctor` has to run for users who are not in that group, and starts dumpcap, which
//! needs its own capabilities. So `/usr/local/bin/containerdump` is this installer, which carries none: it answers
//! its own commands and starts the program beside it for all others. Wireshark starts the program directly.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::unistd::{AccessFlags, access};

use containerdump::error::Error;

use crate::install::own_path;
use crate::layout::{self, shown};
use crate::membership;

/// The commands of the installer.
const OURS: [&str; 3] = ["install", "uninstall", "doctor"];

/// Whether these arguments, the name of the program first, are meant for the program and not for the installer.
pub(crate) fn is_for_program(arguments: &[OsString]) -> bool {
    let called = arguments.first().and_then(|name| Path::new(name).file_name());
    let command = arguments.get(1).and_then(|word| word.to_str());
    called == Some(OsStr::new(layout::NAME)) && !command.is_some_and(|word| OURS.contains(&word))
}

/// Becomes the program beside this installer. Returns only where that fails.
pub(crate) fn start_program(arguments: &[OsString]) -> ExitCode {
    let trouble = match own_path() {
        Ok(own) => cannot_start(&own.with_file_name(layout::NAME), arguments),
        Err(trouble) => trouble,
    };
    crate::complain(layout::NAME, &trouble);
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
