//! `--extcap-config`: the options of an interface, the same for containers and groups; and what other dialogs
//! have of them.
//!
//! Asked two or three times for every interface on Wireshark's way up, so nothing is looked up
//! here. `save=false` for all of a container's: else Wireshark keeps preferences of containers long gone, and
//! aborts at its start when it does not like a name. The defaults told here are the program's.

use std::collections::BTreeMap;
use std::fmt;

use containerdump::capture::{ALL_RINGS_MIB, MAX_SNAP_LEN};
use containerdump::container::Container;
use containerdump::last_options::LastOptions;
use containerdump::safe_text::SafeText;
use containerdump::session::Duplicates;
use containerdump::tap::{TapKind, Target};

use super::last::{FORGET, LAST_FILTER};
use super::line::ExtcapLine;

/// The value of `--network` that means every one.
pub(super) const ALL_NETWORKS: &str = "all";
/// The value of `--tap` that leaves the choice to the program.
pub(super) const ANY_TAP: &str = "auto";
/// Networks offered at most: nobody reads further.
const MOST_NETWORKS: usize = 200;
/// The largest kernel buffer of an attachment, in MiB.
pub(super) const MAX_BUFFER_MIB: u32 = 2046;
/// Characters of a capture filter that a value of the dialog can hold.
const MAX_FILTER_LEN: usize = 400;
/// Number of the argument whose values can be asked for anew.
const NETWORK: usize = 0;

/// A dialog: the number its options count from, whether Wireshark keeps what was chosen, and what else was.
pub(super) struct Dialog {
    pub(super) first: usize,
    pub(super) saved: bool,
    pub(super) last: LastOptions,
}

/// The dialog of a container, or of a group of them.
/// Its defaults are the `last` options.
pub(super) fn sentences(is_group: bool, last: &LastOptions) -> Vec<ExtcapLine> {
    let dialog = Dialog { first: 0, saved: false, last: last.clone() };
    let capture = |number, call, display, kind, tooltip| {
        dialog.argument(number, call, display, kind, "Capture", tooltip)
    };
    let mut sentences = dialog.network();
    sentences.extend([
        capture(1, "--filter", "Capture filter", "string", FILTER_TOOLTIP).with("placeholder", FILTER),
        dialog.snap_length(),
        dialog.buffer_size(),
        capture(
            4,
            "--no-promiscuous",
            "No promiscuous mode",
            "boolflag",
            "Do not put the host veths into promiscuous mode",
        ),
    ]);
    sentences.extend(is_group.then(|| dialog.containers()));
    // A group has no container whose end could be the end of the capture.
    sentences.extend((!is_group).then(|| dialog.stop_with_container()));
    sentences.extend(dialog.common());
    sentences.extend(dialog.last_filter());
    sentences.extend((!last.is_empty()).then(|| dialog.forget()));
    sentences
}

const FILTER_TOOLTIP: &str = "In addition to the capture filter above the list";
/// What stands in an empty field for a capture filter.
pub(super) const FILTER: &str = "Enter a capture filter, for example: tcp port 80";

impl Dialog {
    /// An option; nothing of a container's is kept.
    pub(super) fn argument(
        &self,
        number: usize,
        call: &'static str,
        display: &str,
        kind: &str,
        group: &str,
        tooltip: &str,
    ) -> ExtcapLine {
        let sentence = ExtcapLine::new("arg")
            .with("number", self.first + number)
            .with("call", call)
            .with("display", display)
            .with("type", if kind == "boolflag" && !self.saved { "boolean" } else { kind })
            .with("tooltip", tooltip);
        let sentence = if self.saved { sentence } else { sentence.with("save", false) };
        let sentence = sentence.with("group", group);
        // A check box that was ticked is sent when it is not ticked any more.
        if kind == "boolflag" && self.last.value(call) == Some("true") {
            sentence.with("default", true)
        } else {
            sentence
        }
    }

