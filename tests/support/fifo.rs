//! The FIFO of a capture, created and read as by Wireshark.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::program::until;

/// A FIFO in a folder of its own.
pub(crate) struct Fifo {
    folder: TempDir,
}

/// A reader of the FIFO.
pub(crate) struct Reader(File);

impl Fifo {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the FIFO");
        mkfifo(&folder.path().join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
        Self { folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("fifo")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens it for reading without waiting for a writer.
    pub(crate) fn reader(&self) -> Reader {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(self.path());
        Reader(file.expect("the FIFO is ours"))
    }

    /// Reads it to the end in another thread.
    pub(crate) fn read(&self) -> JoinHandle<Vec<u8>> {
        let path = self.path();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut fifo = File::open(path).expect("the FIFO is ours");
            fifo.read_to_end(&mut bytes).expect("a FIFO can be read");
            bytes
        })
    }
}

impl Reader {
    /// Waits for a complete section header, as Wireshark does.
    pub(crate) fn wait_for_header(&mut self) {
        let mut seen = Vec::new();
        until("the header is there", || {
            let mut bytes = [0; 4096];
            // EAGAIN: no data yet.
            let count = self.0.read(&mut bytes).unwrap_or(0);
            seen.extend_from_slice(&bytes[..count]);
            is_section_header(&seen)
        });
    }

    /// Whether nothing was written.
    pub(crate) fn is_still_empty(&mut self) -> bool {
        // Without a writer a FIFO that is empty is at its end.
        thread::sleep(Duration::from_millis(10));
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}

/// Whether `bytes` are exactly one section header block in native byte order.
pub(crate) fn is_section_header(bytes: &[u8]) -> bool {
    let word =
        |at: usize| bytes.get(at..at + 4).map(|word| u32::from_ne_bytes(word.try_into().expect("four")));
    let length = u32::try_from(bytes.len()).ok();
    word(0) == Some(0x0a0d_0d0a)
        && word(4) == length
        && word(8) == Some(0x1a2b_3c4d)
        && word(bytes.len().saturating_sub(4)) == length
}
