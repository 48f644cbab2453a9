//! The folder of a run, for the sockets of its connections.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, mkdtemp};

/// What the names of such folders begin with.
const PREFIX: &str = "containerdump-ssh-";
/// Longest path of the folder above: with ours, the socket's name and what `ssh` adds to it while it makes
/// the socket (17 bytes), it must fit into 107 bytes (`sun_path`, linux/un.h).
const LONGEST: usize = 50;
/// What a run that was killed left behind is older than this.
const LEFT_BEHIND: Duration = Duration::from_mins(1);

/// A folder that only its owner may look into; it goes away with this value.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one in the user's runtime folder, where that is what it should be, else in `/tmp`.
    pub(super) fn make() -> io::Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let above = runtime.filter(|path| is_private(path)).unwrap_or_else(|| PathBuf::from("/tmp"));
        sweep(&above);
        Ok(Self(mkdtemp(&above.join(format!("{PREFIX}XXXXXX")))?))
    }

    /// Takes it away.
    pub(super) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }

    /// The socket in it.
    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether a folder is the user's own, closed to others, and has a path that means to `ssh` what it says.
fn is_private(path: &Path) -> bool {
    let is_plain = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        text.len() <= LONGEST && text.bytes().all(fits)
    };
    path.is_absolute()
        && path.to_str().is_some_and(is_plain)
        && fs::symlink_metadata(path).is_ok_and(|about| {
            about.is_dir()
                && about.uid() == Uid::effective().as_raw()
                && about.permissions().mode() & 0o777 == 0o700
        })
}

/// Takes away what runs left behind that were killed: `ssh` has removed the socket itself.
fn sweep(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let Ok(about) = entry.metadata() else { continue };
        let is_old = about.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT_BEHIND));
        if is_ours && is_old && about.is_dir() && about.uid() == Uid::effective().as_raw() {
            // One that is not empty is in use.
            let _ = fs::remove_dir(entry.path());
        }
    }
}
