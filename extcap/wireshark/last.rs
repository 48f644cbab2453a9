//! The options of Wireshark's dialog, kept for the next capture of the same interface.
//!
//! Wireshark passes what was chosen in its dialog to one capture; it keeps nothing for containers, and of the interface for
//! other hosts no selection. So they are kept here, and used where the window starts a capture without the dialog: again
//! (Ctrl-R), by a double-click, or with `-k`. tshark and scripts get what they ask for, and nothing else.

use std::collections::BTreeMap;

use containerdump::last_options::LastOptions;

use super::arguments::ExtcapArgs;
use super::config::{ALL_NETWORKS, ANY_TAP};
use super::ssh;
use containerdump::capture::MAX_SNAP_LEN;
use containerdump::saved_hosts::ALL_CONTAINERS;
use containerdump::session::Duplicates;

/// Options of which the dialog always sends a value, and nothing but the dialog does: they are selectors.
const SELECTORS: [&str; 4] = ["--network", "--tap", "--duplicates", "--log-level"];
/// What the dialog cannot show as its default, since Wireshark sends neither a default nor an empty text.
const NOT_SHOWN: [&str; 3] = ["--containers", "--filter", "--log-file"];
/// The filter of the last capture, which the dialog offers.
pub(super) const LAST_FILTER: &str = "--last-filter";
/// Has the options of earlier captures forgotten.
pub(super) const FORGET: &str = "--forget-options";

