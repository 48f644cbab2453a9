//! The user's folders for settings and caches.

use std::env;
use std::fs;
use std::path::PathBuf;

use nix::unistd::Uid;

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
    // Under sudo, the variable is root's.
    let named = if sudo_caller().is_some() { None } else { absolute_path(variable) };
    Some(named.or_else(|| home().map(|home| home.join(default)))?.join(PROGRAM_DIR))
}

fn home() -> Option<PathBuf> {
    sudo_caller().map_or_else(|| absolute_path("HOME"), home_of)
}

/// The user who called sudo, whether or not the program still runs as root.
fn sudo_caller() -> Option<Uid> {
    let caller = env::var("SUDO_UID").ok()?.parse().ok().map(Uid::from_raw)?;
    (!caller.is_root() && (Uid::current().is_root() || Uid::current() == caller)).then_some(caller)
}

/// The home of `user` in passwd(5): other sources need a library that a static program does not have.
fn home_of(user: Uid) -> Option<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let uid = user.to_string();
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entries.find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    entry.get(5).map(PathBuf::from).filter(|path| path.is_absolute())
}
