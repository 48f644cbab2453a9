//! Why a user may not run a program that only a group may run.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, User, getegid, getgroups, getuid};

use containerdump::text::Label;
use containerdump::trouble::Trouble;

use crate::layout::{self, shown};

/// What keeps this user from running the program, which cannot be run.
pub(super) fn not_executable(program: &Path) -> Trouble {
    let what = format!("cannot run {}: ", shown(program));
    let status = match program.metadata() {
        Ok(status) => status,
        Err(error) => {
            return Trouble::new(
                format!("{what}{error}"),
                "see that every folder above it can be entered: sudo chmod a+x",
            );
        }
    };
    let id = Gid::from_raw(status.gid());
    let group = Group::from_gid(id).ok().flatten();
    let name = group.as_ref().map_or_else(|| Label::new(&id.to_string()), |group| Label::new(&group.name));
    let user = User::from_uid(getuid()).ok().flatten();
    let user_name =
        user.as_ref().map_or_else(|| Label::new(&getuid().to_string()), |user| Label::new(&user.name));
    let effective = getegid() == id || getgroups().is_ok_and(|groups| groups.contains(&id));
    let registered =
        user.zip(group).is_some_and(|(user, group)| user.gid == id || group.mem.contains(&user.name));

    if status.mode() & 0o010 == 0 || effective {
        return Trouble::new(
            format!("{what}its mode is {:04o}", status.mode() & 0o7777),
            "install it again: sudo containerdump-install install (dumpcap: sudo dpkg-reconfigure wireshark-common)",
        );
    }
    if id.as_raw() == 0 {
        return Trouble::new(
            format!("{what}only root may"),
            format!(
                "sudo groupadd --system {0}; sudo usermod -aG {0} {user_name}; sudo containerdump-install install; \
                 log in again",
                layout::GROUP
            ),
        );
    }
    if registered {
        return Trouble::new(
            format!("{what}user {user_name} was added to group {name}, but this login does not know it yet"),
            format!("log out and in again, or start Wireshark with: newgrp {name}"),
        );
    }
    Trouble::new(
        format!("{what}only members of group {name} may, and user {user_name} is not one"),
        format!("sudo usermod -aG {name} {user_name}, then log in again"),
    )
}
