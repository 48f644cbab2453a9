//! Opens an output: Wireshark's FIFO, standard output, a file, or an existing device or descriptor.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use socket2::SockRef;

use super::lender::Lender;
use super::resolved_path::{ResolvedPath, STICKY, folder};
use super::{Output, OutputKind, UnwrittenFile};
use crate::error::Error;
use crate::stop::{Stop, Stopped};

/// How often to try to open a FIFO that has no reader yet.
const READER_POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Bytes a pipe may hold: the most for an unprivileged user (`fs.pipe-max-size`).
const PIPE_SIZE: usize = 1024 * 1024;
/// Bytes a socket may hold. The kernel doubles it, up to `net.core.wmem_max`; its default is 208 KiB.
const SOCKET_BUFFER_SIZE: usize = 256 * 1024;
/// Bytes of a file name (`NAME_MAX`, linux/limits.h).
const MAX_NAME_LEN: usize = 255;

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
    /// A new file is readable only to its owner; with `overwrite` it replaces an existing one once something is written.
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
                Ok(opened.map_err(|error| cannot_open(path, &error)).map(|(file, unwritten)| Self {
                    unwritten,
                    ..Self::new(OutputKind::File { file, path: destination.path })
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
        match file.metadata() {
            Ok(opened) if (opened.dev(), opened.ino()) == (metadata.dev(), metadata.ino()) => {}
            Ok(_) => return Ok(Err(was_replaced(path))),
            Err(error) => return Ok(Err(cannot_open(path, &error))),
        }
        if is_fifo
            && !destination.is_descriptor
            && let Err(error) = ensure_own_fifo(&file, path)
        {
            return Ok(Err(error));
        }
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

/// Creates a file, which is removed unless something is written.
fn create(destination: &ResolvedPath) -> io::Result<(File, UnwrittenFile)> {
    let file = create_at(&destination.path, destination)?;
    Ok((file, UnwrittenFile::new(destination.path.clone(), None)))
}

fn create_at(path: &Path, destination: &ResolvedPath) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).create_new(true).custom_flags(destination.flags().bits()).open(path)
}

/// Creates a file that will replace an existing one, so that processes which have that one open, or another link to it, do
/// not get the new packets.
fn replace(destination: &ResolvedPath) -> io::Result<(File, UnwrittenFile)> {
    let old = match fs::symlink_metadata(&destination.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(destination),
        old => old?,
    };
    let temporary = temporary_path(&destination.path);
    let created = if may_rename_over(&old, &destination.path)? {
        // Left behind by a killed process with the same ID.
        let _ = fs::remove_file(&temporary);
        create_at(&temporary, destination)
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    };
    match created {
        Ok(file) => Ok((file, UnwrittenFile::new(temporary, Some(destination.path.clone())))),
        // The folder is not writable.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            truncate(destination, error).map(|file| (file, UnwrittenFile::default()))
        }
        Err(error) => Err(error),
    }
}

/// Truncates an existing file. Fails with `error` if others can read it.
fn truncate(destination: &ResolvedPath, error: io::Error) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).custom_flags(destination.flags().bits()).open(&destination.path)?;
    let metadata = file.metadata()?;
    let is_shared = metadata.uid() != user() || metadata.nlink() != 1 || metadata.mode() & 0o077 != 0;
    if !metadata.is_file() || is_shared {
        return Err(error);
    }
    file.set_len(0)?;
    Ok(file)
}

/// `.PID.NAME` beside `path`, within the longest file name.
fn temporary_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut temporary = OsString::from(format!(".{}.", std::process::id()));
    temporary.push(OsStr::from_bytes(&name[..name.len().min(MAX_NAME_LEN - temporary.len())]));
    path.with_file_name(temporary)
}

/// Whether the user may replace the file `old` at `path`: in sticky folders only their own (rename(2), `EPERM`).
fn may_rename_over(old: &Metadata, path: &Path) -> io::Result<bool> {
    let folder = fs::metadata(folder(path))?;
    Ok(folder.mode() & STICKY == 0 || [old.uid(), folder.uid()].contains(&user()))
}

fn user() -> u32 {
    nix::unistd::Uid::effective().as_raw()
}

/// Whether opening a FIFO failed because it has no reader yet.
fn has_no_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::ENXIO)
}

fn was_replaced(path: &Path) -> Error {
    Error::new(
        format!("cannot write to {}: it was replaced while it was opened", path.display()),
        "write to a folder that only you can write to",
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_or_fifo_that_was_replaced_while_opened_is_refused() {
        let stop = Stop::watch(false).expect("signals");
        let path = Path::new("/dev/null");
        let destination = ResolvedPath::resolve(path).expect("a device");
        let open = |seen: &str| {
            let seen = fs::metadata(seen).expect("a device");
            Output::existing(path, &destination, &seen, &stop).unwrap_or_else(|Stopped| panic!("stopped"))
        };
        assert!(open("/dev/null").is_ok());
        let error = open("/dev/zero").err().expect("refused");
        assert!(error.message().as_str().contains("it was replaced while it was opened"), "{error}");
    }

    #[test]
    fn the_longest_names_have_a_temporary_name() {
        let longest = temporary_path(&Path::new("/tmp").join("n".repeat(MAX_NAME_LEN)));
        assert_eq!(longest.file_name().map(OsStr::len), Some(MAX_NAME_LEN));
        let name = temporary_path(Path::new("out.pcapng"));
        assert_eq!(name, PathBuf::from(format!(".{}.out.pcapng", std::process::id())));
    }
}
