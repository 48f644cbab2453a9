//! The program as Wireshark's extcap source, one file for each call.
//!
//! A query always exits with status 0: Wireshark discards its output otherwise. A capture writes to stderr only what the
//! user must see, since Wireshark shows it in a dialog.

mod arguments;
mod capture;
mod config;
mod dlts;
mod filter_check;
mod interfaces;
mod last_options;
mod line;
mod options;
mod pipe_guard;
mod remote_target;
mod saved_hosts;
pub(crate) mod shared_capture;
pub(crate) mod toolbar;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use containerdump::engine::{self, EngineTimeouts};
use containerdump::error::Error;
use containerdump::link::NamedNamespaces;
use containerdump::privilege::Privilege;
use containerdump::tap;

use arguments::ExtcapArgs;

/// Whether the program was started as an extcap source: commands of the command line come first and have no dashes.
pub(crate) fn is_extcap_call(arguments: &[OsString]) -> bool {
    let is_option = |argument: &OsString| argument.as_bytes().starts_with(b"--");
    let is_extcap =
        |argument: &OsString| argument.as_bytes().starts_with(b"--extcap-") || argument == "--capture";
    arguments.first().is_some_and(is_option) && arguments.iter().any(is_extcap)
}

/// Runs an extcap call.
pub(crate) fn run(arguments: &[OsString], privilege: Result<Privilege, Error>) -> ExitCode {
    let arguments = ExtcapArgs::parse(arguments);
    // A terminal is that of the shell which has started Wireshark.
    containerdump::ssh::disable_prompts();
    if arguments.has("--extcap-interfaces") {
        let listings = engine::list(&named_namespaces(&privilege), EngineTimeouts::INTERFACE_LIST);
        let (saved, is_stale) = as_caller(&privilege, saved_hosts::interfaces).unwrap_or_default();
        print(&interfaces::lines(&listings, &saved));
        if is_stale {
            saved_hosts::start_refresh();
        }
    } else if arguments.has("--extcap-dlts") {
        print(&dlts::lines());
    } else if arguments.has("--capture") {
        return capture(&arguments, privilege);
    } else if arguments.has("--extcap-config") {
        print(&config::lines(&arguments, privilege));
    } else if let Some(filter) = arguments.text("--extcap-capture-filter") {
        return filter_check::run(filter);
    }
    // Other calls need no output: a killed capture leaves nothing to clean up (`--extcap-cleanup-postkill`).
    ExitCode::SUCCESS
}

/// Named network namespaces that can be read. A query cannot report an error.
fn named_namespaces(privilege: &Result<Privilege, Error>) -> NamedNamespaces {
    privilege
        .as_ref()
        .ok()
        .and_then(|privilege| tap::scan_named_namespaces(privilege).ok())
        .unwrap_or_default()
}

/// Runs `work`, which reads the user's files, as the user; `None` if that is not possible.
fn as_caller<T>(privilege: &Result<Privilege, Error>, work: impl FnOnce() -> T) -> Option<T> {
    privilege.as_ref().ok()?.as_caller(work).ok()
}

fn capture(arguments: &ExtcapArgs, privilege: Result<Privilege, Error>) -> ExitCode {
    // First of all: Wireshark's window is blocked until its control pipe has a reader.
    let guard = pipe_guard::PipeGuard::open(arguments.path("--extcap-control-in"), arguments.path("--fifo"));
    if let Some(warning) = arguments.warning() {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let status = match capture::run(arguments, privilege, &guard) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error.for_wireshark();
            log::error!("{error}");
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    };
    guard.wait();
    status
}

/// Prints one line each.
fn print(lines: &[impl fmt::Display]) {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    // A reader may have left.
    let _ = io::stdout().write_all(text.as_bytes());
}
