//! `--extcap-config`: the options of an interface, and their values where Wireshark reloads one
//! (`--extcap-reload-option`).
//!
//! The dialogs need no look-up: when Wireshark starts, it asks for the options of every interface two or three times.

mod container_dialog;
mod dialog;
mod networks;
mod reload;
mod ssh_dialog;

use containerdump::container::selection::Selection;
use containerdump::error::Error;
use containerdump::privilege::Privilege;
use containerdump::saved_hosts::ALL_CONTAINERS;

use super::arguments::ExtcapArgs;
use super::last_options::LastOptions;
use super::line::ExtcapLine;
use super::options::SSH_INTERFACE;
use super::{as_caller, saved_hosts};

/// The lines of a dialog, or the values of the option to reload.
pub(super) fn lines(arguments: &ExtcapArgs, privilege: Result<Privilege, Error>) -> Vec<ExtcapLine> {
    let interface = arguments.text("--extcap-interface").unwrap_or_default();
    match arguments.text("--extcap-reload-option") {
        None if interface == SSH_INTERFACE => ssh_dialog::lines(),
        None => {
            let last = as_caller(&privilege, || LastOptions::read(&interface)).unwrap_or_default();
            container_dialog::lines(is_group(&interface, &privilege), last)
        }
        Some(option) => {
            let option = option.trim_start_matches('-');
            if interface == SSH_INTERFACE {
                reload::ssh_option_values(arguments, option, privilege)
            } else {
                reload::container_option_values(&interface, option, privilege)
            }
        }
    }
}

/// Whether the interface is a group of containers, of this host or of a saved one.
fn is_group(interface: &str, privilege: &Result<Privilege, Error>) -> bool {
    match as_caller(privilege, || saved_hosts::resolve(interface)) {
        Some(Ok(Some(remote))) => {
            remote.container == ALL_CONTAINERS || Selection::is_group_value(&remote.container)
        }
        _ => Selection::is_group_value(interface),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// The lines of all dialogs.
    fn dialog_lines() -> Vec<String> {
        let dialogs = [
            container_dialog::lines(false, LastOptions::NONE),
            container_dialog::lines(true, LastOptions::NONE),
            ssh_dialog::lines(),
        ];
        dialogs.into_iter().flatten().map(|line| line.to_string()).collect()
    }

    fn call(line: &str) -> Option<String> {
        Some(line.split_once("{call=")?.1.split_once('}')?.0.to_owned())
    }

    #[test]
    fn every_option_of_the_dialogs_and_of_wireshark_is_known() {
        let calls: Vec<String> = dialog_lines().iter().filter_map(|line| call(line)).collect();
        assert!(calls.len() > 20, "{calls:?}");
        let wiresharks = "--capture --extcap-interface docker-web --extcap-capture-filter tcp --fifo /x \
            --extcap-control-out /y --extcap-control-in /z --extcap-version=4.6 --extcap-reload-option network \
            --extcap-config-option-name a --extcap-config-option-value b --extcap-cleanup-postkill";
        let words = wiresharks.split_whitespace().map(str::to_owned);
        let arguments: Vec<OsString> = words.chain(calls).map(OsString::from).collect();
        assert_eq!(ExtcapArgs::parse(&arguments).warning(), None);
    }

    #[test]
    fn check_box_does_not_consume_the_next_option() {
        let lines = dialog_lines();
        let check_boxes = lines.iter().filter(|line| line.contains("{type=bool"));
        let calls: Vec<String> = check_boxes.filter_map(|line| call(line)).collect();
        assert!(calls.len() > 2, "{calls:?}");
        for call in calls {
            let words = [&call, "--snap-length", "96"].map(OsString::from);
            let arguments = ExtcapArgs::parse(&words);
            assert!(arguments.has(&call), "{call}");
            assert_eq!(arguments.text("--snap-length").as_deref(), Some("96"), "{call}");
        }
    }
}
