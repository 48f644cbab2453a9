//! Files, links and folders, checked and created without following foreign symbolic links.
//!
//! As root, each folder of a path is opened in turn, never through a symbolic link, and must belong to root and be
//! writable by root only: then other users cannot redirect a path between check and use.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, symlinkat, unlinkat};

use containerdump::error::Error;

use crate::layout::{self, shown};
use crate::users;

/// A file system below a folder that stands for `/`.
pub(crate) struct Tree {
    root: PathBuf,
    strict: bool,
}

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// Its owner.
    pub(crate) user: Uid,
    /// Its group.
    pub(crate) group: Gid,
    /// Its permission bits.
    pub(crate) mode: u32,
}

/// What a name in a folder refers to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing.
    Nothing,
    /// A regular file.
    File(Ownership),
    /// A symbolic link and its target.
    Link(PathBuf),
    /// Something else: a folder, a device.
    Other,
}

/// An open folder.
pub(crate) struct Folder {
    descriptor: OwnedFd,
    /// Its path, for messages and other programs.
    pub(crate) path: PathBuf,
}

impl Tree {
    /// The tree that root installs into: below `root`, or `/`.
    pub(crate) fn of_root(root: Option<&Path>) -> Self {
        Self { root: root.map_or_else(|| PathBuf::from("/"), Path::to_owned), strict: true }
    }

    /// The tree that a user installs into; its folders are not checked.
    pub(crate) fn of_user() -> Self {
        Self { root: PathBuf::from("/"), strict: false }
    }

    /// The real path of `path`.
    pub(crate) fn real(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Opens a folder; `None` where it does not exist.
    pub(crate) fn folder(&self, path: &Path) -> Result<Option<Folder>, Error> {
        self.walk(path, &mut |_, _, _| Ok(false))
    }

    /// Opens a folder, creating it and its parents where missing; calls `made` for each.
    pub(crate) fn make_folder(&self, path: &Path, made: &mut dyn FnMut(&Path)) -> Result<Folder, Error> {
        let folder = self.walk(path, &mut |above, name, path| {
            let failed = |error: Errno| failed("make folder", &above.path.join(name), error);
            mkdirat(&above.descriptor, name, Mode::from_bits_truncate(0o755)).map_err(failed)?;
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let new = openat(&above.descriptor, name, flags, Mode::empty()).map_err(failed)?;
            // Independent of the umask: other users must be able to enter it.
            fchmod(&new, Mode::from_bits_truncate(0o755)).map_err(failed)?;
            made(path);
            Ok(true)
        })?;
        folder.ok_or_else(|| failed("make folder", &self.real(path), Errno::ENOENT))
    }

    fn walk(
        &self,
        path: &Path,
        missing: &mut dyn FnMut(&Folder, &OsStr, &Path) -> Result<bool, Error>,
    ) -> Result<Option<Folder>, Error> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let descriptor = openat(AT_FDCWD, &self.root, flags, Mode::empty())
            .map_err(|error| failed("open folder", &self.root, error))?;
        let mut folder = Folder { descriptor, path: self.root.clone() };
        let mut reached = PathBuf::from("/");
        self.ensure_trusted(&folder)?;
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                _ => return Err(failed("open folder", &self.real(path), Errno::EINVAL)),
            };
            reached.push(name);
            let flags = if self.strict { flags | OFlag::O_NOFOLLOW } else { flags };
            let mut opened = openat(&folder.descriptor, name, flags, Mode::empty());
            if matches!(opened, Err(Errno::ENOENT)) {
                if !missing(&folder, name, &reached)? {
                    return Ok(None);
                }
                opened = openat(&folder.descriptor, name, flags, Mode::empty());
            }
            let path = folder.path.join(name);
            let descriptor = match opened {
                Ok(descriptor) => descriptor,
                Err(_) if self.strict && matches!(folder.look(name)?, Entry::Link(_)) => {
                    let remedy = format!(
                        "replace the link {} by a folder, or use your distribution's package",
                        shown(&path)
                    );
                    return Err(untrusted(&path, "is a symbolic link", &remedy));
                }
                Err(error) => return Err(failed("open folder", &path, error)),
            };
            folder = Folder { descriptor, path };
            self.ensure_trusted(&folder)?;
        }
        Ok(Some(folder))
    }

    fn ensure_trusted(&self, folder: &Folder) -> Result<(), Error> {
        if !self.strict {
            return Ok(());
        }
        let status = fstat(&folder.descriptor).map_err(|error| failed("look at", &folder.path, error))?;
        let place = layout::shell_word(&folder.path);
        if status.st_uid != 0 {
            return Err(untrusted(
                &folder.path,
                "does not belong to root",
                &format!("sudo chown root {place}"),
            ));
        }
        if status.st_mode & 0o002 != 0 {
            let why = "can be written to by users other than root";
            return Err(untrusted(&folder.path, why, &format!("sudo chmod o-w {place}")));
        }
        if status.st_mode & 0o020 == 0 || status.st_gid == 0 {
            return Ok(());
        }
        // On Debian, /usr/local may belong to group staff, which has no members by default.
        let group = Gid::from_raw(status.st_gid);
        let members = users::members(group)?;
        let Some(first) = members.first() else { return Ok(()) };
        let (group, users) = (users::group_name(group), members.join(", "));
        let why = format!("can be written to by group {group}, of which {users} is a member");
        let remedy = format!("sudo chmod g-w {place}, or: sudo gpasswd --delete {first} {group}");
        Err(untrusted(&folder.path, &why, &remedy))
    }
}

