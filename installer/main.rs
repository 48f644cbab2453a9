//! Puts containerdump where this machine's Wireshark looks, with the least rights; takes it
//! away again; and finds out why it does not work.
//!
//! ```text
//! install    places -> plan -> tree       what goes where -> may it -> done, and recorded
//! uninstall  record -> tree               exactly what the record and the files agree on
//! doctor     places, engine, rights -> report
//! ```
//!
//! Installed, it is also what the command `containerdump` starts (see `launcher`).

mod arguments;
mod command;
mod companion;
mod doctor;
mod folders;
mod group;
mod install;
mod launcher;
mod layout;
mod membership;
mod personal;
mod places;
mod plan;
mod profile;
mod program;
mod record;
mod tree;
mod uninstall;
mod users;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use containerdump::engine::SshConnectionGuard;
use containerdump::error::Error;
use containerdump::privilege::forbid_inspection;

use arguments::{Arguments, Task};

fn main() -> ExitCode {
    if let Err(trouble) = forbid_inspection() {
        complain("containerdump-install", &trouble);
        return ExitCode::FAILURE;
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    if launcher::is_for_program(&arguments) {
        return launcher::start_program(&arguments);
    }
    let _dialling = SshConnectionGuard;
    let done = match Arguments::parse().task {
        Task::Install(wish) if wish.user => personal::install(&wish),
        Task::Install(wish) => install::install(&wish),
        Task::Uninstall(wish) => uninstall::uninstall(&wish),
        Task::Doctor(wish) => return doctor::run(&wish),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            complain("containerdump-install", &trouble);
            ExitCode::FAILURE
        }
    }
}

/// Prints why `program` failed.
fn complain(program: &str, trouble: &Error) {
    let _ = writeln!(std::io::stderr(), "{program}: {trouble}");
}

/// Prints a line. A reader that has gone away is no reason to stop half-way.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
