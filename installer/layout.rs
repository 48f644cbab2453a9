//! Where things are put when they are for everybody on this machine.

use std::path::{Path, PathBuf};

use containerdump::own_program;
use containerdump::safe_text::SafeText;
use containerdump::user_dirs::absolute_path;

/// Folder of the program that carries the right to capture. Not an extcap folder: Wireshark's
/// own package removes and remakes those.
pub(crate) const FOLDER: &str = "/usr/local/libexec/containerdump";
/// The program itself. Every link leads here.
pub(crate) const PROGRAM: &str = "/usr/local/libexec/containerdump/containerdump";
/// The link for command lines. It leads to the installer, which starts the program (see `launcher`).
pub(crate) const COMMAND: &str = "/usr/local/bin/containerdump";
/// The installer, beside the program that it starts.
pub(crate) const INSTALLER: &str = "/usr/local/libexec/containerdump/containerdump-install";
/// The page that the Help button of Wireshark's dialogs opens.
pub(crate) const HELP: &str = "/usr/local/share/doc/containerdump/wireshark.html";
/// Name of the program in every folder.
pub(crate) const NAME: &str = "containerdump";
/// Whose members may capture by default. It is the group that Debian's Wireshark makes for dumpcap.
pub(crate) const GROUP: &str = "wireshark";

/// Where a user's own installation is recorded: `~/.local/share/containerdump`.
pub(crate) fn personal_record() -> Option<PathBuf> {
    folder_of("XDG_DATA_HOME", ".local/share").map(|folder| folder.join(NAME))
}

/// The folder an XDG variable names, else `default` in the user's home.
pub(crate) fn folder_of(variable: &str, default: &str) -> Option<PathBuf> {
    absolute_path(variable).or_else(|| absolute_path("HOME").map(|home| home.join(default)))
}

/// The command that reaches this installer wherever it was started from, as it can be typed. Absolute: sudo looks
/// for programs in a path of its own, on Fedora without `/usr/local/bin`.
pub(crate) fn command() -> String {
    match own_program::path() {
        Ok(own) if own != Path::new(INSTALLER) => word(&own),
        _ => COMMAND.to_owned(),
    }
}

/// The command that installs again.
pub(crate) fn install_again() -> String {
    format!("sudo {} install", command())
}

/// A path as a word of a shell.
pub(crate) fn word(path: &Path) -> String {
    let path = shown(path).to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if path.bytes().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// A path as it may be shown.
pub(crate) fn shown(path: &Path) -> SafeText {
    SafeText::with_limit(&path.to_string_lossy(), 200)
}
