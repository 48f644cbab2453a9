//! The two FIFOs of a toolbar. Nothing here waits: Wireshark may be slow, gone or never have come.
//!
//! Wireshark opens the one it writes while its window stands still until somebody reads there: so ours
//! is opened before anything else, and stays open.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use log::warn;
use nix::fcntl::OFlag;
use rustix::io::ioctl_fionread;

use super::message::{Command, Reader, bytes};
use super::{Control, Wish};

/// Bytes read at once, and how often in a row.
const PIECE: usize = 4096;
const MOST_PIECES: usize = 16;

/// Both ways.
#[derive(Debug)]
pub(super) struct Pipes {
    /// `None` once nobody can come any more.
    input: Option<File>,
    output: Option<File>,
    reader: Reader,
}

impl Pipes {
    /// Opens the FIFO `input` to read, and `output` to write. None where the first cannot be: without it
    /// nobody says that there is a toolbar.
    pub(super) fn open(input: &Path, output: Option<&Path>) -> Option<Self> {
        let input = fifo(input, OpenOptions::new().read(true))?;
        // Opened to read, too, it can be written before anybody reads, and when nobody does any more.
        let output = output.and_then(|path| fifo(path, OpenOptions::new().read(true).write(true)));
        Some(Self { input: Some(input), output, reader: Reader::default() })
    }

    /// Readable when something is wanted.
    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().map(AsFd::as_fd)
    }

    /// What is wanted now. Some of it may be left for the next time.
    pub(super) fn read(&mut self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let mut piece = [0; PIECE];
        for _ in 0..MOST_PIECES {
            let Some(input) = &mut self.input else { break };
            match input.read(&mut piece) {
                Ok(0) => {
                    self.wait_for_another();
                    break;
                }
                Ok(count) => {
                    self.reader.take(&piece[..count]);
                    wishes.extend(std::iter::from_fn(|| self.reader.next()).filter_map(Wish::of));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nothing for now.
                Err(_) => break,
            }
        }
        wishes
    }

    /// Whoever wrote has left, and another may come, whose window stands still where nobody reads. Opened
    /// anew, it is not readable until then (fs/pipe.c, `pipe_poll`).
    fn wait_for_another(&mut self) {
        let again = self.input.as_ref().map(|input| format!("/proc/self/fd/{}", input.as_raw_fd()));
        self.input =
            again.and_then(|path| opened(Path::new(&path), OpenOptions::new().read(true), OFlag::empty()));
        self.reader = Reader::default();
    }

    /// Writes a message, if there is room for all of it. Whether it was.
    pub(super) fn write(&mut self, control: Control, command: Command, payload: &[u8]) -> bool {
        let Some(output) = &mut self.output else { return true };
        match bytes(control as u8, command, payload) {
            Some(bytes) => output.write(&bytes).is_ok_and(|count| count == bytes.len()),
            // There is no way ever.
            None => true,
        }
    }

    /// Whether all that was written has been read: figures that come behind others are stale when they
    /// are.
    pub(super) fn all_was_read(&self) -> bool {
        self.output.as_ref().is_none_or(|output| ioctl_fionread(output).is_ok_and(|left| left == 0))
    }
}

/// Opens a FIFO of the user's own. What cannot be opened is no reason not to capture.
fn fifo(path: &Path, options: &mut OpenOptions) -> Option<File> {
    let file = opened(path, options, OFlag::O_NOFOLLOW)?;
    let own = nix::unistd::Uid::current().as_raw();
    let is_own = file.metadata().is_ok_and(|about| about.file_type().is_fifo() && about.uid() == own);
    if !is_own {
        warn!("no toolbar: {} is no FIFO of this user", path.display());
    }
    is_own.then_some(file)
}

fn opened(path: &Path, options: &mut OpenOptions, flags: OFlag) -> Option<File> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let file = options.custom_flags(flags.bits()).open(path);
    file.map_err(|error| warn!("no toolbar: cannot open {}: {error}", path.display())).ok()
}
