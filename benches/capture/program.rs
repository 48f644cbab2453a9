//! One capture of one load by one program.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use super::load::Load;
use super::reader::{Reader, ReaderKind, statistics};
use crate::measure::cost;
use crate::measure::support::lab::{Container, Lab, eventually, fifo, folder, signal};

/// The command lines.
pub(crate) const COMMANDS: &[&str] = &[
    "containerdump --capture --extcap-interface docker-NAME --fifo FIFO",
    "tcpdump -i VETH -B 65536 -Z root -w FIFO",
    "dumpcap -i VETH -B 64 -q -w - >FIFO",
];
/// Rings are open before they have filters.
const SETTLE: Duration = Duration::from_millis(300);

/// The capturing program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// With default settings.
    Ours,
    /// With a buffer of 64 MiB.
    Tcpdump,
    /// With a buffer of 64 MiB.
    Dumpcap,
}

/// The result.
pub(crate) struct Captured {
    pub(crate) packets: u64,
    /// Packets dropped by the kernel.
    pub(crate) lost: u64,
    /// Packets and bytes counted by the sender's veth meanwhile.
    pub(crate) passed: [u64; 2],
    /// Bytes of the stream.
    pub(crate) bytes: u64,
    /// CPU time from readiness until everything was read.
    pub(crate) capture: Duration,
    pub(crate) reader: Duration,
    pub(crate) sender: Duration,
    /// The most resident memory of the program, with its rings, in bytes.
    pub(crate) memory: u64,
}

impl Captured {
    /// CPU seconds of the program, its reader, the sender, and all together, for each packet, or at full rate, where
    /// runs have packets of different sizes, for each byte.
    pub(crate) fn costs(&self, load: &Load) -> [f64; 4] {
        let is_tcp = matches!(load, Load::Tcp { .. });
        let [packets, bytes] = self.passed;
        let (recorded, passed) = if is_tcp { (self.bytes, bytes) } else { (self.packets, packets) };
        let together = self.capture + self.reader + self.sender;
        [
            each(self.capture, recorded),
            each(self.reader, self.bytes),
            each(self.sender, passed),
            each(together, passed),
        ]
    }
}

/// Seconds.
pub(crate) fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() / Duration::from_nanos(count.max(1)).as_secs_f64() / 1e9
}

/// A program that captures into a FIFO.
pub(crate) struct Running {
    pub(crate) child: Child,
    program: Program,
    stderr: BufReader<ChildStderr>,
}

impl Program {
    /// Starts it into `fifo`, which is being read, and waits until it captures.
    pub(crate) fn start(self, lab: &Lab, containers: &[&Container], fifo: &Path) -> Running {
        let veth = containers[0].host_veth("eth0");
        let mut command = match self {
            Self::Ours => {
                let mut command = lab.program();
                command.args(["--capture", "--fifo"]).arg(fifo).arg("--extcap-interface");
                if let [container] = containers {
                    command.arg(container.interface());
                } else {
                    let names: Vec<_> = containers.iter().map(|container| container.name.as_str()).collect();
                    command.args(["docker-all", "--containers", &names.join(",")]);
                }
                command.stdout(Stdio::null());
                command
            }
            Self::Tcpdump => {
                let mut command = Command::new("tcpdump");
                command
                    .args(["-i", &veth, "-B", "65536", "-Z", "root", "-w"])
                    .arg(fifo)
                    .stdout(Stdio::null());
                command
            }
            Self::Dumpcap => {
                let mut command = Command::new("dumpcap");
                command.args(["-i", &veth, "-B", "64", "-q", "-w", "-"]);
                command.stdout(fs::File::options().write(true).open(fifo).expect("the FIFO"));
                command
            }
        };
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut running = Running { child, program: self, stderr };
        running.wait_until_ready();
        running
    }
}

impl Running {
    fn wait_until_ready(&mut self) {
        let maps = format!("/proc/{}/maps", self.child.id());
        eventually("the rings are open", || {
            assert!(self.child.try_wait().expect("a child").is_none(), "{} captures", self.program);
            fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("socket:["))
        });
        if self.program != Program::Ours {
            let (mut line, ready) = (String::new(), ["listening on", "Capturing on"]);
            while !ready.iter().any(|words| line.contains(words)) {
                line.clear();
                assert_ne!(self.stderr.read_line(&mut line).expect("text"), 0, "{} captures", self.program);
            }
        }
        std::thread::sleep(SETTLE);
    }

    /// Ends it and its reader. Returns the packets it counted as captured and lost.
    pub(crate) fn stop(mut self, reader: Reader) -> (u64, u64) {
        signal(&self.child, "INT");
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "{}: {status}: {rest}", self.program);
        let tail = reader.tail();
        match self.program {
            Program::Ours => statistics(&tail),
            Program::Tcpdump => (number_before(&rest, " captured"), number_before(&rest, " dropped by k")),
            Program::Dumpcap => {
                // Packets received/dropped on interface 'eth0': 17/0 (…)
                let counts = rest.rsplit_once("on interface").and_then(|(_, rest)| rest.split_once(": "));
                let (received, rest) = counts.and_then(|(_, rest)| rest.split_once('/')).expect("counts");
                let lost = rest.split(' ').next().expect("a count");
                [received, lost].map(|count| count.parse().expect("a number")).into()
            }
        }
    }
}

/// Captures `load`, which the first of `containers` sends, at its veth, or at all of `containers` if it is ours.
pub(crate) fn captured(
    lab: &Lab,
    containers: &[&Container],
    load: &Load,
    program: Program,
    kind: &ReaderKind,
) -> Captured {
    let folder = folder();
    let fifo = fifo(&folder);
    let veth = containers[0].host_veth("eth0");
    let reader = Reader::start(&fifo, kind);
    let running = program.start(lab, containers, &fifo);
    let before = (passed(&veth), reader.bytes(), reader.cpu(), cost::so_far(&running.child));
    let sender = load.run(containers[0], &veth);
    let after = passed(&veth);
    let passed = [0, 1].map(|number| after[number] - before.0[number]);
    reader.wait_until_quiet();
    let (bytes, read) = (reader.bytes() - before.1, reader.cpu().saturating_sub(before.2));
    let capture = cost::so_far(&running.child).saturating_sub(before.3);
    let memory = cost::peak_memory(&running.child);
    let (packets, lost) = running.stop(reader);
    Captured { packets, lost, passed, bytes, capture, reader: read, sender, memory }
}

/// Packets and bytes counted by a veth, both directions.
pub(crate) fn passed(veth: &str) -> [u64; 2] {
    ["packets", "bytes"].map(|what| {
        let counter = |direction| {
            let path = format!("/sys/class/net/{veth}/statistics/{direction}_{what}");
            let text = fs::read_to_string(path).expect("a counter");
            text.trim().parse::<u64>().expect("a number")
        };
        counter("rx") + counter("tx")
    })
}

/// The 17 of `17 packets captured`.
fn number_before(text: &str, what: &str) -> u64 {
    let line = text.lines().find(|line| line.contains(what)).expect("a closing line");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ours => "containerdump",
            Self::Tcpdump => "tcpdump -B 65536",
            Self::Dumpcap => "dumpcap -B 64",
        })
    }
}
