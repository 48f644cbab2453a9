//! `containerdump`, started by Wireshark as an extcap program, or from the command line.

mod capture;
mod capture_notices;
mod cli;
mod log_file;
mod units;
mod wireshark;

use std::process::ExitCode;

use containerdump::engine::SshConnectionGuard;
use containerdump::privilege::Privilege;

fn main() -> ExitCode {
    // First of all: see the order in `containerdump::privilege`.
    let privilege = Privilege::confine();
    let _ssh_guard = SshConnectionGuard;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if wireshark::is_extcap_call(&arguments) {
        wireshark::run(&arguments, privilege)
    } else {
        cli::run(privilege)
    }
}
