//! `--extcap-config` of the interface for other hosts: names, order and tabs are those of Wireshark's sshdump, as
//! far as there is the same. What is chosen is kept: there is one such interface, whatever containers come and go.
//!
//! There is no option for a password: it would stand in a list of processes.

use clap::ValueEnum as _;
use containerdump::container::Container;
use containerdump::container::selection;
use containerdump::error::Error;
use containerdump::last_options::LastOptions;
use containerdump::saved_hosts::ALL_CONTAINERS;
use containerdump::ssh::Elevation;

use super::config::{Dialog, FILTER};
use super::line::ExtcapLine;

/// Numbers of the option whose values can be asked for anew, and of the one behind it.
const CONTAINER: usize = 5;
const GAIN: usize = 6;
/// Containers offered at most: nobody reads further.
const MOST_CONTAINERS: usize = 1000;

/// Options of sshdump come first; others keep the order they have elsewhere.
const SSHDUMP: Dialog = Dialog { first: 0, saved: true, last: LastOptions::NONE };
pub(super) const OTHERS: Dialog = Dialog { first: 20, saved: true, last: LastOptions::NONE };

pub(super) fn sentences() -> Vec<ExtcapLine> {
    let server = |number, call, display, kind, tooltip| {
        SSHDUMP.argument(number, call, display, kind, "Server", tooltip)
    };
    let login = |number, call, display, kind, tooltip| {
        SSHDUMP.argument(number, call, display, kind, "Authentication", tooltip)
    };
    let capture = |number, call, display, kind, tooltip| {
        SSHDUMP.argument(number, call, display, kind, "Capture", tooltip)
    };
    let mut sentences = vec![
        server(
            0,
            "--remote-host",
            "Remote SSH server address",
            "string",
            "The remote SSH host: an address, a host name or a Host of ~/.ssh/config; user and port are optional: ann@build1:2222",
        )
        .with("required", true),
        server(
            1,
            "--remote-port",
            "Remote SSH server port",
            "unsigned",
            "The remote SSH host port: 1 to 65535; 0 uses that of your SSH configuration",
        )
        .with("range", "0,65535")
        .with("default", 0),
        login(
            2,
            "--remote-username",
            "Remote SSH server username",
            "string",
            "The remote SSH username; if empty, that of your SSH configuration",
        ),
        login(
            3,
            "--sshkey",
            "Path to SSH private key",
            "fileselect",
            "Private key file; if empty, ssh uses your configuration and agent. The desktop asks for its passphrase",
        )
        .with("mustexist", true),
        login(
            4,
            "--proxycommand",
            "ProxyCommand",
            "string",
            "The command to use as proxy for the SSH connection, as in ~/.ssh/config; your shell runs it",
        ),
        capture(
            CONTAINER,
            "--remote-container",
            "Container",
            "selector",
            "The container to capture; Load containers lists those of the remote host",
        )
        .with("reload", true)
        .with("placeholder", "Load containers"),
        capture(
            GAIN,
            "--remote-priv",
            "Gain capture privilege",
            "radio",
            "Run containerdump as root on the remote host with sudo or doas, which must not ask for a password",
        ),
        capture(
            7,
            "--remote-noprom",
            "No promiscuous mode",
            "boolflag",
            "Do not put the host veths into promiscuous mode",
        ),
        capture(
            8,
            "--remote-filter",
            "Remote capture filter",
            "string",
            "In addition to the capture filter above the list; applied on the remote host",
        )
        .with("placeholder", FILTER),
        capture(9, "--remote-count", "Packets to capture", "unsigned", "Stop after this many packets: 1 to 2147483647; 0 for no limit")
            .with("default", 0),
    ];
    sentences.extend(OTHERS.network());
    sentences.extend([OTHERS.snap_length(), OTHERS.buffer_size(), all()]);
    for elevation in Elevation::value_variants() {
        let name = elevation.to_string();
        let value = SSHDUMP.value(GAIN, &name, &name);
        sentences.push(value.with("default", elevation.is_none()));
    }
    sentences.push(OTHERS.stop_with_container());
    sentences.extend(OTHERS.common());
    sentences
}

/// The values of the container, as they are on a host now.
pub(super) fn containers(mut containers: Vec<Container>) -> Vec<ExtcapLine> {
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let groups = selection::groups(&containers);
    let value = |value: &str, display: &str| SSHDUMP.value(CONTAINER, value, display);
    let mut sentences = vec![all()];
    sentences.extend(groups.iter().map(|group| value(&group.value, group.display.as_str())));
    let shown = containers.iter().take(MOST_CONTAINERS);
    sentences.extend(shown.map(|one| value(&one.value, one.display().as_str())));
    sentences
}

/// The error of loading them, in their place: Wireshark has no other. It has the value that was `chosen`, since Wireshark
/// goes on showing that one, and the choice stays.
pub(super) fn trouble(trouble: &Error, chosen: &str) -> Vec<ExtcapLine> {
    let trouble = trouble.clone().for_wireshark();
    vec![SSHDUMP.value(CONTAINER, chosen, trouble.message().as_str()).with("default", true)]
}

fn all() -> ExtcapLine {
    SSHDUMP.value(CONTAINER, ALL_CONTAINERS, "All containers").with("default", true)
}
