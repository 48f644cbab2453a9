//! The two FIFOs of a toolbar. Nothing here waits: Wireshark may be slow, gone or never have come.
//!
//! The one that Wireshark writes is opened before anything else ([`super::ControlIn`]), and stays open.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use log::warn;
use nix::fcntl::OFlag;
use rustix::io::ioctl_fionread;

use super::message::{Command, Reader, bytes};
use super::{Control, ControlIn, Wish};

/// Bytes read at once, and how often in a row.
const PIECE: usize = 4096;
const MOST_PIECES: usize = 16;

/// Both ways.
#[derive(Debug)]
pub(super) struct Pipes {
    control_in: ControlIn,
    /// `None` once nobody can come any more.
    input: Option<File>,
    output: Option<File>,
    reader: Reader,
}

impl Pipes {
    /// Opens the FIFO `output` to write, beside `control_in`.
    ///
    /// Fails when there are no file descriptors left.
    pub(super) fn open(control_in: &ControlIn, output: Option<&Path>) -> io::Result<Self> {
        let input = control_in.file()?;
        // Opened to read, too, it can be written before anybody reads, and when nobody does any more.
        let output = output.and_then(|path| fifo(path, OpenOptions::new().read(true).write(true)));
        Ok(Self { control_in: control_in.clone(), input: Some(input), output, reader: Reader::default() })
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
        if wishes.contains(&Wish::Begin) {
            self.control_in.was_initialized();
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
pub(super) fn fifo(path: &Path, options: &mut OpenOptions) -> Option<File> {
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
