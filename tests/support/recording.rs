//! `containerdump capture` to a file, and readers of capture files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use pcap_parser::traits::PcapReaderIterator as _;
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};
use tempfile::TempDir;

use super::lab::{Container, Lab, TIMEOUT, end_of, folder, output, signal, start};
use super::tcpdump::Tcpdump;

/// A running capture.
pub(crate) struct Recording {
    pub(crate) child: Child,
    pub(crate) path: PathBuf,
    folder: TempDir,
}

impl Recording {
    /// Starts and waits for the interface blocks, which are written once the kernel rings are open.
    pub(crate) fn begin(lab: &Lab, containers: &[&Container], options: &[&str]) -> Self {
        Self::begin_by(lab.program(), containers, options)
    }

    /// The same with another program.
    pub(crate) fn begin_by(command: Command, containers: &[&Container], options: &[&str]) -> Self {
        let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
        Self::begin_with(command, &names, options)
    }

    /// The same with containers by name.
    pub(crate) fn begin_with(mut command: Command, names: &[&str], options: &[&str]) -> Self {
        let folder = folder();
        let path = folder.path().join("out.pcapng");
        command.arg("capture").args(names).args(options).arg("--write").arg(&path);
        let mut child = start(&mut command);
        let begun = Instant::now();
        while !path.metadata().is_ok_and(|about| about.len() > 100) {
            let ended = child.try_wait().expect("a child").is_some();
            if ended || begun.elapsed() > TIMEOUT {
                let _ = child.kill();
                let said = child.wait_with_output().expect("its output").stderr;
                panic!("{command:?} does not begin, ended: {ended}: {}", String::from_utf8_lossy(&said));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, path, folder }
    }

    /// Stops with SIGINT.
    pub(crate) fn stop(self) -> Recorded {
        signal(&self.child, "INT");
        self.end()
    }

    /// Stops once the traffic has ended, and asserts that both hold the same packets.
    pub(crate) fn stop_matching(self, tcpdump: Tcpdump) -> Recorded {
        tcpdump.settle();
        let recorded = self.stop();
        tcpdump.assert_same(&recorded.path);
        recorded
    }

    /// Waits for the end of the capture.
    pub(crate) fn end(self) -> Recorded {
        let ended = end_of(self.child);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Recorded {
            path: self.path,
            said: String::from_utf8_lossy(&ended.stderr).into_owned(),
            folder: self.folder,
        }
    }
}

/// An ended capture.
pub(crate) struct Recorded {
    pub(crate) path: PathBuf,
    pub(crate) said: String,
    /// Is removed with this value.
    #[expect(dead_code)]
    folder: TempDir,
}

impl Recorded {
    /// tshark's fields of packets that match a display filter.
    pub(crate) fn fields(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        fields_of(&self.path, filter, fields)
    }

    /// The final statistics by interface number.
    pub(crate) fn statistics(&self) -> BTreeMap<u32, Statistics> {
        statistics_of(&self.path)
    }
}

/// tshark's fields of the packets in a file that match a display filter.
pub(crate) fn fields_of(path: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-Y", filter]).arg("-r").arg(path);
    read_fields(&mut tshark, fields)
}

/// The same for a file that is being written and may end within a block.
pub(crate) fn fields_so_far(path: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-T", "fields", "-Y", filter]).arg("-r").arg(path);
    for field in fields {
        tshark.args(["-e", field]);
    }
    rows(&String::from_utf8_lossy(&tshark.output().expect("tshark").stdout))
}

/// The same with resolved names, and only the first occurrence of a field.
pub(crate) fn named_fields_of(path: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.args(["-N", "n", "-T", "fields", "-E", "occurrence=f", "-Y", filter]).arg("-r").arg(path);
    read_fields(&mut tshark, fields)
}

fn read_fields(tshark: &mut Command, fields: &[&str]) -> Vec<Vec<String>> {
    for field in fields {
        tshark.args(["-e", field]);
    }
    rows(&output(tshark))
}

fn rows(shown: &str) -> Vec<Vec<String>> {
    shown.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Counts HTTP requests in a file that is being written.
pub(crate) fn requests_so_far(path: &Path) -> usize {
    packets_so_far(path, "http.request")
}

/// Counts packets that match a display filter in a file that is being written.
pub(crate) fn packets_so_far(path: &Path, filter: &str) -> usize {
    let mut tshark = Command::new("tshark");
    let read = tshark.args(["-n", "-Y", filter, "-r"]).arg(path).output().expect("tshark");
    String::from_utf8_lossy(&read.stdout).lines().count()
}

/// The value of a line of capinfos.
pub(crate) fn capinfos(path: &Path, line: &str) -> String {
    let all = output(Command::new("capinfos").arg("-M").arg(path));
    let found = all.lines().find_map(|text| text.trim().strip_prefix(line));
    found.unwrap_or_else(|| panic!("no {line} in {all}")).trim_start_matches([':', ' ', '=']).to_owned()
}

/// Asserts that both files have the same number of packets and bytes, at least one packet.
pub(crate) fn assert_same(ours: &Path, witness: &Path) {
    assert_ne!(capinfos(witness, "Number of packets"), "0");
    for figure in ["Number of packets", "Data size"] {
        assert_eq!(capinfos(ours, figure), capinfos(witness, figure), "{figure}");
    }
}

/// The last interface statistics block of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) lost_in_kernel: u64,
    pub(crate) written: u64,
    /// Packets of the interface in the file.
    pub(crate) packets: u64,
}

impl Statistics {
    /// Received packets that are in the file at their sender.
    pub(crate) fn crossed(&self) -> u64 {
        self.received - self.lost - self.written
    }
}

/// Reads the statistics of a file with an independent parser. Panics if it is incomplete.
pub(crate) fn statistics_of(path: &Path) -> BTreeMap<u32, Statistics> {
    let mut all: BTreeMap<u32, Statistics> = BTreeMap::new();
    each_block(path, |block| match block {
        Block::EnhancedPacket(packet) => all.entry(packet.if_id).or_default().packets += 1,
        Block::InterfaceStatistics(block) => {
            let statistics = all.entry(block.if_id).or_default();
            for option in &block.options {
                let Ok(bytes) = option.value.get(..8).unwrap_or_default().try_into() else { continue };
                let value = u64::from_le_bytes(bytes);
                // isb_ifrecv, isb_ifdrop, isb_osdrop, isb_usrdeliv.
                match option.code.0 {
                    4 => statistics.received = value,
                    5 => statistics.lost = value,
                    7 => statistics.lost_in_kernel = value,
                    8 => statistics.written = value,
                    _ => {}
                }
            }
        }
        _ => {}
    });
    all
}

/// Calls `take` with every block of a file.
pub(crate) fn each_block(path: &Path, mut take: impl FnMut(&Block<'_>)) {
    let file = std::fs::File::open(path).expect("the file");
    let mut reader = PcapNGReader::new(1 << 20, file).expect("a pcapng file");
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                if let PcapBlockOwned::NG(block) = &block {
                    take(block);
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("more of the file"),
            Err(error) => panic!("{}: {error:?}", path.display()),
        }
    }
}

/// The number of interface blocks in a file.
pub(crate) fn interfaces_in(path: &Path) -> usize {
    let mut count = 0;
    each_block(path, |block| {
        count += usize::from(matches!(block, pcap_parser::Block::InterfaceDescription(_)));
    });
    count
}

pub(crate) fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}