    /// The value of an option in the dialog: that of the last capture, else `default`.
    fn default(&self, call: &str, default: impl fmt::Display) -> String {
        self.last.value(call).map_or_else(|| default.to_string(), str::to_owned)
    }

    /// The filter of the last capture, which may be left out: an empty text would not be sent.
    fn last_filter(&self) -> Vec<ExtcapLine> {
        let Some(filter) = self.last.value("--filter") else { return Vec::new() };
        // What the grammar cannot hold is not offered.
        if SafeText::with_limit(filter, MAX_FILTER_LEN).as_str() != filter {
            return Vec::new();
        }
        let tooltip = "That of the last capture; another one above takes its place";
        vec![
            self.argument(11, LAST_FILTER, "Last capture filter", "selector", "Capture", tooltip),
            self.value(11, filter, filter).with("default", true),
            self.value(11, "", "No capture filter"),
        ]
    }

    /// Containers of a group. An empty text is not sent, so those of the last capture are no default.
    fn containers(&self) -> ExtcapLine {
        let tooltip =
            "Names of containers, separated by commas; empty for all. A packet between them is captured once";
        let placeholder = self.last.value("--containers").map_or_else(
            || "All; or names, for example: web, db".to_owned(),
            |last| format!("All; in the last capture: {last}"),
        );
        let sentence = self.argument(13, "--containers", "Containers", "string", "Capture", tooltip);
        sentence.with("placeholder", placeholder)
    }

    fn forget(&self) -> ExtcapLine {
        let tooltip = "Start with the defaults; whatever else is chosen here does not count";
        self.argument(12, FORGET, "Forget these options", "boolflag", "Capture", tooltip)
    }

    pub(super) fn network(&self) -> Vec<ExtcapLine> {
        let tooltip = "Capture the attachments to one network only; Load networks lists them";
        let sentence = self.argument(NETWORK, "--network", "Network", "selector", "Capture", tooltip);
        let sentence = sentence.with("reload", true).with("placeholder", "Load networks");
        let chosen = self.last.value("--network");
        let all = network(self.first, ALL_NETWORKS, "All networks").with("default", chosen.is_none());
        let chosen = chosen.map(|name| network(self.first, name, name).with("default", true));
        [sentence, all].into_iter().chain(chosen).collect()
    }

    pub(super) fn snap_length(&self) -> ExtcapLine {
        let tooltip = format!("Bytes captured of each packet: 1 to {MAX_SNAP_LEN}");
        let display = "Snapshot length (bytes)";
        let sentence = self.argument(2, "--snap-length", display, "unsigned", "Capture", &tooltip);
        sentence
            .with("default", self.default("--snap-length", MAX_SNAP_LEN))
            .with("range", format_args!("1,{MAX_SNAP_LEN}"))
    }

    pub(super) fn buffer_size(&self) -> ExtcapLine {
        let tooltip = format!(
            "Kernel buffer of each attachment: 2 to {MAX_BUFFER_MIB} MiB; 0 shares {ALL_RINGS_MIB} MiB among all \
             attachments"
        );
        let display = "Kernel buffer size (MiB)";
        let sentence = self.argument(3, "--buffer-size", display, "unsigned", "Capture", &tooltip);
        sentence
            .with("range", format_args!("0,{MAX_BUFFER_MIB}"))
            .with("default", self.default("--buffer-size", 0))
    }

    pub(super) fn stop_with_container(&self) -> ExtcapLine {
        let tooltip = "Otherwise the capture continues when the container is restarted or recreated";
        let display = "Stop when the container stops";
        self.argument(8, "--stop-with-container", display, "boolflag", "Capture", tooltip)
    }

