//! The FIFO that Wireshark writes: open to read from the start to the end of the process.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::control::Wish;
use super::message::Reader;
use super::pipes;

/// Bytes read at once.
const PIECE: usize = 4096;

/// The control pipe from Wireshark, and whether Wireshark has opened it.
#[derive(Clone, Debug)]
pub(crate) struct ControlIn {
    file: Arc<File>,
    initialized: Arc<AtomicBool>,
    reader: Arc<Mutex<Reader>>,
}

impl ControlIn {
    /// Opens the FIFO without waiting for Wireshark. `None` where there is no FIFO of this user.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let file = Arc::new(pipes::fifo(path, OpenOptions::new().read(true))?);
        Some(Self { file, initialized: Arc::default(), reader: Arc::default() })
    }

    /// Another descriptor of it.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Notes that Wireshark has opened the pipe and has sent all that it sends at the start.
    pub(super) fn was_initialized(&self) {
        self.initialized.store(true, Ordering::Relaxed);
    }

    /// Whether Wireshark has opened the pipe and has sent all that it sends at the start, or has closed it since.
    /// Reads what has come: to be asked when nothing else reads it.
    pub(crate) fn is_initialized(&self) -> bool {
        let mut watched = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut watched, PollTimeout::ZERO);
        let events = watched[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLIN) {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let mut piece = [0; PIECE];
            let count = self.file.as_ref().read(&mut piece).unwrap_or_default();
            reader.take(&piece[..count]);
            if std::iter::from_fn(|| reader.next()).filter_map(Wish::of).any(|wish| wish == Wish::Begin) {
                self.was_initialized();
            }
        } else if events.contains(PollFlags::POLLHUP) {
            self.was_initialized();
        }
        self.initialized.load(Ordering::Relaxed)
    }
}
