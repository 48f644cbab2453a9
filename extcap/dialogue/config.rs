//! `--extcap-config`: the options of an interface, the same for containers and groups; and what other dialogs
//! have of them.
//!
//! Asked two or three times for every interface on Wireshark's way up, so nothing is looked up
//! here. `save=false` for all of a container's: else Wireshark keeps preferences of containers long gone, and
//! aborts at its start when it does not like a name. The defaults told here are the program's.

use std::collections::BTreeMap;

use containerdump::capture::{ALL_RINGS_MIB, LONGEST_SNAP_LENGTH};
use containerdump::container::Container;
use containerdump::session::Crossing;
use containerdump::tap::{Kind, Target};

use super::sentence::Sentence;

/// The value of `--network` that means every one.
pub(super) const ALL_NETWORKS: &str = "all";
/// The value of `--tap` that leaves the choice to the program.
pub(super) const ANY_TAP: &str = "auto";
/// Networks offered at most: nobody reads further.
const MOST_NETWORKS: usize = 200;
/// Number of the argument whose values can be asked for anew.
const NETWORK: usize = 0;

/// A dialog: the number its options count from, and whether Wireshark keeps what was chosen.
pub(super) struct Dialog {
    pub(super) first: usize,
    pub(super) saved: bool,
}

/// The dialog of a container, or of a group of them.
pub(super) fn sentences(is_group: bool) -> Vec<Sentence> {
    let dialog = Dialog { first: 0, saved: false };
    let capture = |number, call, display, kind, tooltip| {
        dialog.argument(number, call, display, kind, "Capture", tooltip)
    };
    let [of_network, networks] = dialog.network();
    let mut sentences = vec![
        of_network,
        networks,
        capture(
            1,
            "--filter",
            "Capture filter",
            "string",
            "Holds in addition to the filter of the capture dialog",
        )
        .with("placeholder", FILTER),
        dialog.snap_length(),
        dialog.ring_size(2).with("default", ALL_RINGS_MIB),
        capture(
            4,
            "--no-promiscuous",
            "No promiscuous mode",
            "boolflag",
            "Do not ask for packets meant for others",
        ),
    ];
    // A group has no container whose end could be the end of the capture.
    sentences.extend((!is_group).then(|| dialog.stop_with_container()));
    sentences.extend(dialog.common());
    sentences
}

const RING_SIZE: &str = "Memory of the kernel for the packets of each attachment until they are read";
/// What stands in an empty field for a capture filter.
pub(super) const FILTER: &str = "pcap-filter, such as: tcp port 80";

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
    ) -> Sentence {
        let sentence = Sentence::new("arg")
            .with("number", self.first + number)
            .with("call", call)
            .with("display", display)
            .with("type", kind)
            .with("tooltip", tooltip);
        let sentence = if self.saved { sentence } else { sentence.with("save", false) };
        sentence.with("group", group)
    }

    pub(super) fn network(&self) -> [Sentence; 2] {
        let tooltip = "Which of the networks; press the button to see them";
        let sentence = self.argument(NETWORK, "--network", "Network", "selector", "Capture", tooltip);
        let sentence = sentence.with("reload", true).with("placeholder", "Load the networks");
        [sentence, network(self.first, ALL_NETWORKS, "all networks").with("default", true)]
    }

    pub(super) fn snap_length(&self) -> Sentence {
        let tooltip = "Bytes kept of each packet";
        let sentence = self.argument(2, "--snap-length", "Snap length", "unsigned", "Capture", tooltip);
        sentence.with("default", LONGEST_SNAP_LENGTH).with("range", format_args!("1,{LONGEST_SNAP_LENGTH}"))
    }

    /// The size of rings, from `least` on. Wireshark sends a default that is kept, and then each would have what is
    /// meant for all; and it shows a number without one as 0.
    pub(super) fn ring_size(&self, least: u32) -> Sentence {
        let tooltip = if least == 0 {
            format!("{RING_SIZE}; 0 for {ALL_RINGS_MIB} MiB for all together")
        } else {
            RING_SIZE.to_owned()
        };
        let sentence = self.argument(3, "--ring-size", "Ring size (MiB)", "unsigned", "Capture", &tooltip);
        sentence.with("range", format_args!("{least},2046"))
    }

    pub(super) fn stop_with_container(&self) -> Sentence {
        let tooltip = "Otherwise the capture goes on when the container is restarted or recreated";
        let display = "Stop when the container stops";
        self.argument(8, "--stop-with-container", display, "boolflag", "Capture", tooltip)
    }

    /// What every dialog has.
    pub(super) fn common(&self) -> Vec<Sentence> {
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
                "Tap",
                "selector",
                "Where packets are taken; containerdump list -v tells more",
            ),
            capture(
                9,
                "--crossing",
                "Packets between containers",
                "selector",
                "Where a packet is kept that crosses from one captured container to another",
            ),
            capture(
                10,
                "--own-traffic",
                "Own traffic",
                "boolflag",
                "Also what containerdump itself sends: to engines over TCP, and the ssh session it runs in",
            ),
            debug(6, "--log-level", "Log level", "selector", "How much to log"),
            debug(7, "--log-file", "Log file", "fileselect", "Where to log; without it nothing is kept")
                .with("mustexist", false),
        ];
        let mut value = |number: usize, word: &str, display: &str, default| {
            sentences.push(self.value(number, word, display).with("default", default));
        };
        for (word, display) in [
            (ANY_TAP, "the best there is"),
            (Kind::Host.word(), "host veth"),
            (Kind::Inside.word(), "inside the container"),
            (Kind::Engine.word(), "through the engine"),
        ] {
            value(5, word, display, word == ANY_TAP);
        }
        for (crossing, display) in
            [(Crossing::Sender, "once, at the sender"), (Crossing::Both, "twice, at sender and receiver")]
        {
            value(9, crossing.word(), display, crossing == Crossing::default());
        }
        for (word, display) in
            [("message", "Message"), ("info", "Info"), ("debug", "Debug"), ("noisy", "Noisy")]
        {
            value(6, word, display, word == "message");
        }
        sentences
    }

    /// A value of an option.
    pub(super) fn value(&self, number: usize, value: &str, display: &str) -> Sentence {
        let sentence = Sentence::new("value").with("arg", self.first + number);
        sentence.with("value", value).with("display", display)
    }
}

/// The values of the network argument for one container, as it is now.
pub(super) fn networks(target: &Target) -> Vec<Sentence> {
    let mut sentences = vec![network(0, ALL_NETWORKS, "all networks").with("default", true)];
    sentences.extend(target.attachments.iter().filter_map(|attachment| {
        match (attachment.interface.as_str(), attachment.network.as_str()) {
            (one, _) if attachment.tap.is_hosts() => {
                Some(network(0, one, &format!("{one} · of the host, whose network the container uses")))
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
) -> Vec<Sentence> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in containers.flat_map(|container| &container.networks).map(|one| one.name.as_str()) {
        // Who is in the host's network is captured when named.
        if !name.is_empty() && name != "host" {
            *counts.entry(name).or_default() += 1;
        }
    }
    let mut sentences = vec![network(first, ALL_NETWORKS, "all networks").with("default", true)];
    sentences.extend(counts.into_iter().take(MOST_NETWORKS).map(|(name, count)| {
        let many = if count == 1 { "" } else { "s" };
        network(first, name, &format!("{name} · {count} container{many}"))
    }));
    sentences
}

fn network(first: usize, value: &str, display: &str) -> Sentence {
    Sentence::new("value").with("arg", first + NETWORK).with("value", value).with("display", display)
}
