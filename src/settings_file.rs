//! Reads and writes small files of the user, which other programs and people may change, too.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

/// In bytes. 200 saved hosts with the longest paths of keys are smaller.
const MAX_SETTINGS_LEN: u64 = 1024 * 1024;

/// Reads a regular file; opening it never waits.
///
/// # Errors
/// It does not exist, is not a regular file, has more than 1 MiB, or cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SETTINGS_LEN + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SETTINGS_LEN {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(bytes)
}

/// Reads a file; `None` if it does not exist.
///
/// # Errors
/// As [`read`].
pub fn read_optional(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Locks the folder of `path` against other processes of this program, until the returned file is dropped.
///
/// # Errors
/// The folder cannot be created or is not writable.
pub fn lock(path: &Path) -> io::Result<File> {
    let file = open_lock(path)?;
    file.lock()?;
    Ok(file)
}

/// Creates the folder of `path` and opens its lock file, without locking it.
///
/// # Errors
/// The folder cannot be created or is not writable.
pub fn open_lock(path: &Path) -> io::Result<File> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let nofollow = OFlag::O_NOFOLLOW.bits();
    OpenOptions::new().write(true).create(true).mode(0o600).custom_flags(nofollow).open(folder.join(".lock"))
}

/// Replaces a file atomically, with mode 0600.
///
/// # Errors
/// There is no space, or the folder is not writable.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A symbolic link remains one: the user may keep the settings elsewhere.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    // Left behind by a killed process with the same id.
    let _ = fs::remove_file(&temporary);
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    written().inspect_err(|_| drop(fs::remove_file(&temporary)))
}
