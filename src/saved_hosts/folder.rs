//! Where saved hosts are kept, and how a file of theirs is read and written.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::Uid;

use crate::settings_file;

/// The program's own, in folders that are for all programs.
const NAME: &str = "containerdump";

/// The user's folder for settings of this program.
pub(crate) fn of_settings() -> Option<PathBuf> {
    of_user("XDG_CONFIG_HOME", ".config")
}

/// The user's folder for what can be had again.
pub(crate) fn of_cache() -> Option<PathBuf> {
    of_user("XDG_CACHE_HOME", ".cache")
}

/// `default` in the user's home, or what `variable` says instead.
fn of_user(variable: &str, default: &str) -> Option<PathBuf> {
    let said = if caller().is_some() { None } else { absolute(variable) };
    Some(said.or_else(|| home().map(|home| home.join(default)))?.join(NAME))
}

/// The user's home.
pub(crate) fn home() -> Option<PathBuf> {
    caller().map_or_else(|| absolute("HOME"), home_of)
}

/// Who called sudo, whether or not that user has taken over already: variables are root's then.
fn caller() -> Option<Uid> {
    let caller = env::var("SUDO_UID").ok()?.parse().ok().map(Uid::from_raw)?;
    (!caller.is_root() && (Uid::current().is_root() || Uid::current() == caller)).then_some(caller)
}

fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The home of `user` by passwd(5): other sources of users need a library that a static program does not have.
fn home_of(user: Uid) -> Option<PathBuf> {
    let all = fs::read_to_string("/etc/passwd").ok()?;
    let number = user.to_string();
    let mut lines = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(2) == Some(&number.as_str()))?;
    line.get(5).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// What is in a file; `None` where there is none.
///
/// Fails when it is no file, too long, or cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match settings_file::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps others of this program from changing what is beside `path`, as long as the file is held.
///
/// Fails when its folder cannot be made or written to.
pub(crate) fn alone(path: &Path) -> io::Result<File> {
    let lock = lock(path)?;
    lock.lock()?;
    Ok(lock)
}

/// What [`alone`] holds, not held yet.
///
/// Fails when its folder cannot be made or written to.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let nofollow = OFlag::O_NOFOLLOW.bits();
    OpenOptions::new().write(true).create(true).mode(0o600).custom_flags(nofollow).open(folder.join(".lock"))
}

/// Writes a file in one piece: whoever reads it sees what was there or all that is. Only its owner may read it.
///
/// Fails when there is no room, or its folder may not be written to.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Where it is a link, as those who keep their settings elsewhere have it, that stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    // What a run of that number left behind when it was killed.
    let _ = fs::remove_file(&beside);
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    written().inspect_err(|_| drop(fs::remove_file(&beside)))
}
