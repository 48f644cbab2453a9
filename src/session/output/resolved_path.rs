//! Resolves a path that is to be written to.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::privilege::file_system_user;

/// Links followed, as in the kernel (`MAXSYMLINKS`, linux/namei.h).
const MAX_LINKS: usize = 40;
/// In folders such as `/tmp` everybody can create files, but only their owners rename them.
pub(super) const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o0002;

/// A path with all symbolic links resolved.
#[derive(Debug)]
pub struct ResolvedPath {
    /// The path.
    pub path: PathBuf,
    /// Whether it is a descriptor of this process, such as `/dev/fd/3`.
    pub is_descriptor: bool,
}

impl ResolvedPath {
    /// Follows the symbolic links of `path`. Its target need not exist.
    ///
    /// Fails if another user may have created a link or FIFO on the way, as the kernel does with `fs.protected_symlinks`
    /// and `fs.protected_fifos`.
    pub fn resolve(path: &Path) -> io::Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if is_descriptor(&path) {
                return Ok(Self { path, is_descriptor: true });
            }
            let metadata = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Self { path, is_descriptor: false });
                }
                metadata => metadata?,
            };
            let is_special = !metadata.is_file() && !metadata.is_dir();
            if is_special && may_be_planted(&path, &metadata)? {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "another user created it in a folder that everybody can write to",
                ));
            }
            if !metadata.is_symlink() {
                return Ok(Self { path, is_descriptor: false });
            }
            let target = fs::read_link(&path)?;
            path = folder(&path).join(target);
        }
        Err(io::Error::from_raw_os_error(nix::libc::ELOOP))
    }

    /// Flags to open it with: no further link is followed, and opening does not wait.
    pub fn flags(&self) -> OFlag {
        let no_link = if self.is_descriptor { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        no_link | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC
    }
}

/// Whether `path` is a descriptor in `/proc`, which looks like a link but need not lead to a path.
fn is_descriptor(path: &Path) -> bool {
    let is_number =
        path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let folder = if is_number { fs::canonicalize(folder(path)).ok() } else { None };
    folder.is_some_and(|folder| folder.starts_with("/proc") && folder.ends_with("fd"))
}

/// Whether another user may have created `path` for us to write to.
fn may_be_planted(path: &Path, metadata: &Metadata) -> io::Result<bool> {
    let folder = fs::metadata(folder(path))?;
    let user = file_system_user().as_raw();
    let is_shared = folder.mode() & STICKY != 0 && folder.mode() & WRITABLE_BY_ALL != 0;
    Ok(is_shared && metadata.uid() != user && metadata.uid() != folder.uid())
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    fn resolved(path: &Path) -> io::Result<PathBuf> {
        ResolvedPath::resolve(path).map(|destination| destination.path)
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let (link, second, file) = (path("link"), path("second"), path("file"));
        symlink("second", &link).expect("a link");
        symlink(&file, &second).expect("a link");
        assert_eq!(resolved(&link).expect("a path to nothing yet"), file);
        fs::write(&file, "").expect("a file");
        assert_eq!(resolved(&link).expect("a path to a file"), file);
        symlink("loop", path("loop")).expect("a link");
        assert!(resolved(&path("loop")).is_err());
    }

    #[test]
    fn descriptors_are_not_followed() {
        for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert!(ResolvedPath::resolve(Path::new(path)).expect(path).is_descriptor, "{path}");
        }
        assert!(!ResolvedPath::resolve(Path::new("/dev/null")).expect("a device").is_descriptor);
    }

    #[test]
    fn links_of_other_users_in_shared_folders_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        symlink("/etc/file", &link).expect("a link");
        if lchown(&link, Some(65_534), None).is_err() {
            return; // Only root can change the owner.
        }
        assert!(resolved(&link).is_ok());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("its mode");
        assert_eq!(resolved(&link).expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
    }
}
