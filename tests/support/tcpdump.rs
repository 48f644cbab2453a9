//! tcpdump, to compare captures with.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;

use super::lab::{Container, end_of, eventually, folder, signal, start};
use super::recording::assert_same;

/// Longer than tcpdump leaves a block to the kernel.
const BLOCK_TIMEOUT: Duration = Duration::from_millis(1500);

/// A running tcpdump.
pub(crate) struct Tcpdump {
    child: Child,
    pub(crate) path: PathBuf,
    folder: TempDir,
}

impl Tcpdump {
    /// On an interface of this host.
    pub(crate) fn begin(interface: &str, filter: &str) -> Self {
        Self::with(Command::new("tcpdump"), interface, filter)
    }

    /// On an interface of a container, in its network namespace.
    pub(crate) fn inside(container: &Container, interface: &str, filter: &str) -> Self {
        Self::with(container.enter(&["tcpdump"]), interface, filter)
    }

    /// On an interface, by a prepared `tcpdump` command.
    pub(crate) fn with(mut tcpdump: Command, interface: &str, filter: &str) -> Self {
        let folder = folder();
        let path = folder.path().join("witness.pcap");
        tcpdump.args(["--immediate-mode", "-U", "-B", "65536", "-Z", "root", "-i", interface, "-w"]);
        let child = start(tcpdump.arg(&path).arg(filter));
        eventually("tcpdump begins", || path.metadata().is_ok_and(|about| about.len() >= 24));
        Self { child, path, folder }
    }

    /// On an interface of this host, cut to `snap_length` bytes, for as many packets as possible. Ends with `stop_complete`.
    pub(crate) fn at_full_rate(interface: &str, filter: &str, snap_length: &str) -> Self {
        let folder = folder();
        let path = folder.path().join("witness.pcap");
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.args(["-B", "131072", "-Z", "root", "-s", snap_length, "-i", interface, "-w"]);
        let child = start(tcpdump.arg(&path).arg(filter));
        eventually("tcpdump begins", || listens(&child));
        Self { child, path, folder }
    }

    /// Stops once the kernel has handed over all packets. Panics if it dropped any. Returns the file.
    pub(crate) fn stop_complete(self) -> Vec<u8> {
        std::thread::sleep(BLOCK_TIMEOUT);
        signal(&self.child, "INT");
        let said = String::from_utf8_lossy(&end_of(self.child).stderr).into_owned();
        assert!(said.contains("\n0 packets dropped by kernel"), "the witness is incomplete: {said}");
        std::fs::read(self.path).expect("its file")
    }

    /// Waits until no more packets arrive: the last ones follow the end of the programs.
    pub(crate) fn settle(&self) {
        eventually("the traffic ends", || {
            let before = self.path.metadata().expect("the file").len();
            std::thread::sleep(Duration::from_millis(400));
            self.path.metadata().expect("the file").len() == before
        });
    }

    /// Stops, and asserts that `ours` holds the same packets.
    pub(crate) fn assert_same(self, ours: &Path) {
        let (path, _folder) = self.stop();
        assert_same(ours, &path);
    }

    /// Stops. The file is removed with the returned directory.
    pub(crate) fn stop(mut self) -> (PathBuf, TempDir) {
        signal(&self.child, "INT");
        eventually("tcpdump ends", || self.child.try_wait().expect("a child").is_some());
        (self.path, self.folder)
    }
}

/// Whether a process has a packet socket that receives.
fn listens(child: &Child) -> bool {
    let folder = format!("/proc/{}/fd", child.id());
    let sockets = std::fs::read_dir(folder).expect("its descriptors").flatten();
    let sockets: Vec<String> = sockets
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{}/net/packet", child.id())).expect("packet sockets");
    // The columns are address, references, type, protocol, interface, running, memory, user, inode.
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|columns| columns[5] == "1" && sockets.iter().any(|socket| socket == columns[8]))
}
