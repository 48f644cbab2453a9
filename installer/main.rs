//! Puts containerdump where this machine's Wireshark looks, with the least rights; takes it
//! away again; and finds out why it does not work.
//!
//! ```text
//! install    places -> plan -> tree       what goes where -> may it -> done, and recorded
//! uninstall  record -> tree               exactly what the record and the files agree on
//! doctor     places, engine, rights -> report
//! ```

mod arguments;
mod command;
mod companion;
mod doctor;
mod folders;
mod install;
mod layout;
mod personal;
mod places;
mod plan;
mod profile;
mod program;
mod record;
mod tree;
mod uninstall;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use containerdump::engine::Dialling;

use arguments::{Arguments, Task};

fn main() -> ExitCode {
    let _dialling = Dialling;
    let done = match Arguments::parse().task {
        Task::Install(wish) if wish.user => personal::install(&wish),
        Task::Install(wish) => install::install(&wish),
        Task::Uninstall(wish) => uninstall::uninstall(&wish),
        Task::Doctor(wish) => return doctor::run(&wish),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            let _ = writeln!(std::io::stderr(), "containerdump-install: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line. A reader that has gone away is no reason to stop half-way.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
