//! The two control FIFOs of a capture. Nothing here blocks: Wireshark may be slow, gone or never have opened them.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use rustix::io::ioctl_fionread;

use super::control::{Control, UserAction};
use super::control_in::ControlIn;
use super::fifo::{open, open_fifo};
use super::message::{self, ControlCommand, MessageReader};

/// Bytes per read.
const READ_LEN: usize = 4096;
/// Reads in a row.
const MAX_READS: usize = 16;

/// Both control pipes.
#[derive(Debug)]
pub(super) struct ControlPipes {
    control_in: ControlIn,
    /// `None` once the FIFO cannot be opened again.
    input: Option<File>,
    output: Option<File>,
    reader: MessageReader,
}

impl ControlPipes {
    /// Opens the FIFO `output` for writing, beside `control_in`.
    ///
    /// # Errors
    ///
    /// If the process has no file descriptors left.
    pub(super) fn open(control_in: &ControlIn, output: Option<&Path>) -> io::Result<Self> {
        let input = control_in.try_clone_file()?;
        // Opened for reading as well, it can be written without a reader.
        let output = output.and_then(|path| open_fifo(path, OpenOptions::new().read(true).write(true)));
        Ok(Self {
            control_in: control_in.clone(),
            input: Some(input),
            output,
            reader: MessageReader::default(),
        })
    }

    /// Readable when there is a user action.
    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(AsFd::as_fd)
    }

    /// Reads user actions; some may be left for the next call.
    pub(super) fn read(&mut self) -> Vec<UserAction> {
        let mut actions = Vec::new();
        let mut bytes = [0; READ_LEN];
        for _ in 0..MAX_READS {
            let Some(input) = &mut self.input else { break };
            match input.read(&mut bytes) {
                Ok(0) => {
                    self.reopen_input();
                    break;
                }
                Ok(count) => {
                    self.reader.push(&bytes[..count]);
                    actions.extend(std::iter::from_fn(|| self.reader.next()).filter_map(UserAction::decode));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if actions.contains(&UserAction::Initialize) {
            self.control_in.set_initialized();
        }
        actions
    }

    /// Waits for another writer after the last one has closed the FIFO: Wireshark's window blocks without a reader.
    /// Opened again, the FIFO is not readable until a writer comes (fs/pipe.c, `pipe_poll`).
    fn reopen_input(&mut self) {
        let path = self.input.as_ref().map(|input| format!("/proc/self/fd/{}", input.as_raw_fd()));
        self.input =
            path.and_then(|path| open(Path::new(&path), OpenOptions::new().read(true), OFlag::empty()));
        self.reader = MessageReader::default();
    }

    /// Writes a message if the pipe has room for all of it. Whether it had.
    pub(super) fn write(&mut self, control: Control, command: ControlCommand, payload: &[u8]) -> bool {
        let Some(output) = &mut self.output else { return true };
        match message::encode(control as u8, command, payload) {
            Some(bytes) => output.write(&bytes).is_ok_and(|count| count == bytes.len()),
            // A message that is too long never fits.
            None => true,
        }
    }

    /// Whether Wireshark has read everything that was written: statistics queued behind others would be stale.
    pub(super) fn is_drained(&self) -> bool {
        self.output.as_ref().is_none_or(|output| ioctl_fionread(output).is_ok_and(|left| left == 0))
    }
}