/// Options of a container that are kept, and their defaults.
fn kept() -> [(&'static str, String); 12] {
    [
        ("--network", ALL_NETWORKS.to_owned()),
        ("--containers", String::new()),
        ("--filter", String::new()),
        ("--snap-length", MAX_SNAP_LEN.to_string()),
        ("--buffer-size", "0".to_owned()),
        ("--no-promiscuous", "false".to_owned()),
        ("--tap", ANY_TAP.to_owned()),
        ("--stop-with-container", "false".to_owned()),
        ("--duplicates", Duplicates::default().word().to_owned()),
        ("--own-traffic", "false".to_owned()),
        ("--log-level", "message".to_owned()),
        ("--log-file", String::new()),
    ]
}

/// Selections of the interface for other hosts; all else Wireshark keeps.
fn kept_of_ssh() -> [(&'static str, String); 6] {
    [
        // What was chosen on one host is nothing to another.
        ("--remote-host", String::new()),
        ("--remote-container", ALL_CONTAINERS.to_owned()),
        ("--network", ALL_NETWORKS.to_owned()),
        ("--tap", ANY_TAP.to_owned()),
        ("--duplicates", Duplicates::default().word().to_owned()),
        ("--log-level", "message".to_owned()),
    ]
}

/// How a capture begins.
#[derive(Debug)]
struct Begin {
    arguments: ExtcapArgs,
    /// What to tell of options that Wireshark did not send.
    line: Option<String>,
    /// What is kept from now on, where that changes.
    kept: Option<LastOptions>,
}

/// Options that do not matter when captures are compared: where packets go, and spellings of the filter.
const NOT_COMPARED: [&str; 10] = [
    "--capture",
    "--extcap-interface",
    "--fifo",
    "--extcap-control-in",
    "--extcap-control-out",
    "--filter",
    LAST_FILTER,
    "--remote-filter",
    FORGET,
    "--follow",
];

/// The options in force for another capture of the same Wireshark, with those kept for its `interface`.
pub(super) fn in_force(arguments: &ExtcapArgs, interface: &str) -> ExtcapArgs {
    if arguments.path("--extcap-control-in").is_none() {
        return arguments.clone();
    }
    begin(arguments, interface, &LastOptions::read(interface)).arguments
}

/// What the options of two captures have in common that may be one: all that are not defaults.
pub(super) fn compared(arguments: &ExtcapArgs) -> BTreeMap<String, String> {
    let defaults = kept();
    let is_default = |name: &str, value: &str| {
        value.is_empty()
            || value == "false"
            || defaults.iter().any(|(one, default)| *one == name && default == value)
    };
    let names = arguments.names().filter(|name| !NOT_COMPARED.contains(&name.as_str()));
    let values = names.filter_map(|name| {
        let value = arguments.text(&name).filter(|value| !is_default(&name, value))?;
        Some((name, value))
    });
    values.chain(arguments.own_filter().map(|filter| ("--filter".to_owned(), filter))).collect()
}

/// The options of a capture that Wireshark starts with `arguments`, and what to tell of those that it did not send.
pub(super) fn apply(arguments: &ExtcapArgs) -> (ExtcapArgs, Option<String>) {
    // Only Wireshark's window has a toolbar.
    if arguments.path("--extcap-control-in").is_none() {
        return (arguments.clone(), None);
    }
    let interface = arguments.text("--extcap-interface").unwrap_or_default();
    let begin = begin(arguments, &interface, &LastOptions::read(&interface));
    if let Some(Err(error)) = begin.kept.map(|kept| kept.keep(&interface)) {
        log::warn!("cannot keep the options of {interface}: {error}");
    }
    (begin.arguments, begin.line)
}

fn begin(arguments: &ExtcapArgs, interface: &str, last: &LastOptions) -> Begin {
    let is_of_ssh = interface == ssh::INTERFACE;
    if SELECTORS.iter().all(|name| arguments.text(name).is_none()) {
        let is_other_host =
            is_of_ssh && arguments.text("--remote-host").as_deref() != last.value("--remote-host");
        if last.is_empty() || is_other_host {
            return Begin { arguments: arguments.clone(), line: None, kept: None };
        }
        let line = format!("options as in the last capture: {}", listed(last));
        return Begin { arguments: arguments.with_defaults(last.iter()), line: Some(line), kept: None };
    }
    if arguments.has(FORGET) {
        let names: Vec<&str> = kept().iter().map(|(name, _)| *name).chain([LAST_FILTER]).collect();
        let line = "the options are the defaults again".to_owned();
        let arguments = arguments.without(&names);
        return Begin { arguments, line: Some(line), kept: Some(LastOptions::NONE) };
    }
    let (options, arguments) = if is_of_ssh {
        (&kept_of_ssh()[..], arguments.clone())
    } else {
        // The dialog sends what differs from its defaults, and those were these.
        let shown = last.iter().filter(|(name, _)| !NOT_SHOWN.contains(name));
        (&kept()[..], arguments.with_defaults(shown))
    };
    let chosen = options.iter().filter_map(|(name, default)| {
        let value = if *name == "--filter" { arguments.own_filter() } else { arguments.text(name) };
        Some(((*name).to_owned(), value.filter(|value| value != default)?))
    });
    let chosen = LastOptions::new(chosen);
    let is_default = chosen.iter().all(|(name, _)| name == "--remote-host");
    Begin { arguments, line: None, kept: Some(if is_default { LastOptions::NONE } else { chosen }) }
}

/// `--filter tcp port 80, --no-promiscuous`.
fn listed(options: &LastOptions) -> String {
    let one = |(name, value): (&str, &str)| match value {
        "true" => name.to_owned(),
        value => format!("{name} {value}"),
    };
    options.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const UNCHANGED: &str = "--duplicates drop --network all --tap auto --log-level message";

    fn read(line: &str) -> ExtcapArgs {
        ExtcapArgs::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_selections_for_another_host_hold_for_that_host_only() {
        let dialog = read(&format!("--remote-host build1 --remote-container docker-web {UNCHANGED}"));
        let kept = begin(&dialog, ssh::INTERFACE, &LastOptions::NONE).kept.expect("options");
        assert_eq!(listed(&kept), "--remote-host build1, --remote-container docker-web");
        // Of what it keeps itself, Wireshark sends no selector when a capture is started again.
        let again = begin(&read("--remote-host build1"), ssh::INTERFACE, &kept);
        assert_eq!(again.arguments.text("--remote-container").as_deref(), Some("docker-web"));
        assert!(again.line.is_some() && again.kept.is_none());
        let elsewhere = begin(&read("--remote-host build2"), ssh::INTERFACE, &kept);
        assert_eq!((elsewhere.arguments.text("--remote-container"), elsewhere.line), (None, None));
        let all = read(&format!("--remote-host build1 --remote-container all {UNCHANGED}"));
        assert!(begin(&all, ssh::INTERFACE, &kept).kept.expect("options").is_empty());
    }

    #[test]
    fn a_dialog_with_all_defaults_has_nothing_kept() {
        let begun = begin(&read(UNCHANGED), "docker-web", &LastOptions::NONE);
        assert_eq!((begun.line, begun.kept), (None, Some(LastOptions::NONE)));
    }

    #[test]
    fn a_log_file_is_kept_for_a_restart_and_chosen_anew_in_the_dialog() {
        let kept = begin(&read(&format!("--log-file /x {UNCHANGED}")), "docker-web", &LastOptions::NONE).kept;
        let kept = kept.expect("options");
        let again = begin(&read(""), "docker-web", &kept);
        assert_eq!(again.arguments.text("--log-file").as_deref(), Some("/x"));
        assert!(begin(&read(UNCHANGED), "docker-web", &kept).kept.expect("options").is_empty());
    }
}
