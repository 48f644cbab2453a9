//! tcpdump, to compare captures with.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use super::lab::{Container, eventually, folder, signal, start};
use super::recording::assert_same;

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

    /// Waits until no more packets arrive: the last ones follow the end of the programs.
    pub(crate) fn settle(&self) {
        eventually("the traffic ends", || {
            let before = self.path.metadata().expect("the file").len();
            std::thread::sleep(std::time::Duration::from_millis(400));
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
