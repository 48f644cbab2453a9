//! Traffic from a container, bounded in count and time.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::measure::cost;
use crate::measure::support::lab::{Container, eventually, folder, output, start};

const PORT: &str = "5201";

/// The command lines.
pub(crate) const COMMANDS: &[&str] = &[
    "nsenter --net --target PID trafgen -o eth0 -i FRAME -n COUNT -b RATEpps -P 1 -q",
    "iperf3 -s -1 -B BRIDGE -p 5201; nsenter --net --target PID iperf3 -c BRIDGE -p 5201 -t SECONDS",
];

/// A load on the veth of a container, to its bridge or to another container.
#[derive(Clone)]
pub(crate) enum Load<'a> {
    /// Frames of one size, at a rate per second or as fast as possible.
    Frames { size: usize, count: u64, rate: Option<u32>, to: Option<&'a Container> },
    /// TCP at full rate, with segmentation offload.
    Tcp { seconds: u32, to: Option<&'a Container> },
}

impl Load<'_> {
    /// Sends the load through the veth of `container`; returns the sender's CPU time.
    pub(crate) fn run(&self, container: &Container, host_veth: &str) -> Duration {
        let bridge = Path::new("/sys/class/net").join(host_veth).join("master");
        match self {
            Self::Frames { size, count, rate, to } => {
                let destination = to.map_or_else(
                    || fs::read_to_string(bridge.join("address")).expect("a bridge"),
                    hardware_address,
                );
                frames(container, destination.trim(), (*size, *count, *rate)).processor
            }
            Self::Tcp { seconds, to } => {
                let name = fs::canonicalize(bridge).expect("a bridge");
                let name = name.file_name().expect("a name").to_string_lossy();
                let on_bridge = || {
                    let shown = output(Command::new("ip").args(["-4", "-o", "address", "show", &name]));
                    let address = shown.split_whitespace().nth(3).and_then(|word| word.split('/').next());
                    address.expect("an address").to_owned()
                };
                tcp(container, *to, &to.map_or_else(on_bridge, Container::address), *seconds)
            }
        }
    }
}

/// The address of `eth0` in a container.
pub(crate) fn hardware_address(container: &Container) -> String {
    let shown = output(&mut container.enter(&["ip", "-o", "link", "show", "eth0"]));
    let (_, rest) = shown.split_once("link/ether ").expect("Ethernet");
    rest.split(' ').next().expect("an address").to_owned()
}

/// Sends frames of an unknown protocol, which the receiver drops. Returns the cost of the sender.
pub(crate) fn frames(
    container: &Container,
    destination: &str,
    (size, count, rate): (usize, u64, Option<u32>),
) -> cost::Cost {
    const HEADER: usize = 14;
    let folder = folder();
    let frame = folder.path().join("frame");
    // EtherType for local experiments (IEEE 802).
    let text = format!("{{ eth(da={destination}, type=0x88b5), fill(0x61, {}) }}\n", size - HEADER);
    fs::write(&frame, text).expect("a frame");
    let (count, frame) = (count.to_string(), frame.to_str().expect("a path"));
    let mut command =
        vec!["timeout", "60", "trafgen", "-o", "eth0", "-i", frame, "-n", &count, "-P", "1", "-q"];
    let rate = rate.map(|rate| format!("{rate}pps"));
    command.extend(rate.iter().flat_map(|rate| ["-b", rate]));
    cost::measure_run(&mut container.enter(&command))
}

/// `to` is the container that has `address`, if it is not this host's.
fn tcp(container: &Container, to: Option<&Container>, address: &str, seconds: u32) -> Duration {
    let there = |words: &[&str]| {
        to.map_or_else(
            || {
                let mut command = Command::new(words[0]);
                command.args(&words[1..]);
                command
            },
            |to| to.enter(words),
        )
    };
    let server = ["timeout", "60", "iperf3", "-s", "-1", "-B", address, "-p", PORT];
    let mut server = start(&mut there(&server));
    eventually("iperf3 accepts connections", || {
        !output(&mut there(&["ss", "-Hltn", &format!("sport = :{PORT}")])).is_empty()
    });
    let seconds = seconds.to_string();
    let client = ["timeout", "60", "iperf3", "-c", address, "-p", PORT, "-t", &seconds];
    let sender = cost::measure_run(&mut container.enter(&client)).processor;
    server.wait().expect("its end");
    sender
}

impl fmt::Display for Load<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames { size, rate: Some(rate), .. } => {
                write!(formatter, "{size} B, {},000/s", rate / 1000)
            }
            Self::Frames { size, rate: None, .. } => write!(formatter, "{size} B, full rate"),
            Self::Tcp { .. } => write!(formatter, "iperf3, full rate"),
        }
    }
}
