//! The file capability of the program: `CAP_NET_RAW`, permitted and effective, not inheritable.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, fstatvfs};

use containerdump::error::Error;

use crate::command::{self, Environment};
use crate::layout::shown;

/// As setcap accepts and getcap prints it.
const CAPABILITY: &str = "cap_net_raw=ep";
/// As getcap before 2.41 prints it.
const CAPABILITY_BEFORE_2_41: &str = "cap_net_raw+ep";
const TIMEOUT: Duration = Duration::from_secs(10);

/// The capabilities of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FileCapability {
    /// `cap_net_raw=ep` and no other.
    Capture,
    /// No capability.
    None,
    /// Others, as getcap prints them.
    Other(String),
}

/// Gives the file `cap_net_raw=ep`, and verifies it.
pub(crate) fn set_capability(path: &Path) -> Result<(), Error> {
    let arguments = [CAPABILITY.as_ref(), path.as_os_str()];
    let answer = command::run(&tool("setcap")?, &arguments, Environment::Clean, TIMEOUT)?;
    if !answer.success {
        let why = answer.stderr.lines().next().unwrap_or("setcap gives no reason");
        let remedy = if why.contains("not supported") {
            "its file system cannot store capabilities (no extended attributes, as on NFS or FAT): put \
             /usr/local on one that can, such as ext4, XFS or Btrfs"
        } else {
            "install as root with all capabilities (not inside an unprivileged container)"
        };
        return Err(Error::new(format!("cannot give {} the right to capture: {why}", shown(path)), remedy));
    }
    match file_capability(path)? {
        FileCapability::Capture => Ok(()),
        FileCapability::None | FileCapability::Other(_) => Err(Error::new(
            format!("gave {} the right to capture, but the file system did not store it", shown(path)),
            "put /usr/local on a file system that keeps extended attributes, such as ext4, XFS or Btrfs",
        )),
    }
}

/// The capabilities of the file, read by getcap.
pub(crate) fn file_capability(path: &Path) -> Result<FileCapability, Error> {
    let answer = command::run(&tool("getcap")?, &[path.as_os_str()], Environment::Clean, TIMEOUT)?;
    let shown = answer.stdout.trim();
    // "PATH cap_net_raw=ep", before 2.41 "PATH = cap_net_raw+ep".
    let shown = shown.strip_prefix(&*path.to_string_lossy()).unwrap_or(shown);
    let shown = shown.trim_start_matches([' ', '=']);
    Ok(match shown {
        "" => FileCapability::None,
        CAPABILITY | CAPABILITY_BEFORE_2_41 => FileCapability::Capture,
        other => FileCapability::Other(other.to_owned()),
    })
}

/// Fails when the file system of `folder`, or of the nearest parent that exists, is mounted nosuid or noexec.
pub(crate) fn ensure_usable_file_system(folder: &Path) -> Result<(), Error> {
    let Some((place, flags)) = mount_flags(folder) else {
        return Ok(());
    };
    for (flag, word, what) in [
        (FsFlags::ST_NOSUID, "nosuid", "file capabilities have no effect there"),
        (FsFlags::ST_NOEXEC, "noexec", "programs there cannot be executed"),
    ] {
        if flags.contains(flag) {
            return Err(Error::new(
                format!("cannot use {}: its file system is mounted {word}, so {what}", shown(&place)),
                format!(
                    "remount it without {word} (see /etc/fstab): mount -o remount,{} MOUNTPOINT",
                    &word[2..]
                ),
            ));
        }
    }
    Ok(())
}

fn mount_flags(folder: &Path) -> Option<(PathBuf, FsFlags)> {
    let place = folder.ancestors().find(|folder| folder.exists())?;
    let flags = fstatvfs(File::open(place).ok()?).ok()?.flags();
    Some((place.to_owned(), flags))
}

fn tool(name: &str) -> Result<PathBuf, Error> {
    command::find(name).ok_or_else(|| {
        Error::new(
            format!("cannot find {name}, which manages file capabilities"),
            "install it: sudo apt install libcap2-bin (Debian, Ubuntu), sudo dnf install libcap (Fedora)",
        )
    })
}

/// Fails when setcap or getcap is missing.
pub(crate) fn ensure_tools() -> Result<(), Error> {
    tool("setcap").and_then(|_| tool("getcap")).map(|_| ())
}
