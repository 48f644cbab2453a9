//! Opens an output: Wireshark's FIFO, standard output, a file, or an existing device or descriptor.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use nix::fcntl::OFlag;
use socket2::SockRef;

use super::lender::Lender;
use super::resolved_path::ResolvedPath;
use super::{Output, OutputKind, UnwrittenFile};
use crate::error::Error;
use crate::stop::{Stop, Stopped};

/// How often to try to open a FIFO that has no reader yet.
const READER_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Bytes a pipe may hold: the most for an unprivileged user (`fs.pipe-max-size`).
const PIPE_SIZE: usize = 1024 * 1024;
/// Bytes a socket may hold. The kernel doubles it, up to `net.core.wmem_max`; its default is 208 KiB.
const SOCKET_BUFFER_SIZE: usize = 256 * 1024;

impl Output {
    /// Opens the FIFO of Wireshark, once Wireshark reads from it.
    ///
    /// Fails if it is not a FIFO, belongs to another user, or cannot be opened; with [`Stopped`] if the capture is
    /// stopped before.
    pub fn fifo(path: &Path, stop: &Stop) -> Result<Result<Self, Error>, Stopped> {
        loop {
            // The path comes from outside: do not create, truncate, or follow a link.
            let opened = OpenOptions::new()
                .write(true)
                .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
                .open(path);
            match opened {
                Ok(file) => return Ok(ensure_own_fifo(&file, path).map(|()| Self::to_pipe(file).lending())),
                Err(error) if has_no_reader(&error) => stop.sleep(READER_POLL_INTERVAL)?,
                Err(error) => return Ok(Err(cannot_open(path, &error))),
            }
        }
    }

    /// Standard output.
    ///
    /// Fails if it is closed.
    pub fn stdout() -> Result<Self, Error> {
        let cannot = |error: io::Error| {
            Error::new(format!("cannot write to standard output: {error}"), "write to a file: -w FILE")
        };
        // Reopened, so that O_NONBLOCK does not affect others who share the pipe.
        let reopened = OpenOptions::new()
            .write(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits())
            .open("/proc/self/fd/1");
        let file = match reopened {
            Ok(file) if file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) => file,
            _ => File::from(io::stdout().as_fd().try_clone_to_owned().map_err(cannot)?),
        };
        if file.metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
            let _ = SockRef::from(&file).set_send_buffer_size(SOCKET_BUFFER_SIZE);
            return Ok(Self::new(OutputKind::Socket(file)));
        }
        Ok(Self::to_pipe(file))
    }

    /// Opens `path` as tcpdump does: links are followed, and a FIFO, a device or a descriptor (`/dev/fd/3`) is written to.
    /// A new file is readable only to its owner; an existing one is replaced with `overwrite`.
    ///
    /// Fails if the file exists and is not to be replaced, or cannot be opened; with [`Stopped`] if the capture is stopped
    /// before a FIFO has a reader.
    pub fn file(path: &Path, overwrite: bool, stop: &Stop) -> Result<Result<Self, Error>, Stopped> {
        let destination = match ResolvedPath::resolve(path) {
            Ok(destination) => destination,
            Err(error) => return Ok(Err(cannot_open(path, &error))),
        };
        match fs::metadata(&destination.path) {
            Ok(metadata) if metadata.is_dir() => Ok(Err(is_directory(path))),
            Ok(metadata) if destination.is_descriptor || !metadata.is_file() => {
                Self::existing(path, &destination, &metadata, stop)
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(Err(cannot_open(path, &error))),
            Ok(_) | Err(_) => {
                let opened = if overwrite { replace(&destination) } else { create(&destination) };
                Ok(opened.map_err(|error| cannot_open(path, &error)).map(|(file, is_new)| {
                    let unwritten = UnwrittenFile(is_new.then(|| destination.path.clone()));
                    Self { unwritten, ..Self::new(OutputKind::File { file, path: destination.path }) }
                }))
            }
        }
    }

    /// Opens a FIFO, once it has a reader, a device, or a descriptor.
    fn existing(
        path: &Path,
        destination: &ResolvedPath,
        metadata: &Metadata,
        stop: &Stop,
    ) -> Result<Result<Self, Error>, Stopped> {
        let mut options = OpenOptions::new();
        // A file behind a descriptor keeps its content.
        options.write(true).append(metadata.is_file()).custom_flags(destination.flags().bits());
        let is_fifo = metadata.file_type().is_fifo();
        let file = loop {
            match options.open(&destination.path) {
                Ok(file) => break file,
                Err(error) if has_no_reader(&error) && is_fifo => stop.sleep(READER_POLL_INTERVAL)?,
                Err(error) => return Ok(Err(cannot_open(path, &error))),
            }
        };
        if file.is_terminal() {
            return Ok(Err(Error::new(
                format!("cannot write a capture to {}: it is a terminal", path.display()),
                "write to a file (-w FILE) or into a pipe: -w - | wireshark -k -i -",
            )));
        }
        if is_fifo {
            return Ok(Ok(Self::to_pipe(file)));
        }
        Ok(Ok(Self::new(OutputKind::File { file, path: path.to_owned() })))
    }

    /// Lends memory to the pipe: Wireshark copies what it reads.
    fn lending(self) -> Self {
        Self { lender: Some(Lender::default()), ..self }
    }

    fn to_pipe(file: File) -> Self {
        // A smaller pipe only means more waits.
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_SIZE);
        Self::new(OutputKind::Pipe(file))
    }
}

