//! Names of saved hosts.

use std::fmt;
use std::str::FromStr;

use crate::container::preference_key;

/// In bytes. It precedes the longest interface value (see [`crate::container`]).
const MAX_SAVED_NAME_LEN: usize = 32;
/// Prefixes of local interfaces and of the program's own.
const RESERVED_PREFIXES: [&str; 6] = ["docker", "podman", "netns", "compose", "containerdump", "extcap"];

/// A name that can begin an interface value of Wireshark and be the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SavedHostName(String);

impl SavedHostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SavedHostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let has_valid_start = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !has_valid_start || text.len() > MAX_SAVED_NAME_LEN || !text.bytes().all(is_allowed) {
            return Err(format!(
                "a name consists of at most {MAX_SAVED_NAME_LEN} letters, digits, dots, hyphens and underscores, and \
                 begins with a letter or digit"
            ));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("Wireshark reads digits as the number of an interface".to_owned());
        }
        if is_reserved(text) {
            return Err("names of local interfaces begin with it".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether interfaces of this host, or of the program itself, have or begin with this name.
pub(super) fn is_reserved(text: &str) -> bool {
    let folded = preference_key(text);
    let begins_with = |prefix: &str| {
        folded.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    RESERVED_PREFIXES.into_iter().any(begins_with)
}

impl fmt::Display for SavedHostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_in_interface_values_and_paths() {
        for valid in ["build1", "b.example.org", "192.0.2.1", "A_b-c", "dockers", "composer"] {
            assert!(valid.parse::<SavedHostName>().is_ok(), "{valid}");
        }
        let long = "a".repeat(33);
        for invalid in
            ["", ".", "..", "-x", "_x", "a/b", "a b", "ü", "12", "docker", "Docker-x", "extcap.a", &long]
        {
            assert!(invalid.parse::<SavedHostName>().is_err(), "{invalid}");
        }
    }
}
