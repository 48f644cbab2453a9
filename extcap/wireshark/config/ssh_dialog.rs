//! The options of the interface for containers on another host. Names, order and tabs are those of Wireshark's sshdump
//! where it has the same option. Wireshark saves the values.
//!
//! There is no option for a password: arguments of a process are public.

use containerdump::container::Container;
use containerdump::container::selection;
use containerdump::error::Error;
use containerdump::saved_hosts::ALL_CONTAINERS;
use containerdump::ssh::Elevation;

use super::dialog::{Dialog, DialogOption, FILTER_PLACEHOLDER, Input, Tab};
use crate::wireshark::last_options::LastOptions;
use crate::wireshark::line::ExtcapLine;

/// The option whose values Wireshark reloads.
const CONTAINER_NUMBER: usize = 5;
const ELEVATION_NUMBER: usize = 6;
/// Containers listed.
const MAX_LISTED_CONTAINERS: usize = 1000;

/// The options that sshdump has come first.
const SSH_OPTIONS: Dialog = Dialog { first: 0, is_saved: true, last: LastOptions::NONE };
pub(super) const CAPTURE_OPTIONS: Dialog = Dialog { first: 20, is_saved: true, last: LastOptions::NONE };

pub(super) fn lines() -> Vec<ExtcapLine> {
    let mut lines = vec![
        SSH_OPTIONS
            .option(DialogOption {
                number: 0,
                call: "--remote-host",
                display: "Remote SSH server address",
                input: Input::Text,
                tab: Tab::Server,
                tooltip: "The remote SSH host: an address, a host name or a Host of ~/.ssh/config; user and port are \
                    optional: ann@build1:2222",
            })
            .with("required", true),
        SSH_OPTIONS
            .option(DialogOption {
                number: 1,
                call: "--remote-port",
                display: "Remote SSH server port",
                input: Input::Number,
                tab: Tab::Server,
                tooltip: "The remote SSH host port: 1 to 65535; 0 uses that of your SSH configuration",
            })
            .with("range", "0,65535")
            .with("default", 0),
        SSH_OPTIONS.option(DialogOption {
            number: 2,
            call: "--remote-username",
            display: "Remote SSH server username",
            input: Input::Text,
            tab: Tab::Authentication,
            tooltip: "The remote SSH username; if empty, that of your SSH configuration",
        }),
        SSH_OPTIONS
            .option(DialogOption {
                number: 3,
                call: "--sshkey",
                display: "Path to SSH private key",
                input: Input::File,
                tab: Tab::Authentication,
                tooltip: "Private key file; if empty, ssh uses your configuration and agent. \
                    The desktop asks for its passphrase",
            })
            .with("mustexist", true),
        SSH_OPTIONS.option(DialogOption {
            number: 4,
            call: "--proxycommand",
            display: "ProxyCommand",
            input: Input::Text,
            tab: Tab::Authentication,
            tooltip: "The command to use as proxy for the SSH connection, as in ~/.ssh/config; your shell runs it",
        }),
    ];
    lines.extend(remote_capture_options());
    lines.extend(CAPTURE_OPTIONS.network());
    lines.extend([CAPTURE_OPTIONS.snap_length(), CAPTURE_OPTIONS.buffer_size(), all_containers()]);
    lines.extend(SSH_OPTIONS.values(ELEVATION_NUMBER, "--remote-priv", |elevation| match elevation {
        Elevation::None => "none",
        Elevation::Sudo => "sudo",
        Elevation::Doas => "doas",
    }));
    lines.push(CAPTURE_OPTIONS.stop_with_container());
    lines.extend(CAPTURE_OPTIONS.common_options());
    lines
}

/// The options of sshdump on the tab Capture.
fn remote_capture_options() -> [ExtcapLine; 5] {
    let option = |number, call, display, input, tooltip| {
        SSH_OPTIONS.option(DialogOption { number, call, display, input, tab: Tab::Capture, tooltip })
    };
    [
        option(
            CONTAINER_NUMBER,
            "--remote-container",
            "Container",
            Input::Selector,
            "The container to capture; Load containers lists those of the remote host",
        )
        .with("reload", true)
        .with("placeholder", "Load containers"),
        option(
            ELEVATION_NUMBER,
            "--remote-priv",
            "Gain capture privilege",
            Input::RadioButtons,
            "Run containerdump as root on the remote host with sudo or doas, which must not ask for a password",
        ),
        option(
            7,
            "--remote-noprom",
            "No promiscuous mode",
            Input::CheckBox,
            "Do not put the host veths into promiscuous mode",
        ),
        option(
            8,
            "--remote-filter",
            "Remote capture filter",
            Input::Text,
            "In addition to the capture filter above the list; applied on the remote host",
        )
        .with("placeholder", FILTER_PLACEHOLDER),
        option(
            9,
            "--remote-count",
            "Packets to capture",
            Input::Number,
            "Stop after this many packets: 1 to 2147483647; 0 for no limit",
        )
        .with("default", 0),
    ]
}

/// The values of the option Container.
pub(super) fn container_values(mut containers: Vec<Container>) -> Vec<ExtcapLine> {
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let groups = selection::groups(&containers);
    let value = |value: &str, display: &str| SSH_OPTIONS.value(CONTAINER_NUMBER, value, display);
    let mut lines = vec![all_containers()];
    lines.extend(groups.iter().map(|group| value(&group.value, group.display.as_str())));
    let listed = containers.iter().take(MAX_LISTED_CONTAINERS);
    lines.extend(listed.map(|container| value(&container.value, container.display().as_str())));
    lines
}

/// An error message in the place of the values, since Wireshark shows no error of a reload. It has the selected value,
/// which Wireshark goes on showing.
pub(super) fn load_error(error: &Error, selected: &str) -> Vec<ExtcapLine> {
    let error = error.clone().for_wireshark();
    vec![SSH_OPTIONS.value(CONTAINER_NUMBER, selected, error.message().as_str()).with("default", true)]
}

fn all_containers() -> ExtcapLine {
    SSH_OPTIONS.value(CONTAINER_NUMBER, ALL_CONTAINERS, "All containers").with("default", true)
}
