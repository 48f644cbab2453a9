//! Users in passwd(5): other sources need a library that a static program does not have.

use std::fs;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid};

const FILE: &str = "/etc/passwd";

/// A user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PasswdEntry {
    pub(crate) user: Uid,
    pub(crate) group: Gid,
    /// The home, if it is an absolute path.
    pub(crate) home: Option<PathBuf>,
}

impl PasswdEntry {
    /// The user of this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        find(&fs::read_to_string(FILE).ok()?, |fields| fields[0] == name)
    }

    /// The user with this ID.
    pub(crate) fn by_id(user: Uid) -> Option<Self> {
        let id = user.to_string();
        find(&fs::read_to_string(FILE).ok()?, |fields| fields[2] == id)
    }
}

fn find(passwd: &str, is_wanted: impl Fn(&[&str]) -> bool) -> Option<PasswdEntry> {
    let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.filter(|fields| fields.len() >= 6).find(|fields| is_wanted(fields))?;
    let number = |field: usize| fields[field].parse::<u32>().ok();
    Some(PasswdEntry {
        user: Uid::from_raw(number(2)?),
        group: Gid::from_raw(number(3)?),
        home: Some(PathBuf::from(fields[5])).filter(|path| path.is_absolute()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_whole_fields_and_numbers_are_not_guessed() {
        let passwd =
            "broken\nann\nann:x:1000:50:Ann,,,:/home/ann:/bin/sh\nbob:x:x:50::/home/bob:\neve:x:7:8::eve:\n";
        let by_name = |name: &str| find(passwd, |fields| fields[0] == name);
        let ann = by_name("ann").expect("a user");
        assert_eq!((ann.user.as_raw(), ann.group.as_raw()), (1000, 50));
        assert_eq!(ann.home, Some(PathBuf::from("/home/ann")));
        assert_eq!(by_name("eve").expect("a user").home, None);
        for name in ["an", "ann:x", "bob", "broken", ""] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }
}