impl Folder {
    /// What `name` refers to.
    pub(crate) fn look(&self, name: &OsStr) -> Result<Entry, Error> {
        let path = self.path.join(name);
        let status = match fstatat(&self.descriptor, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(Errno::ENOENT) => return Ok(Entry::Nothing),
            Err(error) => return Err(failed("look at", &path, error)),
        };
        Ok(match SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => Entry::File(ownership_of(&status)),
            SFlag::S_IFLNK => {
                let target = readlinkat(&self.descriptor, name);
                Entry::Link(target.map_err(|error| failed("read link", &path, error))?.into())
            }
            _ => Entry::Other,
        })
    }

    /// The content of the regular file `name`.
    pub(crate) fn read(&self, name: &OsStr) -> Result<Vec<u8>, Error> {
        let path = self.path.join(name);
        // O_NONBLOCK: it may have been replaced by a FIFO.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(&self.descriptor, name, flags, Mode::empty())
            .map_err(|error| failed("read", &path, error))?;
        let mut content = Vec::new();
        File::from(file).read_to_end(&mut content).map_err(|error| {
            Error::new(format!("cannot read {}: {error}", shown(&path)), "check the file")
        })?;
        Ok(content)
    }

    /// Creates or replaces the file `name` atomically, after `ready` succeeded on its temporary path.
    pub(crate) fn place(
        &self,
        name: &OsStr,
        content: &[u8],
        ownership: Ownership,
        ready: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut hidden = OsStr::new(".").to_owned();
        hidden.push(name);
        hidden.push(".new");
        // Left by an installer that was killed.
        let _ = unlinkat(&self.descriptor, hidden.as_os_str(), UnlinkatFlags::NoRemoveDir);
        let path = self.path.join(name);
        let placed = self
            .write(&hidden, content, ownership)
            .and_then(|()| ready(&self.path.join(&hidden)))
            .and_then(|()| {
                renameat(&self.descriptor, hidden.as_os_str(), &self.descriptor, name)
                    .map_err(|error| failed("put in place", &path, error))
            });
        if placed.is_err() {
            let _ = unlinkat(&self.descriptor, hidden.as_os_str(), UnlinkatFlags::NoRemoveDir);
        }
        placed
    }

    fn write(&self, name: &OsStr, content: &[u8], ownership: Ownership) -> Result<(), Error> {
        let path = self.path.join(name);
        let failed = |error: Errno| failed("write", &path, error);
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let mut file = File::from(
            openat(&self.descriptor, name, flags, Mode::from_bits_truncate(0o600)).map_err(failed)?,
        );
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written
            .map_err(|error| failed(Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32))))?;
        fchown(file.as_fd(), Some(ownership.user), Some(ownership.group)).map_err(failed)?;
        // After the owner: fchown clears mode bits.
        fchmod(file.as_fd(), Mode::from_bits_truncate(ownership.mode)).map_err(failed)
    }

    /// Creates the symbolic link `name`; fails if it exists.
    pub(crate) fn place_link(&self, name: &OsStr, target: &Path) -> Result<(), Error> {
        symlinkat(target, &self.descriptor, name)
            .map_err(|error| failed("make link", &self.path.join(name), error))
    }

    /// Removes the file or link `name`.
    pub(crate) fn remove(&self, name: &OsStr) -> Result<(), Error> {
        unlinkat(&self.descriptor, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|error| failed("remove", &self.path.join(name), error))
    }

    /// Removes the folder `name` if it is empty; returns whether it was.
    pub(crate) fn remove_folder(&self, name: &OsStr) -> Result<bool, Error> {
        match unlinkat(&self.descriptor, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(error) => Err(failed("remove folder", &self.path.join(name), error)),
        }
    }
}

fn ownership_of(status: &FileStat) -> Ownership {
    Ownership {
        user: Uid::from_raw(status.st_uid),
        group: Gid::from_raw(status.st_gid),
        mode: status.st_mode & 0o7777,
    }
}

fn untrusted(path: &Path, why: &str, remedy: &str) -> Error {
    Error::new(
        format!("cannot trust folder {}: it {why}, so others could redirect the paths in it", shown(path)),
        format!("{remedy}; then install again"),
    )
}

fn failed(verb: &str, path: &Path, error: Errno) -> Error {
    let remedy = match error {
        Errno::EACCES | Errno::EPERM => "run it with sudo, or check the folder's owner and mode",
        Errno::EROFS => "this file system is read-only: make it writable, or use your distribution's package",
        Errno::ENOSPC | Errno::EDQUOT => "free space on this file system",
        _ => "check what is there, then run it again",
    };
    Error::new(format!("cannot {verb} {}: {}", shown(path), error.desc()), remedy)
}
