//! Paths of an installation for all users of this machine.

use std::path::{Path, PathBuf};

use containerdump::own_program;
use containerdump::safe_text::SafeText;
use containerdump::user_dirs::absolute_path;

/// Folder of the program that carries the capability. Not an extcap folder: packages of Wireshark remove and
/// recreate those.
pub(crate) const FOLDER: &str = "/usr/local/libexec/containerdump";
/// The program. Links in extcap folders point to it.
pub(crate) const PROGRAM: &str = "/usr/local/libexec/containerdump/containerdump";
/// The link in `PATH`. It points to the installer, which starts the program (see `launcher`).
pub(crate) const COMMAND: &str = "/usr/local/bin/containerdump";
/// The installer, beside the program.
pub(crate) const INSTALLER: &str = "/usr/local/libexec/containerdump/containerdump-install";
/// The page that the Help button of Wireshark's dialogs opens.
pub(crate) const HELP: &str = "/usr/local/share/doc/containerdump/wireshark.html";
/// File name of the program.
pub(crate) const NAME: &str = "containerdump";
/// Default group whose members may capture: the one that Debian's Wireshark creates for dumpcap.
pub(crate) const GROUP: &str = "wireshark";

/// Folder of the record of a personal installation: `~/.local/share/containerdump`.
pub(crate) fn personal_record() -> Option<PathBuf> {
    folder_of("XDG_DATA_HOME", ".local/share").map(|folder| folder.join(NAME))
}

/// The folder an XDG variable names, else `default` in the user's home.
pub(crate) fn folder_of(variable: &str, default: &str) -> Option<PathBuf> {
    absolute_path(variable).or_else(|| absolute_path("HOME").map(|home| home.join(default)))
}

/// The command that starts this installer, with an absolute path: sudo has a search path of its own, on Fedora
/// without `/usr/local/bin`.
pub(crate) fn command() -> String {
    match own_program::path() {
        Ok(own) if own != Path::new(INSTALLER) => shell_word(&own),
        _ => COMMAND.to_owned(),
    }
}

/// The command that installs again.
pub(crate) fn install_again() -> String {
    format!("sudo {} install", command())
}

/// A path, quoted for a shell.
pub(crate) fn shell_word(path: &Path) -> String {
    let path = shown(path).to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if path.bytes().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// A path, escaped for display.
pub(crate) fn shown(path: &Path) -> SafeText {
    SafeText::with_limit(&path.to_string_lossy(), 200)
}
