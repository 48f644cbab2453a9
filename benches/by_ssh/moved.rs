//! One transfer of the packets from the host into a FIFO by one program.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::server::{PORT, Server};
use crate::measure::content::{Files, LENGTH};
use crate::measure::sshdump;
use crate::measure::support::lab::{Lab, fifo, folder};

/// The command lines.
pub(crate) const COMMANDS: &[&str] = &[
    "containerdump capture --host there web -w - >FIFO (there, the stream from a file stands for the packets)",
    "sshdump --capture --extcap-interface sshdump --fifo FIFO --remote-host 127.0.0.1 --remote-port 2222 \
     --remote-username root --sshkey KEY --remote-capture-command 'cat packets.pcap'",
    "ssh there 'cat packets.pcap' >FIFO",
];
/// Bytes after which the measurement starts, so that connecting does not count.
const BEGUN: u64 = 4 * 1024 * 1024;
const BLOCK: usize = 1024 * 1024;

/// The program that transfers them.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// With that value of `--compress`.
    Ours(&'static str),
    Sshdump,
    Cat,
}

/// The result.
pub(crate) struct Moved {
    /// Time for all packets.
    pub(crate) time: Duration,
    packets: u32,
    /// Bytes on the loopback interface, both directions with headers, per byte of the pcap file.
    pub(crate) wire: f64,
}

impl Moved {
    /// Megabytes of packets per second.
    pub(crate) fn rate(&self) -> f64 {
        let bytes = f64::from(self.packets) * f64::from(u16::try_from(LENGTH).expect("few"));
        bytes / self.time.as_secs_f64() / 1e6
    }
}

/// Transfers `files` by `program`.
pub(crate) fn moved(lab: &Lab, server: &Server, files: &Files, program: Program) -> Moved {
    let folder = folder();
    let fifo = fifo(&folder);
    let cat = format!("cat {}", files.pcap.display());
    let mut command = match program {
        Program::Ours(compress) => {
            let mut command = lab.program();
            command.args(["capture", "--host", "local", "web", "--quiet", "--compress", compress, "-w", "-"]);
            command.envs(server.environment());
            command
        }
        Program::Sshdump => {
            let mut command = Command::new(sshdump());
            command.args(["--capture", "--extcap-interface", "sshdump", "--fifo"]).arg(&fifo);
            command.args([
                "--remote-host",
                "127.0.0.1",
                "--remote-port",
                &PORT.to_string(),
                "--remote-username",
                "root",
            ]);
            command.arg("--sshkey").arg(server.key()).args(["--remote-capture-command", &cat]);
            command
        }
        Program::Cat => server.ssh(&cat),
    };
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || drain(&fifo)
    });
    let before = wire();
    command.stdin(Stdio::null());
    if !matches!(program, Program::Sshdump) {
        command.stdout(File::options().write(true).open(&fifo).expect("the FIFO"));
    }
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // Only the program keeps the FIFO open for writing.
    drop(command);
    let (time, bytes) = reader.join().expect("a reader");
    assert!(child.wait().expect("a child").success(), "{program}");
    let all = fs::metadata(&files.pcap).expect("the packets").len();
    assert!(bytes >= all, "{program}: {bytes} of {all} bytes");
    Moved { time, packets: files.packets, wire: float(wire() - before) / float(all) }
}

/// Reads everything; returns the time, extrapolated to the whole at the measured rate, and the bytes.
fn drain(fifo: &Path) -> (Duration, u64) {
    let (mut stream, mut block) = (File::open(fifo).expect("the FIFO"), vec![0; BLOCK]);
    let (mut begun, mut bytes) = (None, 0);
    while let Ok(count @ 1..) = stream.read(&mut block) {
        bytes += count as u64;
        if begun.is_none() && bytes >= BEGUN {
            begun = Some((Instant::now(), bytes));
        }
    }
    let (at, before) = begun.expect("more than a begin");
    (at.elapsed().mul_f64(float(bytes) / float(bytes - before)), bytes)
}

/// Bytes received on the loopback interface.
fn wire() -> u64 {
    let text = fs::read_to_string("/sys/class/net/lo/statistics/rx_bytes").expect("a counter");
    text.trim().parse().expect("a number")
}

fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number / 16).expect("a few gigabytes")) * 16.0
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(compress) => write!(formatter, "containerdump --compress {compress}"),
            Self::Sshdump => formatter.write_str("sshdump"),
            Self::Cat => formatter.write_str("ssh cat"),
        }
    }
}
