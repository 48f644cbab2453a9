//! Where the stream goes: a pipe with a reader who may leave or stall, or files.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IoSlice, IsTerminal as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::libc::{MSG_DONTWAIT, MSG_NOSIGNAL};
use nix::poll::{PollFd, PollFlags};
use socket2::SockRef;

use super::destination::Destination;
use crate::error::Error;
use crate::peer::compression::{CompressionMode, StreamCompressor};
use crate::stop::{Stop, Stopped};

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
    made: Made,
    /// What makes the stream smaller on its way to another program of ours.
    packer: Option<StreamCompressor>,
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

/// A file that was made for the stream, as long as nothing was written to it; it goes away with this value, for
/// example on a full disk.
struct Made(Option<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        // Where it cannot be removed it stays, empty.
        let _ = self.0.take().map(fs::remove_file);
    }
}

/// Why nothing more can be written.
#[derive(Debug)]
pub enum End {
    /// The reader closed the pipe: a normal end.
    ReaderGone,
    /// The capture was asked to stop while the reader stalled: a normal end.
    Stalled,
    /// The disk is full, or the like.
    Failed(Error),
}

impl Output {
    /// Opens the FIFO Wireshark made, once it reads from it.
    ///
    /// Fails when it is no FIFO, belongs to someone else, or cannot be written; with [`Stopped`]
    /// when there is a reason to stop before anyone reads.
    pub fn fifo(path: &Path, stop: &Stop) -> Result<Result<Self, Error>, Stopped> {
        loop {
            // No creation, no truncation, no link followed: the path comes from outside.
            let opened = OpenOptions::new()
                .write(true)
                .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
                .open(path);
            match opened {
                Ok(file) => return Ok(own_fifo(&file, path).map(|()| Self::to_pipe(file))),
                Err(error) if is_unread(&error) => stop.sleep(READER_WAIT)?,
                Err(error) => return Ok(Err(cannot_open(path, &error))),
            }
        }
    }

    /// Standard output.
    ///
    /// Fails when it is closed.
    pub fn stdout() -> Result<Self, Error> {
        let cannot = |error: io::Error| {
            Error::new(format!("cannot write to standard output: {error}"), "name a file: -w FILE")
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

    /// Opens `path` as tcpdump does: links are followed, and a FIFO, a device and a descriptor (`/dev/fd/3`) are written
    /// to as they are. A new file is readable to its owner only. A file that exists is replaced with `replace`.
    ///
    /// Fails when it exists and is not to be replaced, or cannot be opened; with [`Stopped`] when there is a
    /// reason to stop before a FIFO has a reader.
    pub fn file(path: &Path, replace: bool, stop: &Stop) -> Result<Result<Self, Error>, Stopped> {
        let destination = match Destination::of_path(path) {
            Ok(destination) => destination,
            Err(error) => return Ok(Err(cannot_open(path, &error))),
        };
        match fs::metadata(&destination.path) {
            Ok(about) if about.is_dir() => Ok(Err(is_folder(path))),
            Ok(about) if destination.is_descriptor || !about.is_file() => {
                Self::existing(path, &destination, &about, stop)
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(Err(cannot_open(path, &error))),
            Ok(_) | Err(_) => {
                let opened = if replace { replaced(&destination) } else { made(&destination) };
                Ok(opened.map_err(|error| cannot_open(path, &error)).map(|(file, is_new)| {
                    let made = Made(is_new.then(|| destination.path.clone()));
                    Self { made, ..Self::to(Kind::File { file, path: destination.path }) }
                }))
            }
        }
    }

    /// Opens what is no file to be made: a FIFO, once it has a reader, a device, or a descriptor.
    fn existing(
        path: &Path,
        destination: &Destination,
        about: &Metadata,
        stop: &Stop,
    ) -> Result<Result<Self, Error>, Stopped> {
        let mut options = OpenOptions::new();
        // What is in a file behind a descriptor stays.
        options.write(true).append(about.is_file()).custom_flags(destination.flags().bits());
        let file = loop {
            match options.open(&destination.path) {
                Ok(file) => break file,
                Err(error) if is_unread(&error) && about.file_type().is_fifo() => stop.sleep(READER_WAIT)?,
                Err(error) => return Ok(Err(cannot_open(path, &error))),
            }
        };
        if file.is_terminal() {
            return Ok(Err(Error::new(
                format!("cannot write a capture to {}: it is a terminal", path.display()),
                "name a file (-w FILE), or pipe it on: -w - | wireshark -k -i -",
            )));
        }
        if about.file_type().is_fifo() {
            return Ok(Ok(Self::to_pipe(file)));
        }
        Ok(Ok(Self::to(Kind::File { file, path: path.to_owned() })))
    }

    fn to_pipe(file: File) -> Self {
        // A smaller pipe only means more waits.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_SIZE);
        Self::to(Kind::Pipe(file))
    }

    fn to(kind: Kind) -> Self {
        Self { kind, made: Made(None), packer: None, patience: PATIENCE, give_up_at: None }
    }

    /// The same, for another program of ours, which knows a packed stream when it sees one.
    #[must_use]
    pub fn packed(self, compress: CompressionMode) -> Self {
        let wanted = (compress != CompressionMode::Off).then(|| StreamCompressor::new(compress));
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
        packer: &mut StreamCompressor,
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
                    self.made.0 = None;
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
        End::Failed(Error::new(
            format!("cannot write to {place}: {error}"),
            "see that the disk has room; -b filesize:KB -b files:N keeps a capture small",
        ))
    }
}

/// Makes a file. Also returns that it is new.
fn made(destination: &Destination) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).create_new(true).custom_flags(destination.flags().bits());
    Ok((options.open(&destination.path)?, true))
}

/// Makes a file in place of one that may exist: whoever has that one open, or another name for it, does not get the new
/// packets. Also returns whether it is new.
fn replaced(destination: &Destination) -> io::Result<(File, bool)> {
    let error = match fs::remove_file(&destination.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => error,
        _ => return made(destination),
    };
    // Its folder is closed to us: then only a file that is ours alone is written anew.
    let mut options = OpenOptions::new();
    let file = options.write(true).custom_flags(destination.flags().bits()).open(&destination.path)?;
    let about = file.metadata()?;
    let us = nix::unistd::Uid::effective().as_raw();
    if !about.is_file() || about.uid() != us || about.nlink() != 1 || about.mode() & 0o077 != 0 {
        return Err(error);
    }
    file.set_len(0)?;
    Ok((file, false))
}

/// Whether a FIFO could not be opened because it has no reader yet.
fn is_unread(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ENXIO)
}

fn is_folder(path: &Path) -> Error {
    let path = path.display();
    Error::new(
        format!("cannot write to {path}: it is a directory"),
        format!("name a file in it: -w {path}/web.pcapng"),
    )
}

/// Only a FIFO of the user's own is written to.
fn own_fifo(file: &File, path: &Path) -> Result<(), Error> {
    let refused = |why: &str| {
        Error::new(
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

fn cannot_open(path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::AlreadyExists => "choose another name, or overwrite it: --overwrite",
        io::ErrorKind::PermissionDenied => {
            "write to a folder of your own; as root without further rights, to one of root's, or: -w - > FILE"
        }
        _ => "see that the folder is there and has room",
    };
    Error::new(format!("cannot open {} for writing: {error}", path.display()), remedy)
}
