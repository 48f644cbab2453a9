//! Where the stream goes: a pipe with a reader who may leave or stall, or files.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::libc::{MSG_DONTWAIT, MSG_NOSIGNAL};
use nix::poll::{PollFd, PollFlags};
use socket2::SockRef;

use super::stop::{Stop, Stopped};
use crate::packed::{Compress, Packer};
use crate::trouble::Trouble;

/// How long a stalled reader is waited for after the capture was asked to stop.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);
/// The same where another session reads, which has a limit of its own.
const PATIENCE_WITH_SESSION: Duration = Duration::from_secs(1);
/// A reader that is slow, and takes something now and then, is waited for at most this many times as long: else
/// the stream would break off within a block.
const TIMES_FOR_SLOW: u32 = 4;
/// How often a FIFO that nobody reads yet is tried again.
const READER_WAIT: Duration = Duration::from_millis(5);
/// Bytes a pipe may hold; the most an ordinary user may ask for (`fs.pipe-max-size`).
const PIPE_SIZE: usize = 1024 * 1024;
/// The same of a socket: the kernel gives twice as much, as far as `net.core.wmem_max` goes, or 208 KiB where it is not
/// asked.
const SOCKET_ROOM: usize = 256 * 1024;

/// Takes the bytes of a stream.
pub struct Output {
    kind: Kind,
    /// What makes the stream smaller on its way to another program of ours.
    packer: Option<Packer>,
    patience: Duration,
    /// Set when the capture was asked to stop and the reader stalls: when to give up unless it takes
    /// something, and when in any case.
    give_up_at: Option<(Instant, Instant)>,
}

enum Kind {
    Pipe(File),
    /// What sshd gives a program for its standard output.
    Socket(File),
    File {
        file: File,
        path: PathBuf,
    },
}

/// Why nothing more can be written.
#[derive(Debug)]
pub enum End {
    /// The reader closed the pipe: a normal end.
    ReaderGone,
    /// The capture was asked to stop while the reader stalled: a normal end.
    Stalled,
    /// The disk is full, or the like.
    Failed(Trouble),
}

impl Output {
    /// Opens the FIFO Wireshark made, once it reads from it.
    ///
    /// Fails when it is no FIFO, belongs to someone else, or cannot be written; with [`Stopped`]
    /// when there is a reason to stop before anyone reads.
    pub fn fifo(path: &Path, stop: &Stop) -> Result<Result<Self, Trouble>, Stopped> {
        loop {
            // No creation, no truncation, no link followed: the path comes from outside.
            let opened = OpenOptions::new()
                .write(true)
                .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
                .open(path);
            match opened {
                Ok(file) => return Ok(own_fifo(&file, path).map(|()| Self::to_pipe(file))),
                Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => stop.sleep(READER_WAIT)?,
                Err(error) => return Ok(Err(cannot_open(path, &error))),
            }
        }
    }

    /// Standard output.
    ///
    /// Fails when it is closed.
    pub fn stdout() -> Result<Self, Trouble> {
        let cannot = |error: io::Error| {
            Trouble::new(format!("cannot write to standard output: {error}"), "name a file: -w FILE")
        };
        // Opened anew, not to change how others who hold the same pipe find it.
        let anew = OpenOptions::new()
            .write(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
            .open("/proc/self/fd/1");
        let file = match anew {
            Ok(file) if file.metadata().is_ok_and(|about| about.file_type().is_fifo()) => file,
            _ => File::from(io::stdout().as_fd().try_clone_to_owned().map_err(cannot)?),
        };
        if file.metadata().is_ok_and(|about| about.file_type().is_socket()) {
            let _ = SockRef::from(&file).set_send_buffer_size(SOCKET_ROOM);
            return Ok(Self::to(Kind::Socket(file)));
        }
        Ok(Self::to_pipe(file))
    }

    /// Makes the file `path`, readable to its owner only. With `replace` a file that is there is
    /// overwritten.
    ///
    /// Fails when it is there already, or cannot be made.
    pub fn file(path: &Path, replace: bool) -> Result<Self, Trouble> {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
        if replace {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let file = options.open(path).map_err(|error| cannot_open(path, &error))?;
        Ok(Self::to(Kind::File { file, path: path.to_owned() }))
    }

    fn to_pipe(file: File) -> Self {
        // A smaller pipe only means more waits.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_SIZE);
        Self::to(Kind::Pipe(file))
    }

    fn to(kind: Kind) -> Self {
        Self { kind, packer: None, patience: PATIENCE, give_up_at: None }
    }

    /// The same, for another program of ours, which knows a packed stream when it sees one.
    #[must_use]
    pub fn packed(self, compress: Compress) -> Self {
        let wanted = (compress != Compress::Off).then(|| Packer::new(compress));
        // Without memory for it the stream goes as it is.
        Self { packer: wanted.and_then(Result::ok), ..self }
    }

    /// Another session reads it.
    pub(super) fn feed_session(&mut self) {
        self.patience = PATIENCE_WITH_SESSION;
    }

    /// The file being written, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::File { path, .. } => Some(path),
            Kind::Pipe(_) | Kind::Socket(_) => None,
        }
    }

