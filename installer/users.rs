//! The members of a group.

use std::time::Duration;

use nix::unistd::{Gid, Group};

use containerdump::error::Error;

use crate::command::{self, Environment};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The name of a group, or its ID where it has none.
pub(crate) fn group_name(id: Gid) -> String {
    Group::from_gid(id).ok().flatten().map_or_else(|| id.to_string(), |group| group.name)
}

/// The users in a group, without root: supplementary members and those whose primary group it is.
pub(crate) fn members(id: Gid) -> Result<Vec<String>, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(
            format!("cannot look up the members of group {}: {why}", group_name(id)),
            "check that `getent passwd` works",
        )
    };
    let group = Group::from_gid(id).map_err(|error| failed(&error.desc()))?;
    let mut members = group.map(|group| group.mem).unwrap_or_default();
    let getent = command::find("getent").ok_or_else(|| failed(&"getent not found"))?;
    let users = command::run(&getent, &["passwd"], Environment::Clean, TIMEOUT)?;
    members.extend(users.stdout.lines().filter_map(|line| with_group(line, id)).map(str::to_owned));
    members.retain(|name| name != "root");
    members.sort();
    members.dedup();
    Ok(members)
}

/// The user in a line of `getent passwd` whose primary group is `id`.
fn with_group(line: &str, id: Gid) -> Option<&str> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    (fields.nth(2)?.parse() == Ok(id.as_raw())).then_some(name)
}

#[cfg(test)]
mod tests {
    use nix::unistd::Gid;

    use super::with_group;

    #[test]
    fn a_user_belongs_to_the_group_in_the_fourth_field() {
        let line = "ann:x:1000:50:Ann,,,:/home/ann:/bin/bash";
        assert_eq!(with_group(line, Gid::from_raw(50)), Some("ann"));
        assert_eq!(with_group(line, Gid::from_raw(1000)), None);
        assert_eq!(with_group("broken", Gid::from_raw(50)), None);
    }
}
