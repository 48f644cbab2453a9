//! The FIFO that Wireshark writes (`--extcap-control-in`), open for reading as long as the process runs.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::control::UserAction;
use super::fifo::open_fifo;
use super::message::MessageReader;

/// Bytes per read.
const READ_LEN: usize = 4096;

/// The control pipe from Wireshark, and whether Wireshark has opened it.
#[derive(Clone, Debug)]
pub(crate) struct ControlIn {
    file: Arc<File>,
    initialized: Arc<AtomicBool>,
    reader: Arc<Mutex<MessageReader>>,
}

impl ControlIn {
    /// Opens the FIFO without waiting for Wireshark. `None` if `path` is not a FIFO of this user.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let file = Arc::new(open_fifo(path, OpenOptions::new().read(true))?);
        Some(Self { file, initialized: Arc::default(), reader: Arc::default() })
    }

    /// Another descriptor of the FIFO.
    ///
    /// # Errors
    ///
    /// If the process has no file descriptors left.
    pub(super) fn try_clone_file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Records that Wireshark has opened the pipe and has sent all its initial messages.
    pub(super) fn set_initialized(&self) {
        self.initialized.store(true, Ordering::Relaxed);
    }

    /// Whether Wireshark has opened the pipe and has sent all its initial messages, or has closed it since.
    /// Reads pending messages, so no one else may be reading.
    pub(crate) fn is_initialized(&self) -> bool {
        let mut watched = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut watched, PollTimeout::ZERO);
        let events = watched[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLIN) {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let mut bytes = [0; READ_LEN];
            let count = self.file.as_ref().read(&mut bytes).unwrap_or_default();
            reader.push(&bytes[..count]);
            let mut actions = std::iter::from_fn(|| reader.next()).filter_map(UserAction::decode);
            if actions.any(|action| action == UserAction::Initialize) {
                self.set_initialized();
            }
        } else if events.contains(PollFlags::POLLHUP) {
            self.set_initialized();
        }
        self.initialized.load(Ordering::Relaxed)
    }
}