    /// Options of every dialog.
    pub(super) fn common(&self) -> Vec<ExtcapLine> {
        let capture = |number, call, display, kind, tooltip| {
            self.argument(number, call, display, kind, "Capture", tooltip)
        };
        let debug = |number, call, display, kind, tooltip| {
            self.argument(number, call, display, kind, "Debug", tooltip)
        };
        let mut sentences = vec![
            capture(
                5,
                "--tap",
                "Where to capture",
                "selector",
                "Automatic uses the first of these that is possible; containerdump list -v shows which are",
            ),
            capture(
                9,
                "--duplicates",
                "Packets between captured containers",
                "selector",
                "What to do with the second copy of a packet that one captured container sends to another",
            ),
            capture(
                10,
                "--own-traffic",
                "Include containerdump's own traffic",
                "boolflag",
                "Connections to container engines over TCP, and the SSH session that containerdump runs in",
            ),
            debug(6, "--log-level", "Log level", "selector", "Set the log level"),
            debug(
                7,
                "--log-file",
                "Use a file for logging",
                "fileselect",
                "Set a file where log messages are written; without one, nothing is logged",
            )
            .with("mustexist", false),
        ];
        let mut value = |number: usize, word: &str, display: &str, default: &str| {
            sentences.push(self.value(number, word, display).with("default", word == default));
        };
        let [tap, duplicates, level] = [
            self.default("--tap", ANY_TAP),
            self.default("--duplicates", Duplicates::default().word()),
            self.default("--log-level", "message"),
        ];
        for (word, display) in [
            (ANY_TAP, "Automatic"),
            (TapKind::Host.as_str(), "At the host veth"),
            (TapKind::Inside.as_str(), "Inside the container"),
            (TapKind::Engine.as_str(), "Through the engine"),
        ] {
            value(5, word, display, &tap);
        }
        for (one, display) in [
            (Duplicates::Drop, "Drop duplicates (keep the sender's copy)"),
            (Duplicates::Keep, "Keep both copies"),
        ] {
            value(9, one.word(), display, &duplicates);
        }
        for (word, display) in
            [("message", "Message"), ("info", "Info"), ("debug", "Debug"), ("noisy", "Noisy")]
        {
            value(6, word, display, &level);
        }
        sentences
    }

    /// A value of an option.
    pub(super) fn value(&self, number: usize, value: &str, display: &str) -> ExtcapLine {
        let sentence = ExtcapLine::new("value").with("arg", self.first + number);
        sentence.with("value", value).with("display", display)
    }
}

/// The values of the network argument for one container, as it is now.
pub(super) fn networks(target: &Target) -> Vec<ExtcapLine> {
    let mut sentences = vec![network(0, ALL_NETWORKS, "All networks").with("default", true)];
    sentences.extend(target.attachments.iter().filter_map(|attachment| {
        match (attachment.interface.as_str(), attachment.network.as_str()) {
            (one, _) if attachment.tap.is_host_interface() => {
                Some(network(0, one, &format!("{one} · host network")))
            }
            ("", "") => None,
            (one, "") | ("", one) => Some(network(0, one, one)),
            (interface, name) => Some(network(0, interface, &format!("{interface} · {name}"))),
        }
    }));
    sentences
}

/// The values of the network argument for a group: the networks of all its containers, as their
/// engines' lists tell them, and on how many of them each is; in a dialog whose numbers count from `first`.
pub(super) fn networks_of<'a>(
    first: usize,
    containers: impl Iterator<Item = &'a Container>,
) -> Vec<ExtcapLine> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in containers.flat_map(|container| &container.networks).map(|one| one.name.as_str()) {
        // Who is in the host's network is captured when named.
        if !name.is_empty() && name != "host" {
            *counts.entry(name).or_default() += 1;
        }
    }
    let mut sentences = vec![network(first, ALL_NETWORKS, "All networks").with("default", true)];
    sentences.extend(counts.into_iter().take(MOST_NETWORKS).map(|(name, count)| {
        let many = if count == 1 { "" } else { "s" };
        network(first, name, &format!("{name} · {count} container{many}"))
    }));
    sentences
}

fn network(first: usize, value: &str, display: &str) -> ExtcapLine {
    ExtcapLine::new("value")
        .with("arg", first + NETWORK)
        .with("value", value)
        .with("display", SafeText::new(display))
}
