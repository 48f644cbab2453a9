//! The user's folders for settings and caches.

use std::env;
use std::path::PathBuf;

use crate::passwd::PasswdEntry;
use crate::privilege;

const PROGRAM_DIR: &str = "containerdump";

/// The program's folder for settings: `~/.config/containerdump`.
pub fn config_dir() -> Option<PathBuf> {
    program_dir("XDG_CONFIG_HOME", ".config")
}

/// The program's folder for data that can be recreated: `~/.cache/containerdump`.
pub fn cache_dir() -> Option<PathBuf> {
    program_dir("XDG_CACHE_HOME", ".cache")
}

/// The path in an environment variable, if it is absolute.
pub fn absolute_path(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn program_dir(variable: &str, default: &str) -> Option<PathBuf> {
    // Under sudo and doas, the variables are root's.
    let caller = privilege::caller().ok()?;
    let base = match caller {
        Some(caller) => PasswdEntry::by_id(caller.user)?.home?.join(default),
        None => absolute_path(variable).or_else(|| Some(absolute_path("HOME")?.join(default)))?,
    };
    Some(base.join(PROGRAM_DIR))
}
