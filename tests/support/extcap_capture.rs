//! A capture started as Wireshark starts it, without a toolbar.

use std::path::PathBuf;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::lab::{Lab, end_of, eventually, fifo, folder, signal, start};

/// The capture, whose packets are copied from the FIFO to a file.
pub(crate) struct ExtcapCapture {
    pub(crate) child: Child,
    copy: Child,
    pub(crate) path: PathBuf,
    folder: TempDir,
}

impl ExtcapCapture {
    /// Begins and waits for the first interface block.
    pub(crate) fn begin(lab: &Lab, interface: &str, options: &[&str]) -> Self {
        Self::begin_by(lab.program(), interface, options)
    }

    pub(crate) fn begin_by(mut program: Command, interface: &str, options: &[&str]) -> Self {
        let folder = folder();
        let (fifo, path) = (fifo(&folder), folder.path().join("out.pcapng"));
        program.args(["--capture", "--extcap-interface", interface, "--fifo"]).arg(&fifo).args(options);
        let child = start(&mut program);
        // dd would keep what does not fill a block.
        let mut copy = Command::new("sh");
        let copy = start(copy.args(["-c", "cat \"$0\" > \"$1\""]).args([&fifo, &path]));
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 300));
        Self { child, copy, path, folder }
    }

    /// Ends it as Wireshark does. Returns its file and what it printed on standard error.
    pub(crate) fn stop(self) -> (PathBuf, TempDir, String) {
        signal(&self.child, "TERM");
        self.end()
    }

    /// Waits for its own end. Returns the same.
    pub(crate) fn end(self) -> (PathBuf, TempDir, String) {
        let ended = end_of(self.child);
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{stderr}");
        end_of(self.copy);
        (self.path, self.folder, stderr)
    }
}
