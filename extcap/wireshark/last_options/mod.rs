//! The options of the last capture of an interface, which apply to its next one.
//!
//! Wireshark passes the values of a dialog to one capture only: it saves none for containers, and no selector for the
//! interface for other hosts. So they are kept here, and used where Wireshark starts a capture without the dialog: by
//! *Restart*, by a double-click or with `-k`. tshark and scripts get the options that they pass, and no others.

mod store;

use std::collections::BTreeMap;

use containerdump::capture::MAX_SNAP_LEN;
use containerdump::saved_hosts::ALL_CONTAINERS;
use containerdump::session::Duplicates;
use containerdump::tap::TapChoice;

use super::arguments::ExtcapArgs;
use super::options::{ALL_NETWORKS, LAST_FILTER, RESET_OPTIONS, SSH_INTERFACE, default_name};
use crate::log_file::LogLevel;
pub(super) use store::LastOptions;

/// Options of which the dialog always passes a value, since they are selectors. Nothing but the dialog passes all of them.
const SELECTORS: [&str; 4] = ["--network", "--tap", "--duplicates", "--log-level"];
/// Options whose last value is not a default of the dialog: Wireshark passes neither a default nor an empty text.
const WITHOUT_DEFAULT: [&str; 3] = ["--containers", "--filter", "--log-file"];
/// Options that do not matter when the options of two captures are compared.
const NOT_COMPARED: [&str; 10] = [
    "--capture",
    "--extcap-interface",
    "--fifo",
    "--extcap-control-in",
    "--extcap-control-out",
    "--filter",
    LAST_FILTER,
    "--remote-filter",
    RESET_OPTIONS,
    "--follow",
];