/// Creates a file. Also returns that it is new.
fn create(destination: &ResolvedPath) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).create_new(true).custom_flags(destination.flags().bits());
    Ok((options.open(&destination.path)?, true))
}

/// Creates a file in place of an existing one, so that processes which have that one open, or another link to it, do not
/// get the new packets. Also returns whether the file is new.
fn replace(destination: &ResolvedPath) -> io::Result<(File, bool)> {
    let error = match fs::remove_file(&destination.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => error,
        _ => return create(destination),
    };
    // The folder is not writable: truncate the file, but only if nobody else can read it.
    let mut options = OpenOptions::new();
    let file = options.write(true).custom_flags(destination.flags().bits()).open(&destination.path)?;
    let metadata = file.metadata()?;
    let user = nix::unistd::Uid::effective().as_raw();
    let is_shared = metadata.uid() != user || metadata.nlink() != 1 || metadata.mode() & 0o077 != 0;
    if !metadata.is_file() || is_shared {
        return Err(error);
    }
    file.set_len(0)?;
    Ok((file, false))
}

/// Whether opening a FIFO failed because it has no reader yet.
fn has_no_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ENXIO)
}

fn is_directory(path: &Path) -> Error {
    let path = path.display();
    Error::new(
        format!("cannot write to {path}: it is a directory"),
        format!("give a file in it: -w {path}/web.pcapng"),
    )
}

/// Ensures that `file` is a FIFO of the user.
fn ensure_own_fifo(file: &File, path: &Path) -> Result<(), Error> {
    let refused = |reason: &str| {
        Error::new(
            format!("cannot write to {}: {reason}", path.display()),
            "let Wireshark create the FIFO, or create one yourself: mkfifo",
        )
    };
    let metadata = file.metadata().map_err(|error| cannot_open(path, &error))?;
    if !metadata.file_type().is_fifo() {
        return Err(refused("it is not a FIFO"));
    }
    if metadata.uid() != nix::unistd::Uid::current().as_raw() {
        return Err(refused("it belongs to another user"));
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::AlreadyExists => "choose another name, or overwrite the file: --overwrite",
        io::ErrorKind::PermissionDenied => {
            "write to a folder you own; root without further capabilities, to one of root; or: -w - > FILE"
        }
        _ => "check that the folder exists and the disk has free space",
    };
    Error::new(format!("cannot open {} for writing: {error}", path.display()), remedy)
}
