//! One capture of one load by one program.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::drain::{self, Drain};
use super::load::Load;
use crate::measure::cost;
use crate::measure::support::lab::{Container, Lab, eventually, fifo, folder, signal};

/// The command lines.
pub(crate) const COMMANDS: &[&str] = &[
    "containerdump --capture --extcap-interface docker-NAME --fifo FIFO",
    "tcpdump -i VETH -B 65536 -Z root -w FIFO (and without -B, for its default of 2 MiB)",
];

/// The capturing program.
pub(crate) enum Program {
    /// With default settings.
    Ours,
    /// With a ring of that size, or its default.
    Tcpdump { ring_kib: Option<u32> },
}

/// The result.
pub(crate) struct Captured {
    pub(crate) packets: u64,
    /// Packets dropped by the kernel.
    pub(crate) lost: u64,
    /// Packets counted by the veth meanwhile.
    passed: u64,
    bytes: u64,
    /// CPU time from its readiness until everything was read.
    processor: Duration,
    sender: Duration,
}

impl Captured {
    pub(crate) fn per_packet(&self) -> f64 {
        each(self.processor, self.packets)
    }

    /// Bytes with the headers of the stream.
    pub(crate) fn per_byte(&self) -> f64 {
        self.processor.as_secs_f64() / Duration::from_nanos(self.bytes.max(1)).as_secs_f64() / 1e9
    }

    pub(crate) fn sender_per_packet(&self) -> f64 {
        each(self.sender, self.passed)
    }
}

/// Seconds.
fn each(time: Duration, packets: u64) -> f64 {
    time.as_secs_f64() / f64::from(u32::try_from(packets.max(1)).expect("bounded loads"))
}

impl fmt::Display for Captured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, lost, passed, .. } = self;
        let megabytes = self.bytes / 1_000_000;
        let time = self.processor.as_secs_f64();
        write!(formatter, "{packets} + {lost} lost of {passed}, {megabytes} MB, {time:.2} s")
    }
}

/// Captures `load` at the veth of `container`.
pub(crate) fn captured(lab: &Lab, container: &Container, load: &Load, program: &Program) -> Captured {
    let folder = folder();
    let fifo = fifo(&folder);
    let veth = container.host_veth("eth0");
    let drain = Drain::start(&fifo);
    let mut command = match program {
        Program::Ours => {
            let mut command = lab.program();
            command.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]).arg(&fifo);
            command
        }
        Program::Tcpdump { ring_kib } => {
            let mut command = Command::new("tcpdump");
            command.args(["-i", &veth]);
            command.args(ring_kib.iter().flat_map(|kib| ["-B".to_owned(), kib.to_string()]));
            command.args(["-Z", "root", "-w"]).arg(&fifo);
            command
        }
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    wait_until_ready(program, &drain, &mut child, &mut said);
    let (before, idle) = (passed(&veth), cost::so_far(&child));
    let sender = load.run(container, &veth);
    let passed = passed(&veth) - before;
    drain.wait_until_quiet();
    let (bytes, processor) = (drain.read(), cost::so_far(&child).saturating_sub(idle));
    signal(&child, "INT");
    let status = child.wait().expect("a child");
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert!(status.success(), "{command:?}: {status}: {rest}");
    let tail = drain.tail();
    let (packets, lost) = match program {
        Program::Ours => drain::statistics(&tail),
        Program::Tcpdump { .. } => (number_before(&rest, " captured"), number_before(&rest, " dropped by k")),
    };
    Captured { packets, lost, passed, bytes, processor, sender }
}

fn wait_until_ready(
    program: &Program,
    drain: &Drain,
    child: &mut Child,
    said: &mut BufReader<std::process::ChildStderr>,
) {
    match program {
        // The interface block follows the section header once the rings are open.
        Program::Ours => eventually("the rings are open", || {
            const SECTION_HEADER: u64 = 100;
            assert!(child.try_wait().expect("a child").is_none(), "it captures");
            drain.read() > SECTION_HEADER
        }),
        Program::Tcpdump { .. } => {
            let mut line = String::new();
            while !line.contains("listening on") {
                line.clear();
                assert_ne!(said.read_line(&mut line).expect("text"), 0, "tcpdump captures");
            }
        }
    }
}

/// Packets counted by a veth, both directions.
fn passed(veth: &str) -> u64 {
    ["rx_packets", "tx_packets"]
        .iter()
        .map(|counter| {
            let path = format!("/sys/class/net/{veth}/statistics/{counter}");
            let text = fs::read_to_string(path).expect("a counter");
            text.trim().parse::<u64>().expect("a number")
        })
        .sum()
}

/// The 17 of `17 packets captured`.
fn number_before(text: &str, what: &str) -> u64 {
    let line = text.lines().find(|line| line.contains(what)).expect("a closing line");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => write!(formatter, "containerdump"),
            Self::Tcpdump { ring_kib: Some(kib) } => write!(formatter, "tcpdump -B {kib}"),
            Self::Tcpdump { ring_kib: None } => write!(formatter, "tcpdump, default ring"),
        }
    }
}