/// The options of a container that are kept, with their defaults.
fn container_options() -> [(&'static str, String); 12] {
    [
        ("--network", ALL_NETWORKS.to_owned()),
        ("--containers", String::new()),
        ("--filter", String::new()),
        ("--snap-length", MAX_SNAP_LEN.to_string()),
        ("--buffer-size", "0".to_owned()),
        ("--no-promiscuous", "false".to_owned()),
        ("--tap", default_name::<TapChoice>()),
        ("--stop-with-container", "false".to_owned()),
        ("--duplicates", default_name::<Duplicates>()),
        ("--own-traffic", "false".to_owned()),
        ("--log-level", default_name::<LogLevel>()),
        ("--log-file", String::new()),
    ]
}

/// The options of the interface for other hosts that are kept: Wireshark saves the others.
fn ssh_options() -> [(&'static str, String); 6] {
    [
        // The selections are valid for this host only.
        ("--remote-host", String::new()),
        ("--remote-container", ALL_CONTAINERS.to_owned()),
        ("--network", ALL_NETWORKS.to_owned()),
        ("--tap", default_name::<TapChoice>()),
        ("--duplicates", default_name::<Duplicates>()),
        ("--log-level", default_name::<LogLevel>()),
    ]
}

/// The options that apply to a capture.
#[derive(Debug)]
struct EffectiveOptions {
    arguments: ExtcapArgs,
    /// A notice if options apply that Wireshark did not pass.
    notice: Option<String>,
    /// The options to keep, if they have changed.
    keep: Option<LastOptions>,
}

/// The options that apply to a capture of `interface` that the same Wireshark has started with `arguments`.
pub(super) fn effective_options(arguments: &ExtcapArgs, interface: &str) -> ExtcapArgs {
    if !is_from_window(arguments) {
        return arguments.clone();
    }
    resolve(arguments, interface, &LastOptions::read(interface)).arguments
}

/// The options that apply to a capture that Wireshark has started with `arguments`, and a notice for the user. Keeps
/// them for the next capture.
pub(super) fn apply(arguments: &ExtcapArgs) -> (ExtcapArgs, Option<String>) {
    if !is_from_window(arguments) {
        return (arguments.clone(), None);
    }
    let interface = arguments.text("--extcap-interface").unwrap_or_default();
    let effective = resolve(arguments, &interface, &LastOptions::read(&interface));
    if let Some(Err(error)) = effective.keep.map(|options| options.write(&interface)) {
        log::warn!("cannot keep the options of {interface}: {error}");
    }
    (effective.arguments, effective.notice)
}

/// The options that two captures must have in common to be one: all that differ from their defaults.
pub(super) fn comparable_options(arguments: &ExtcapArgs) -> BTreeMap<String, String> {
    let defaults = container_options();
    let is_default = |name: &str, value: &str| {
        value.is_empty()
            || value == "false"
            || defaults.iter().any(|(other, default)| *other == name && default == value)
    };
    let names = arguments.names().filter(|name| !NOT_COMPARED.contains(&name.as_str()));
    let values = names.filter_map(|name| {
        let value = arguments.text(&name).filter(|value| !is_default(&name, value))?;
        Some((name, value))
    });
    values.chain(arguments.dialog_filter().map(|filter| ("--filter".to_owned(), filter))).collect()
}

/// Whether Wireshark's window has started the capture: tshark has no toolbar.
fn is_from_window(arguments: &ExtcapArgs) -> bool {
    arguments.path("--extcap-control-in").is_some()
}

fn resolve(arguments: &ExtcapArgs, interface: &str, last: &LastOptions) -> EffectiveOptions {
    let is_ssh = interface == SSH_INTERFACE;
    let is_from_dialog = SELECTORS.iter().any(|name| arguments.text(name).is_some());
    if !is_from_dialog {
        let is_other_host =
            is_ssh && arguments.text("--remote-host").as_deref() != last.value("--remote-host");
        if last.is_empty() || is_other_host {
            return EffectiveOptions { arguments: arguments.clone(), notice: None, keep: None };
        }
        let notice = format!("using the options of the last capture: {}", list(last));
        let arguments = arguments.with_defaults(last.iter());
        return EffectiveOptions { arguments, notice: Some(notice), keep: None };
    }
    if arguments.has(RESET_OPTIONS) {
        let options = container_options();
        let names: Vec<&str> = options.iter().map(|(name, _)| *name).chain([LAST_FILTER]).collect();
        let notice = Some("the options were reset to their defaults".to_owned());
        let arguments = arguments.without(&names);
        return EffectiveOptions { arguments, notice, keep: Some(LastOptions::NONE) };
    }
    let (options, arguments) = if is_ssh {
        (&ssh_options()[..], arguments.clone())
    } else {
        // The dialog passes values only where they differ from its defaults, which were these.
        let defaults = last.iter().filter(|(name, _)| !WITHOUT_DEFAULT.contains(name));
        (&container_options()[..], arguments.with_defaults(defaults))
    };
    let changed = options.iter().filter_map(|(name, default)| {
        let value = if *name == "--filter" { arguments.dialog_filter() } else { arguments.text(name) };
        Some(((*name).to_owned(), value.filter(|value| value != default)?))
    });
    let changed = LastOptions::new(changed);
    let is_default = changed.iter().all(|(name, _)| name == "--remote-host");
    let keep = Some(if is_default { LastOptions::NONE } else { changed });
    EffectiveOptions { arguments, notice: None, keep }
}

/// `--filter tcp port 80, --no-promiscuous`.
fn list(options: &LastOptions) -> String {
    let option = |(name, value): (&str, &str)| match value {
        "true" => name.to_owned(),
        value => format!("{name} {value}"),
    };
    options.iter().map(option).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// What Wireshark passes from a dialog in which nothing was changed.
    const UNCHANGED: &str = "--duplicates drop --network all --tap auto --log-level message";

    fn parse(line: &str) -> ExtcapArgs {
        ExtcapArgs::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn selections_for_a_remote_host_apply_to_that_host_only() {
        let dialog = parse(&format!("--remote-host build1 --remote-container docker-web {UNCHANGED}"));
        let last = resolve(&dialog, SSH_INTERFACE, &LastOptions::NONE).keep.expect("options");
        assert_eq!(list(&last), "--remote-host build1, --remote-container docker-web");
        // When a capture is restarted, Wireshark passes the values that it saves, but no selector.
        let same_host = resolve(&parse("--remote-host build1"), SSH_INTERFACE, &last);
        assert_eq!(same_host.arguments.text("--remote-container").as_deref(), Some("docker-web"));
        assert!(same_host.notice.is_some() && same_host.keep.is_none());
        let other_host = resolve(&parse("--remote-host build2"), SSH_INTERFACE, &last);
        assert_eq!((other_host.arguments.text("--remote-container"), other_host.notice), (None, None));
        let all = parse(&format!("--remote-host build1 --remote-container all {UNCHANGED}"));
        assert!(resolve(&all, SSH_INTERFACE, &last).keep.expect("options").is_empty());
    }

    #[test]
    fn dialog_with_default_values_keeps_no_options() {
        let effective = resolve(&parse(UNCHANGED), "docker-web", &LastOptions::NONE);
        assert_eq!((effective.notice, effective.keep), (None, Some(LastOptions::NONE)));
    }

    #[test]
    fn log_file_is_kept_for_a_restart_but_not_as_a_default_of_the_dialog() {
        let dialog = parse(&format!("--log-file /x {UNCHANGED}"));
        let last = resolve(&dialog, "docker-web", &LastOptions::NONE).keep.expect("options");
        let restarted = resolve(&parse(""), "docker-web", &last);
        assert_eq!(restarted.arguments.text("--log-file").as_deref(), Some("/x"));
        assert!(resolve(&parse(UNCHANGED), "docker-web", &last).keep.expect("options").is_empty());
    }
}
