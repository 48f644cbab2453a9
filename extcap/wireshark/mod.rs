//! The questions Wireshark asks, one file for each.
//!
//! Every query ends with status 0: any other makes Wireshark throw away what was printed. A
//! capture says on stderr what the user must see and nothing else, since it becomes a dialog.

mod arguments;
mod capture;
mod config;
mod dlts;
mod filter_check;
mod interfaces;
mod last;
mod line;
mod options;
mod pipe_guard;
mod saved;
pub(crate) mod shared_capture;
mod ssh;
mod ssh_config;
pub(crate) mod toolbar;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use containerdump::container::selection::{SelectedContainer, Selection};
use containerdump::engine::EngineTimeouts;
use containerdump::error::Error;
use containerdump::last_options::LastOptions;
use containerdump::link::{Links, NamedNamespaces};
use containerdump::privilege::Privilege;
use containerdump::saved_hosts::ALL_CONTAINERS;
use containerdump::{engine, tap};

use arguments::ExtcapArgs;
use line::ExtcapLine;

use crate::wireshark::pipe_guard::PipeGuard;

/// Whether it is Wireshark who asks: people's commands come first and have no dashes.
pub(crate) fn is_spoken(arguments: &[OsString]) -> bool {
    let dashes = |argument: &OsString| argument.as_bytes().starts_with(b"--");
    let of_extcap =
        |argument: &OsString| argument.as_bytes().starts_with(b"--extcap-") || argument == "--capture";
    arguments.first().is_some_and(dashes) && arguments.iter().any(of_extcap)
}

/// Answers the question that the arguments hold; the first of this list where they hold several.
pub(crate) fn answer(arguments: &[OsString], privilege: Result<Privilege, Error>) -> ExitCode {
    let arguments = ExtcapArgs::parse(arguments);
    // The terminal is that which Wireshark was started from, if there is one.
    containerdump::ssh::disable_prompts();
    let is_of_ssh = arguments.text("--extcap-interface").as_deref() == Some(ssh::INTERFACE);
    if arguments.has("--extcap-interfaces") {
        let listings = engine::list(&entered(&privilege), EngineTimeouts::INTERFACE_LIST);
        let (saved, is_stale) = as_caller(&privilege, saved::interfaces).unwrap_or_default();
        print(&interfaces::sentences(&listings, &saved));
        if is_stale {
            saved::refresh();
        }
    } else if arguments.has("--extcap-dlts") {
        print(&dlts::lines());
    } else if arguments.has("--capture") {
        return capture(&arguments, privilege);
    } else if arguments.has("--extcap-config") {
        match arguments.text("--extcap-reload-option") {
            None if is_of_ssh => print(&ssh_config::sentences()),
            None => {
                let interface = arguments.text("--extcap-interface").unwrap_or_default();
                let last = as_caller(&privilege, || LastOptions::read(&interface)).unwrap_or_default();
                print(&config::sentences(is_of_group(&interface, &privilege), &last));
            }
            Some(option) if is_of_ssh => print(&ssh::reloaded(&arguments, &option, privilege)),
            Some(option) => print(&reloaded(&arguments, &option, privilege)),
        }
    } else if let Some(filter) = arguments.text("--extcap-capture-filter") {
        return filter_check::run(filter);
    }
    // What is left has no answer: there is nothing to tidy up after a kill
    // (`--extcap-cleanup-postkill`), and there are no tables.
    ExitCode::SUCCESS
}

/// What is in named network namespaces, as far as it may be looked at. A query has no place to tell
/// of a trouble.
fn entered(privilege: &Result<Privilege, Error>) -> NamedNamespaces {
    privilege
        .as_ref()
        .ok()
        .and_then(|privilege| tap::scan_named_namespaces(privilege).ok())
        .unwrap_or_default()
}

/// Whether the interface is a group of containers, of this host or of a saved one.
fn is_of_group(interface: &str, privilege: &Result<Privilege, Error>) -> bool {
    match as_caller(privilege, || saved::meant(interface)) {
        Some(Ok(Some((_, rest)))) => rest == ALL_CONTAINERS || Selection::is_group_value(&rest),
        _ => Selection::is_group_value(interface),
    }
}

/// What `work` comes to, which reads files of the user's; `None` where rights stand in its way.
fn as_caller<T>(privilege: &Result<Privilege, Error>, work: impl FnOnce() -> T) -> Option<T> {
    privilege.as_ref().ok()?.as_caller(work).ok()
}

/// The values of a reloaded option. Nothing is printed where they cannot be had: Wireshark then
/// leaves the ones it has.
fn reloaded(arguments: &ExtcapArgs, option: &str, privilege: Result<Privilege, Error>) -> Vec<ExtcapLine> {
    let wanted = arguments.text("--extcap-interface").unwrap_or_default();
    if option.trim_start_matches('-') != "network" {
        return Vec::new();
    }
    match as_caller(&privilege, || saved::meant(&wanted)) {
        Some(Ok(None)) => {}
        Some(Ok(Some((there, rest)))) => return saved::networks((&there, &rest), 0, privilege),
        None | Some(Err(_)) => return Vec::new(),
    }
    let entered = &entered(&privilege);
    let Ok(running) = tap::running_containers(entered, EngineTimeouts::INTERFACE_LIST) else {
        return Vec::new();
    };
    let selection = Selection { names: vec![wanted], prefer_values: true, ..Selection::default() };
    let (chosen, _) = selection.resolve(&running.containers);
    match chosen.as_slice() {
        [SelectedContainer { container, is_named: true, .. }] => {
            let mut container = (*container).clone();
            let target = Links::now().and_then(|links| tap::look_up(&mut container, &links, entered));
            target.map(|target| config::networks(&target)).unwrap_or_default()
        }
        [] => Vec::new(),
        of_group => config::networks_of(0, of_group.iter().map(|chosen| chosen.container)),
    }
}

fn capture(arguments: &ExtcapArgs, privilege: Result<Privilege, Error>) -> ExitCode {
    // First of all: Wireshark's window is blocked until its control pipe has a reader.
    let guard = PipeGuard::open(arguments.path("--extcap-control-in"), arguments.path("--fifo"));
    // Only a person or a script sends one; Wireshark shows it when the capture ends.
    if let Some(warning) = arguments.warning() {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let status = match capture::run(arguments, privilege, &guard) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            let trouble = trouble.for_wireshark();
            log::error!("{trouble}");
            // Where it cannot be said there is nobody to say it to.
            let _ = writeln!(io::stderr(), "{trouble}");
            ExitCode::FAILURE
        }
    };
    guard.wait();
    status
}

/// Prints one line each. A reader who has left does not want the rest.
fn print(lines: &[impl std::fmt::Display]) {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    let _ = io::stdout().write_all(text.as_bytes());
}
