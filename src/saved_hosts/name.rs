//! What a saved host is called.

use std::fmt;
use std::str::FromStr;

use crate::container::preference_key;

/// The longest name, in bytes: it stands before the longest interface value (see `crate::container`).
const LONGEST: usize = 32;
/// What interface values of this host's containers, and of the program itself, begin with.
const TAKEN: [&str; 6] = ["docker", "podman", "netns", "compose", "containerdump", "extcap"];

/// A name that can begin an interface value of Wireshark's, and be a file's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !begins_well || text.len() > LONGEST || !text.bytes().all(allowed) {
            return Err(format!(
                "a name has letters, digits, dots, hyphens and underscores, {LONGEST} at most, and begins with a \
                 letter or digit"
            ));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("Wireshark takes digits alone for a number of its list".to_owned());
        }
        if is_taken(text) {
            return Err("names of local interfaces begin with it".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether interfaces of this host, or of the program itself, are called so or begin with that.
pub(super) fn is_taken(text: &str) -> bool {
    let folded = preference_key(text);
    let begins_with =
        |word: &str| folded.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    TAKEN.into_iter().any(begins_with)
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_stand_before_an_interface_and_in_a_path() {
        for good in ["build1", "b.example.org", "192.0.2.1", "A_b-c", "dockers", "composer"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        let long = "a".repeat(33);
        for bad in
            ["", ".", "..", "-x", "_x", "a/b", "a b", "ü", "12", "docker", "Docker-x", "extcap.a", &long]
        {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
