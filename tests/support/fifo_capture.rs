//! A capture started as Wireshark starts it, whose FIFO the test itself reads.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use super::frames::scrambled;
use super::lab::{Lab, end_of, fifo, folder, start};
use super::packet_bytes::interfaces_in_prefix;
use super::recording::{Statistics, statistics_of};

/// Longer than the kernel needs to fill the smallest ring again.
const REFILL: Duration = Duration::from_millis(40);

/// The capture of one container, and the reader of its FIFO.
pub(crate) struct FifoCapture {
    pub(crate) child: Child,
    pub(crate) reader: File,
    /// What was read so far: the blocks before the first packet.
    pub(crate) begin: Vec<u8>,
    pub(crate) folder: TempDir,
}

impl FifoCapture {
    /// Begins, and reads until there is an interface block, which is written once the ring is open.
    pub(crate) fn begin(lab: &Lab, interface: &str, options: &[&str]) -> Self {
        Self::begin_with(lab, interface, 1, options)
    }

    /// The same with a group of `attachments`.
    pub(crate) fn begin_with(lab: &Lab, interface: &str, attachments: usize, options: &[&str]) -> Self {
        let (child, path, folder) = Self::start(lab, interface, options);
        let mut reader = File::open(path).expect("the FIFO");
        let begin = read_interfaces(&mut reader, attachments);
        Self { child, reader, begin, folder }
    }

    /// Starts only the program. Returns it with its FIFO, which another program is to read.
    pub(crate) fn start(lab: &Lab, interface: &str, options: &[&str]) -> (Child, PathBuf, TempDir) {
        Self::start_by(lab.program(), interface, options)
    }

    /// Begins by a command that starts the program.
    pub(crate) fn begin_by(program: Command, interface: &str, options: &[&str]) -> Self {
        let (child, path, folder) = Self::start_by(program, interface, options);
        let mut reader = File::open(path).expect("the FIFO");
        let begin = read_interfaces(&mut reader, 1);
        Self { child, reader, begin, folder }
    }

    fn start_by(mut program: Command, interface: &str, options: &[&str]) -> (Child, PathBuf, TempDir) {
        let folder = folder();
        let path = fifo(&folder);
        program.args(["--capture", "--extcap-interface", interface]).args(options);
        (start(program.arg("--fifo").arg(&path)), path, folder)
    }

    /// Reads the rest of the stream in a thread.
    pub(crate) fn read(&mut self, pace: Pace) -> JoinHandle<Vec<u8>> {
        let mut reader = self.reader.try_clone().expect("a descriptor");
        let mut stream = std::mem::take(&mut self.begin);
        std::thread::spawn(move || {
            pace.read_to_end(&mut reader, &mut stream);
            stream
        })
    }

    /// Waits for the end of the program.
    pub(crate) fn end(self) -> Output {
        end_of(self.child)
    }
}

/// Reads the begin of a stream until it has `count` interface blocks.
pub(crate) fn read_interfaces(reader: &mut File, count: usize) -> Vec<u8> {
    let mut begin = Vec::new();
    while interfaces_in_prefix(&begin) < count {
        let mut some = [0; 4096];
        let length = reader.read(&mut some).expect("the begin of the stream");
        assert_ne!(length, 0, "the capture ended at once");
        begin.extend_from_slice(&some[..length]);
    }
    begin
}

/// How a reader reads.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as possible.
    Fast,
    /// 1 byte to 1 MiB at a time, with pauses, as a random number decides.
    Random(u64),
}

impl Pace {
    /// Reads all that comes and appends it to `stream`.
    pub(crate) fn read_to_end(self, reader: &mut File, stream: &mut Vec<u8>) {
        let Self::Random(seed) = self else {
            reader.read_to_end(stream).expect("the stream");
            return;
        };
        let mut some = vec![0; 1 << 20];
        for step in 0.. {
            let chance = scrambled(seed + step);
            // Each power of two equally often.
            let most = 1_usize << (chance % 21);
            let length = most - (chance >> 8) as usize % most.div_ceil(2);
            match reader.read(&mut some[..length]).expect("the stream") {
                0 => return,
                count => stream.extend_from_slice(&some[..count]),
            }
            match (chance >> 40) % 16 {
                0 => std::thread::sleep(REFILL),
                1 | 2 => std::thread::sleep(Duration::from_millis((chance >> 48) % 16)),
                _ => {}
            }
        }
    }
}

/// The statistics of each interface at the end of a stream, and the file it was written to.
pub(crate) fn statistics_in(stream: &[u8]) -> Vec<Statistics> {
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    std::fs::write(&path, stream).expect("a file");
    statistics_of(&path).into_values().collect()
}
