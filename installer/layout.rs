//! Where things are put when they are for everybody on this machine.

use std::path::{Path, PathBuf};

use containerdump::text::Label;

/// Folder of the program that carries the right to capture. Not an extcap folder: Wireshark's
/// own package removes and remakes those.
pub(crate) const FOLDER: &str = "/usr/local/libexec/containerdump";
/// The program itself. Every link leads here.
pub(crate) const PROGRAM: &str = "/usr/local/libexec/containerdump/containerdump";
/// The link for people's command lines.
pub(crate) const COMMAND: &str = "/usr/local/bin/containerdump";
/// The installer, so that `uninstall` and `doctor` stay at hand.
pub(crate) const INSTALLER: &str = "/usr/local/sbin/containerdump-install";
/// Name of the program in every folder.
pub(crate) const NAME: &str = "containerdump";
/// Whose members may capture, unless told otherwise. Debian's Wireshark uses the same.
pub(crate) const GROUP: &str = "wireshark";

/// Where a user's own installation is recorded: `~/.local/share/containerdump`.
pub(crate) fn personal_record() -> Option<PathBuf> {
    folder_of("XDG_DATA_HOME", ".local/share").map(|folder| folder.join(NAME))
}

/// The folder an XDG variable names, else `default` in the user's home.
pub(crate) fn folder_of(variable: &str, default: &str) -> Option<PathBuf> {
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(default)))
}

fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A path as it may be shown.
pub(crate) fn shown(path: &Path) -> Label {
    Label::with_limit(&path.to_string_lossy(), 200)
}