    /// The pipe or socket, if it is one, to be watched for its reader leaving.
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Pipe(file) | Kind::Socket(file) => Some(file.as_fd()),
            Kind::File { .. } => None,
        }
    }

    /// Writes all of `slices`, waiting for the reader as long as there is no reason to stop.
    ///
    /// Fails when nothing more can be written.
    pub fn write(&mut self, slices: &mut [IoSlice<'_>], stop: &Stop) -> Result<(), End> {
        let Some(mut packer) = self.packer.take() else { return self.write_all(slices, stop) };
        let outcome = self.write_packed(slices, &mut packer, stop);
        self.packer = Some(packer);
        outcome
    }

    fn write_packed(
        &mut self,
        mut slices: &mut [IoSlice<'_>],
        packer: &mut Packer,
        stop: &Stop,
    ) -> Result<(), End> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let chunk = packer.next(slices);
            let bytes = chunk.bytes;
            let mut pieces = chunk.pieces(slices);
            self.write_all(&mut pieces, stop)?;
            drop(pieces);
            IoSlice::advance_slices(&mut slices, bytes);
        }
        Ok(())
    }

    /// Writes all of `slices` as they are.
    fn write_all(&mut self, mut slices: &mut [IoSlice<'_>], stop: &Stop) -> Result<(), End> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let written = match &mut self.kind {
                Kind::Pipe(file) | Kind::File { file, .. } => file.write_vectored(slices),
                // Never waits, and others who hold the socket find it as it was.
                Kind::Socket(socket) => {
                    SockRef::from(&*socket).send_vectored_with_flags(slices, MSG_DONTWAIT | MSG_NOSIGNAL)
                }
            };
            match written {
                Ok(0) => return Err(self.failed(&io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    IoSlice::advance_slices(&mut slices, count);
                    if let Some((at, latest)) = &mut self.give_up_at {
                        *at = (Instant::now() + self.patience).min(*latest);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        return Err(End::ReaderGone);
                    }
                    io::ErrorKind::WouldBlock => self.wait_for_reader(stop)?,
                    _ => return Err(self.failed(&error)),
                },
            }
        }
        Ok(())
    }

    fn wait_for_reader(&mut self, stop: &Stop) -> Result<(), End> {
        let (Kind::Pipe(file) | Kind::Socket(file) | Kind::File { file, .. }) = &self.kind;
        let room = PollFd::new(file.as_fd(), PollFlags::POLLOUT);
        match self.give_up_at {
            None => {
                if stop.wait(vec![room], Duration::from_secs(1)).stop {
                    let now = Instant::now();
                    self.give_up_at = Some((now + self.patience, now + self.patience * TIMES_FOR_SLOW));
                }
            }
            Some((at, _)) => {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(End::Stalled);
                }
                let _ = nix::poll::poll(&mut [room], u16::try_from(left.as_millis()).unwrap_or(u16::MAX));
            }
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> End {
        let place = self.path().map_or("the pipe".to_owned(), |path| path.display().to_string());
        End::Failed(Trouble::new(
            format!("cannot write to {place}: {error}"),
            "see that the disk has room; -b filesize:KB -b files:N keeps a capture small",
        ))
    }
}

/// Only a FIFO of the user's own is written to.
fn own_fifo(file: &File, path: &Path) -> Result<(), Trouble> {
    let refused = |why: &str| {
        Trouble::new(
            format!("cannot write to {}: {why}", path.display()),
            "let Wireshark make the FIFO, or make one of your own: mkfifo",
        )
    };
    let about = file.metadata().map_err(|error| cannot_open(path, &error))?;
    if !about.file_type().is_fifo() {
        return Err(refused("it is not a FIFO"));
    }
    if about.uid() != nix::unistd::Uid::current().as_raw() {
        return Err(refused("it belongs to another user"));
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &io::Error) -> Trouble {
    let remedy = match error.kind() {
        io::ErrorKind::AlreadyExists => "choose another name, or overwrite it: --overwrite",
        io::ErrorKind::PermissionDenied => {
            "write to a folder of your own; as root without further rights, to one of root's, or: -w - > FILE"
        }
        _ => "see that the folder is there and has room",
    };
    Trouble::new(format!("cannot open {} for writing: {error}", path.display()), remedy)
}
