//! The one right the program carries: `CAP_NET_RAW`, permitted and effective, not inheritable.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::{FsFlags, fstatvfs};

use containerdump::error::Error;

use crate::command::{self, Environment};
use crate::layout::shown;

/// As setcap takes it and getcap shows it.
const CAPABILITY: &str = "cap_net_raw=ep";
/// As getcap before 2.41 shows it.
const CAPABILITY_OLD: &str = "cap_net_raw+ep";
const LONGEST: Duration = Duration::from_secs(10);

/// What a file carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Exactly what it should.
    Capture,
    /// No capability.
    Nothing,
    /// Something else, as getcap writes it.
    Other(String),
}

/// Gives the file the right to capture, and makes sure that it has it.
pub(crate) fn give_capability(path: &Path) -> Result<(), Error> {
    let arguments = [CAPABILITY.as_ref(), path.as_os_str()];
    let answer = command::run(&tool("setcap")?, &arguments, Environment::Clean, LONGEST)?;
    if !answer.success {
        let why = answer.stderr.lines().next().unwrap_or("setcap does not say why");
        let remedy = if why.contains("not supported") {
            "its file system cannot store capabilities (no extended attributes, as on NFS or FAT): put \
             /usr/local on one that can, such as ext4, XFS or Btrfs"
        } else {
            "install as root with all capabilities (not inside an unprivileged container)"
        };
        return Err(Error::new(format!("cannot give {} the right to capture: {why}", shown(path)), remedy));
    }
    match carried(path)? {
        Carried::Capture => Ok(()),
        Carried::Nothing | Carried::Other(_) => Err(Error::new(
            format!("gave {} the right to capture, but it does not carry it", shown(path)),
            "put /usr/local on a file system that keeps extended attributes, such as ext4, XFS or Btrfs",
        )),
    }
}

/// What the file carries, as getcap shows it.
pub(crate) fn carried(path: &Path) -> Result<Carried, Error> {
    let answer = command::run(&tool("getcap")?, &[path.as_os_str()], Environment::Clean, LONGEST)?;
    let shown = answer.stdout.trim();
    // "PATH cap_net_raw=ep", before 2.41 "PATH = cap_net_raw+ep".
    let shown = shown.strip_prefix(&*path.to_string_lossy()).unwrap_or(shown);
    let shown = shown.trim_start_matches([' ', '=']);
    Ok(match shown {
        "" => Carried::Nothing,
        CAPABILITY | CAPABILITY_OLD => Carried::Capture,
        other => Carried::Other(other.to_owned()),
    })
}

/// Makes sure that a program in this folder can be started and keeps its capability. Looks at
/// the folder, or the nearest above it that exists.
pub(crate) fn ensure_usable_file_system(folder: &Path) -> Result<(), Error> {
    let Some((place, flags)) = mount_flags(folder) else {
        return Ok(());
    };
    for (flag, word, what) in [
        (FsFlags::ST_NOSUID, "nosuid", "no program there can carry the right to capture"),
        (FsFlags::ST_NOEXEC, "noexec", "no program there can be started"),
    ] {
        if flags.contains(flag) {
            return Err(Error::new(
                format!("cannot use {}: its file system is mounted {word}, so {what}", shown(&place)),
                format!(
                    "mount it without {word} (see /etc/fstab): mount -o remount,{} MOUNTPOINT",
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
            format!("cannot find {name}, which gives and shows a file's capabilities"),
            "install it: sudo apt install libcap2-bin (Debian, Ubuntu), sudo dnf install libcap (Fedora)",
        )
    })
}

/// Makes sure that capabilities can be given at all.
pub(crate) fn ensure_tools() -> Result<(), Error> {
    tool("setcap").and_then(|_| tool("getcap")).map(|_| ())
}
