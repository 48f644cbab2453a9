//! Where a path leads that something is to be written to.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{Uid, setfsuid};

/// Links followed, one after the other, as the kernel does (`MAXSYMLINKS`, linux/namei.h).
const MAX_LINKS: usize = 40;
/// A folder whose files only their owners may rename, but in which anybody makes some: `/tmp`.
const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o0002;

/// A path behind all symbolic links.
#[derive(Debug)]
pub struct Destination {
    /// The path.
    pub path: PathBuf,
    /// Whether it is one of our own descriptors: `/dev/fd/3`.
    pub is_descriptor: bool,
}

impl Destination {
    /// Follows the symbolic links of `path`, the last of which may lead to nothing yet.
    ///
    /// Fails where another user may have placed a link or a FIFO for us to write to: where the kernel refuses
    /// with `fs.protected_symlinks` and `fs.protected_fifos`.
    pub fn of_path(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if is_descriptor(&path) {
                return Ok(Self { path, is_descriptor: true });
            }
            let about = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Self { path, is_descriptor: false });
                }
                about => about?,
            };
            if !about.is_file() && !about.is_dir() && may_be_planted(&path, &about)? {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "another user placed it in a folder that all may write to",
                ));
            }
            if !about.is_symlink() {
                return Ok(Self { path, is_descriptor: false });
            }
            let target = fs::read_link(&path)?;
            path = folder(&path).join(target);
        }
        Err(io::Error::from_raw_os_error(nix::libc::ELOOP))
    }

    /// What else it is opened with: no further link is followed, and nothing is waited for.
    pub fn flags(&self) -> OFlag {
        let no_link = if self.is_descriptor { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        no_link | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC
    }
}

/// Whether `path` is what the kernel shows of a descriptor, which is a link to nothing in the file system.
fn is_descriptor(path: &Path) -> bool {
    let is_number =
        path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let folder = if is_number { fs::canonicalize(folder(path)).ok() } else { None };
    folder.is_some_and(|folder| folder.starts_with("/proc") && folder.ends_with("fd"))
}

fn may_be_planted(path: &Path, about: &Metadata) -> io::Result<bool> {
    let folder = fs::metadata(folder(path))?;
    // An impossible user changes nothing, and tells who files are opened as.
    let us = setfsuid(Uid::from_raw(u32::MAX)).as_raw();
    let is_shared = folder.mode() & STICKY != 0 && folder.mode() & WRITABLE_BY_ALL != 0;
    Ok(is_shared && about.uid() != us && about.uid() != folder.uid())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    fn path_of(path: &Path) -> io::Result<PathBuf> {
        Destination::of_path(path).map(|destination| destination.path)
    }

    #[test]
    fn links_lead_to_what_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, second, file) =
            (folder.path().join("link"), folder.path().join("second"), folder.path().join("file"));
        symlink("second", &link).expect("a link");
        symlink(&file, &second).expect("a link");
        // Whether there is a file or not.
        assert_eq!(path_of(&link).expect("a path"), file);
        fs::write(&file, "").expect("a file");
        assert_eq!(path_of(&link).expect("a path"), file);
        symlink("circle", folder.path().join("circle")).expect("a link");
        assert!(path_of(&folder.path().join("circle")).is_err());
    }

    #[test]
    fn descriptors_are_not_followed() {
        for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert!(Destination::of_path(Path::new(path)).expect(path).is_descriptor, "{path}");
        }
        assert!(!Destination::of_path(Path::new("/dev/null")).expect("a device").is_descriptor);
    }

    #[test]
    fn what_another_user_placed_in_a_shared_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        symlink("/etc/file", &link).expect("a link");
        if lchown(&link, Some(65_534), None).is_err() {
            return; // Only root can make one.
        }
        assert!(path_of(&link).is_ok());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("its mode");
        assert_eq!(path_of(&link).expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
    }
}
