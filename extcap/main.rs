//! The program Wireshark starts, and people.

mod amount;
mod confirmation;
mod dialogue;
mod following;
mod job;
mod journal;
mod linger;
mod mixed;
mod people;
mod toolbar;

use std::process::ExitCode;

use containerdump::engine::Dialling;
use containerdump::privilege::Privilege;

fn main() -> ExitCode {
    // First of all: see the order in `containerdump::privilege`.
    let privilege = Privilege::confine();
    let _dialling = Dialling;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if dialogue::is_spoken(&arguments) {
        dialogue::answer(&arguments, privilege)
    } else {
        people::answer(privilege)
    }
}
