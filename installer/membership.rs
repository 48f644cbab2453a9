//! Why a user may not use a file that belongs to a group.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, User, getegid, getgroups, getuid};

use containerdump::error::Error;
use containerdump::safe_text::SafeText;

use crate::layout::{self, shown};

/// Why this user cannot execute the program at `path`.
pub(crate) fn not_executable(path: &Path) -> Error {
    not_usable("run", 0o010, path)
}

/// Why this user cannot connect to the engine's socket `path`.
pub(crate) fn not_writable(path: &Path) -> Error {
    not_usable("use", 0o020, path)
}

/// `needed` is the mode bit that lets the group `verb` the file.
fn not_usable(verb: &str, needed: u32, path: &Path) -> Error {
    let what = format!("cannot {verb} {}: ", shown(path));
    let status = match path.metadata() {
        Ok(status) => status,
        Err(error) => return Error::new(format!("{what}{error}"), look_at_folders(path)),
    };
    let id = Gid::from_raw(status.gid());
    let group = Group::from_gid(id).ok().flatten();
    let name =
        group.as_ref().map_or_else(|| SafeText::new(&id.to_string()), |group| SafeText::new(&group.name));
    let user = User::from_uid(getuid()).ok().flatten();
    let user_name =
        user.as_ref().map_or_else(|| SafeText::new(&getuid().to_string()), |user| SafeText::new(&user.name));
    let effective = getegid() == id || getgroups().is_ok_and(|groups| groups.contains(&id));
    let registered =
        user.zip(group).is_some_and(|(user, group)| user.gid == id || group.mem.contains(&user.name));

    if status.mode() & needed == 0 || effective {
        return Error::new(format!("{what}its mode is {:04o}", status.mode() & 0o7777), mend_mode(path));
    }
    if id.as_raw() == 0 {
        return Error::new(format!("{what}only root may do that"), open_to_group(path, &user_name));
    }
    if registered {
        return Error::new(
            format!(
                "{what}user {user_name} was added to group {name}, but this login session began before that"
            ),
            format!("log out and in again; for one shell: newgrp {name}"),
        );
    }
    let warning =
        if name.as_str() == "docker" { " (membership in docker is equivalent to root)" } else { "" };
    Error::new(
        format!("{what}only members of group {name} may, and user {user_name} is not one"),
        format!("sudo usermod -aG {name} {user_name}; then log out and in again{warning}"),
    )
}

fn is_ours(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == layout::NAME)
}

fn look_at_folders(path: &Path) -> String {
    format!("find the parent folder that cannot be entered: namei -l {}", shown(path))
}

fn mend_mode(path: &Path) -> String {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("dumpcap") => "sudo dpkg-reconfigure wireshark-common".to_owned(),
        _ if is_ours(path) => layout::install_again(),
        _ => format!("sudo chmod g+rw {}", shown(path)),
    }
}

fn open_to_group(path: &Path, user: &SafeText) -> String {
    match path.file_name().and_then(|name| name.to_str()) {
        Some("dumpcap") => format!(
            "sudo dpkg-reconfigure wireshark-common (answer yes); sudo usermod -aG {} {user}; log out and in again",
            layout::GROUP
        ),
        _ if is_ours(path) => format!(
            "{} --group {group}; sudo usermod -aG {group} {user}; log out and in again",
            layout::install_again(),
            group = layout::GROUP
        ),
        _ => "run containerdump as root, or have the engine open its socket to a group".to_owned(),
    }
}
