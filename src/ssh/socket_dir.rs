//! The private folder for the control sockets of a run.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, mkdtemp};

const PREFIX: &str = "containerdump-ssh-";
/// With the name of the folder, of the socket, and the 17 bytes that `ssh` adds while it creates the socket, a path must
/// fit into 107 bytes (`sun_path`, linux/un.h).
const MAX_PARENT_LEN: usize = 50;
/// Older folders were left behind by runs that were killed.
const STALE_AGE: Duration = Duration::from_mins(1);

/// A folder with mode 0700, removed when dropped.
#[derive(Debug)]
pub(super) struct SocketDir(PathBuf);

impl SocketDir {
    /// Creates one in `XDG_RUNTIME_DIR` if that is private, else in `/tmp`.
    pub(super) fn create() -> io::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let parent = runtime.filter(|path| is_private(path)).unwrap_or_else(|| PathBuf::from("/tmp"));
        remove_stale(&parent);
        Ok(Self(mkdtemp(&parent.join(format!("{PREFIX}XXXXXX")))?))
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }

    /// The path of the socket. It has no character that is special to `ssh`.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether a folder is the user's own with mode 0700, and its path can be passed to `ssh` unquoted.
fn is_private(path: &Path) -> bool {
    let is_plain = |text: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        text.len() <= MAX_PARENT_LEN && text.bytes().all(is_allowed)
    };
    path.is_absolute()
        && path.to_str().is_some_and(is_plain)
        && fs::symlink_metadata(path).is_ok_and(|metadata| {
            metadata.is_dir()
                && metadata.uid() == Uid::effective().as_raw()
                && metadata.permissions().mode() & 0o777 == 0o700
        })
}

/// Removes empty folders of runs that were killed; `ssh` has removed the socket itself.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let has_prefix = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let Ok(metadata) = entry.metadata() else { continue };
        let is_old = metadata.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE_AGE));
        if has_prefix && is_old && metadata.is_dir() && metadata.uid() == Uid::effective().as_raw() {
            // Fails for a folder in use: it is not empty.
            let _ = fs::remove_dir(entry.path());
        }
    }
}
