//! Traffic between a container and its bridge, bounded in count and time.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::measure::cost;
use crate::measure::support::lab::{Container, eventually, folder, output, start};

/// Frames of a bounded load.
const FRAMES: u64 = 500_000;
/// Slow enough for both programs on two shared processors.
const RATE: &str = "100000pps";
/// Seconds at full rate.
const SECONDS: &str = "4";
const PORT: &str = "5201";

/// The command lines.
pub(crate) const COMMANDS: &[&str] = &[
    "nsenter --net --target PID trafgen -o eth0 -i FRAME -n 500000 -b 100000pps -P 1 -q",
    "iperf3 -s -1 -B BRIDGE -p 5201; nsenter --net --target PID iperf3 -c BRIDGE -p 5201 -t 4",
];

/// A load on the veth of a container.
pub(crate) enum Load {
    /// Frames of one size from the container, at a bounded rate.
    Frames { size: usize },
    /// TCP from the container to its bridge at full rate, with segmentation offload.
    FullRate,
}

impl Load {
    /// Sends the load through the veth of `container`; returns the sender's CPU time.
    pub(crate) fn run(&self, container: &Container, host_veth: &str) -> Duration {
        let bridge = Path::new("/sys/class/net").join(host_veth).join("master");
        match self {
            Self::Frames { size } => {
                let address = fs::read_to_string(bridge.join("address")).expect("a bridge");
                frames(container, address.trim(), *size)
            }
            Self::FullRate => {
                let name = fs::canonicalize(bridge).expect("a bridge");
                full_rate(container, &name.file_name().expect("a name").to_string_lossy())
            }
        }
    }
}

/// Destination: the bridge, which drops this unknown protocol.
fn frames(container: &Container, bridge: &str, size: usize) -> Duration {
    const HEADER: usize = 14;
    let folder = folder();
    let frame = folder.path().join("frame");
    // EtherType for local experiments (IEEE 802).
    let text = format!("{{ eth(da={bridge}, type=0x88b5), fill(0x61, {}) }}\n", size - HEADER);
    fs::write(&frame, text).expect("a frame");
    let count = FRAMES.to_string();
    let frame = frame.to_str().expect("a path");
    let options = ["-n", &count, "-b", RATE, "-P", "1", "-q"];
    let command = [&["timeout", "60", "trafgen", "-o", "eth0", "-i", frame], &options[..]].concat();
    cost::measure_run(&mut container.enter(&command)).processor
}

fn full_rate(container: &Container, bridge: &str) -> Duration {
    let shown = output(Command::new("ip").args(["-4", "-o", "address", "show", bridge]));
    let address =
        shown.split_whitespace().nth(3).and_then(|word| word.split('/').next()).expect("an address");
    let server = ["60", "iperf3", "-s", "-1", "-B", address, "-p", PORT];
    let mut server = start(Command::new("timeout").args(server));
    eventually("iperf3 accepts connections", || {
        !output(Command::new("ss").args(["-Hltn", &format!("sport = :{PORT}")])).is_empty()
    });
    let client = ["timeout", "60", "iperf3", "-c", address, "-p", PORT, "-t", SECONDS];
    let sender = cost::measure_run(&mut container.enter(&client)).processor;
    server.wait().expect("its end");
    sender
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames { size } => write!(formatter, "{size} B, 100,000/s"),
            Self::FullRate => write!(formatter, "iperf3, full rate"),
        }
    }
}
