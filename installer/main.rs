//! Installs containerdump where this machine's Wireshark finds it, with the least privileges; removes it; and
//! diagnoses what keeps it from working.
//!
//! ```text
//! install    wireshark -> plan -> tree      what goes where -> checks -> done and recorded
//! uninstall  record -> tree                 what is recorded and unchanged
//! doctor     wireshark, engines, rights -> report
//! ```
//!
//! Once installed, it is also the command `containerdump` (see `launcher`).

mod arguments;
mod capability;
mod command;
mod doctor;
mod folders;
mod group;
mod install;
mod launcher;
mod layout;
mod membership;
mod personal;
mod plan;
mod profile;
mod record;
mod static_programs;
mod tree;
mod uninstall;
mod users;
mod wireshark;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use containerdump::engine::SshConnectionGuard;
use containerdump::error::Error;
use containerdump::privilege::forbid_inspection;

use arguments::{InstallerCli, InstallerCommand};

fn main() -> ExitCode {
    if let Err(error) = forbid_inspection() {
        print_error("containerdump-install", &error);
        return ExitCode::FAILURE;
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    if launcher::is_for_program(&arguments) {
        return launcher::start_program(&arguments);
    }
    let _dialling = SshConnectionGuard;
    let done = match InstallerCli::parse().command {
        InstallerCommand::Install(options) if options.user => personal::install(&options),
        InstallerCommand::Install(options) => install::install(&options),
        InstallerCommand::Uninstall(options) => uninstall::uninstall(&options),
        InstallerCommand::Doctor(options) => return doctor::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error("containerdump-install", &error);
            ExitCode::FAILURE
        }
    }
}

/// Prints on standard error why `program` failed.
fn print_error(program: &str, error: &Error) {
    let _ = writeln!(std::io::stderr(), "{program}: {error}");
}

/// Prints a line. A closed standard output does not stop an installation half-way.
fn print_line(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
