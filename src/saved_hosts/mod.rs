//! Hosts that somebody saved under a name of their own.
//!
//! ```text
//! ~/.config/containerdump/hosts.json    {"build1": {"address": "ann@192.0.2.7:2222", "privilege": "sudo"}}
//! ```
//!
//! The file is the user's own, and may be written by hand: what is wrong in it is told.

mod cache;
pub(crate) mod folder;
mod found;
mod name;
mod ssh_config;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container::preference_key;
use crate::error::Error;
use crate::ssh::{self, Gain, Host, Way};

pub use cache::{Known, alone};
pub use found::{Found, Source, found};
pub use name::Name;

/// The file, in the user's folder of settings.
const FILE: &str = "hosts.json";
/// Hosts that may be saved: each costs Wireshark's start something.
const MOST: usize = 200;

/// All of them, by name.
#[derive(Clone, Debug, Default)]
pub struct Hosts(BTreeMap<Name, Saved>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Where it is.
    pub host: Host,
    /// By what the program becomes root there.
    pub gain: Gain,
    /// The private key to log in with, where ssh shall take no other.
    pub key: Option<PathBuf>,
}

/// It, as it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    privilege: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
}

impl Hosts {
    /// Those that are saved; none where there is no file.
    ///
    /// Fails when the file cannot be read or makes no sense.
    pub fn read() -> Result<Self, Error> {
        let Some(path) = path() else { return Ok(Self::default()) };
        let wrong = |why: &str| {
            Error::new(
                format!("cannot read saved hosts in {}: {why}", path.display()),
                "correct or remove the file; containerdump host add writes it",
            )
        };
        let Some(bytes) = folder::read(&path).map_err(|error| wrong(&error.to_string()))? else {
            return Ok(Self::default());
        };
        Self::parse(&bytes).map_err(|why| wrong(&why))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let entries: BTreeMap<String, Entry> =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut hosts = Self::default();
        for (name, entry) in entries {
            let of_host = |why: String| format!("host {name}: {why}");
            let saved = Saved::try_from(entry).map_err(of_host)?;
            hosts.insert(name.parse().map_err(of_host)?, saved).map_err(of_host)?;
        }
        Ok(hosts)
    }

    /// Saves another.
    ///
    /// Fails when there is one of that name, or one that Wireshark would not tell from it.
    pub fn add(&mut self, name: Name, saved: Saved) -> Result<(), Error> {
        let shown = name.clone();
        self.insert(name, saved).map_err(|why| {
            Error::new(
                format!("cannot save host {shown}: {why}"),
                "see which there are (containerdump host list), and remove what is not wanted any more \
                 (containerdump host remove NAME)",
            )
        })
    }

    fn insert(&mut self, name: Name, saved: Saved) -> Result<(), String> {
        let is_same = |other: &&Name| preference_key(other.as_str()) == preference_key(name.as_str());
        if let Some(other) = self.0.keys().find(is_same) {
            return Err(format!("there is {other}, which has the same interface name in Wireshark"));
        }
        if self.0.len() == MOST {
            return Err(format!("there are {MOST} already"));
        }
        self.0.insert(name, saved);
        Ok(())
    }

    /// Forgets one.
    ///
    /// Fails when there is none of that name.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let known = self.0.keys().find(|known| known.as_str() == name).cloned();
        known.and_then(|known| self.0.remove(&known)).map(|_| ()).ok_or_else(|| no_such(name))
    }

    /// The one called `name`.
    ///
    /// Fails when there is none.
    pub fn named(&self, name: &str) -> Result<(&Name, &Saved), Error> {
        self.iter().find(|(known, _)| known.as_str() == name).ok_or_else(|| no_such(name))
    }

    /// The one that `interface` is of, and what that is called there: `docker-web`, `all`. `None` where it is none of
    /// theirs.
    pub fn of_interface<'a>(&self, interface: &'a str) -> Option<(&Name, &Saved, &'a str)> {
        let rest = |name: &Name| {
            interface.strip_prefix(name.as_str())?.strip_prefix('-').filter(|rest| is_of_host(rest))
        };
        // A host may be called like another and something behind it.
        let of_some = self.0.iter().filter_map(|(name, saved)| Some((name, saved, rest(name)?)));
        of_some.max_by_key(|(name, ..)| name.as_str().len())
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Saved)> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `host` means: the saved one where nothing but a name is said, and it is one of a saved host.
    ///
    /// Fails when the saved one cannot be used.
    pub fn meant(&self, host: &Host) -> Result<Host, Error> {
        let saved = self.0.iter().find(|(name, _)| host.is_bare() && name.as_str() == host.name());
        saved.map_or_else(|| Ok(host.clone()), |(name, saved)| saved.called(name))
    }

    /// Changes them by `change`, and writes what came of it, in one piece; nobody else does meanwhile.
    ///
    /// Fails when they cannot be read or written, or `change` does.
    pub fn change<T>(change: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let Some(path) = path() else {
            return Err(Error::new(
                "cannot save hosts: there is no folder for settings",
                "set HOME or XDG_CONFIG_HOME to a path",
            ));
        };
        let cannot = |error: std::io::Error| {
            Error::new(
                format!("cannot save hosts in {}: {error}", path.display()),
                "see that its folder is yours and may be written to",
            )
        };
        let _alone = folder::alone(&path).map_err(cannot)?;
        let mut hosts = Self::read()?;
        let outcome = change(&mut hosts)?;
        folder::write(&path, hosts.text().as_bytes()).map_err(cannot)?;
        Ok(outcome)
    }

    fn text(&self) -> String {
        let entries: BTreeMap<&str, Entry> =
            self.0.iter().map(|(name, saved)| (name.as_str(), Entry::from(saved))).collect();
        // Names and texts can always be written.
        serde_json::to_string_pretty(&entries).unwrap_or_default() + "\n"
    }
}

impl Saved {
    /// Fails when its key file cannot be read.
    pub fn check_key(&self) -> Result<(), String> {
        let Some(key) = &self.key else { return Ok(()) };
        ssh::check_key(key).map_err(|error| format!("key file {} cannot be read ({error})", key.display()))
    }

    /// It, as a host of that name.
    ///
    /// Fails when ssh cannot be told its key.
    pub fn called(&self, name: &Name) -> Result<Host, Error> {
        let way = Way::new(self.key.as_deref(), None)?;
        Ok(self.host.clone().by(way).called(name.as_str(), self.gain))
    }
}

impl TryFrom<Entry> for Saved {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let gain = match &entry.privilege {
            None => Gain::default(),
            Some(word) => Gain::parse(word)
                .ok_or_else(|| format!("unknown privilege {word} (expected none, sudo or doas)"))?,
        };
        Ok(Self { host: entry.address.parse()?, gain, key: entry.key })
    }
}

impl From<&Saved> for Entry {
    fn from(saved: &Saved) -> Self {
        let gain = Some(saved.gain).filter(|gain| *gain != Gain::default());
        Self {
            address: saved.host.address(),
            privilege: gain.map(|gain| gain.word().to_owned()),
            key: saved.key.clone(),
        }
    }
}

/// What stands behind a host's name for all of its containers.
pub const ALL: &str = "all";

/// Whether `interface` may be one of this host, or the program's own: no saved host's is.
pub fn is_of_here(interface: &str) -> bool {
    name::is_taken(interface)
}

/// Whether `rest` can stand behind a host's name.
fn is_of_host(rest: &str) -> bool {
    let begins = |word: &&str| rest.strip_prefix(*word).is_some_and(|rest| rest.starts_with('-'));
    rest == ALL || ["docker", "podman", "netns", "compose"].iter().any(begins)
}

/// Where they are saved; `None` where the user has no home.
fn path() -> Option<PathBuf> {
    let folder = folder::of_settings()?;
    Some(folder.join(Path::new(FILE)))
}

fn no_such(name: &str) -> Error {
    Error::new(format!("there is no saved host {name}"), "see which there are: containerdump host list")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Hosts, String> {
        Hosts::parse(text.as_bytes())
    }

    #[test]
    fn what_is_written_is_read() {
        let text = r#"{"b.2": {"address": "[2001:db8::1]:22", "privilege": "doas"},
            "build1": {"address": "ann@192.0.2.7:2222", "key": "/home/ann/a key"}}"#;
        let hosts = parse(text).expect("hosts");
        let again = parse(&hosts.text()).expect("hosts");
        assert_eq!(hosts.iter().collect::<Vec<_>>(), again.iter().collect::<Vec<_>>());
        let meant = |text: &str| hosts.meant(&text.parse().expect("a host")).expect("a host");
        assert_eq!((meant("build1").to_string().as_str(), meant("build1").user()), ("build1", Some("ann")));
        assert_eq!((meant("b.2").name(), meant("b.2").gain()), ("2001:db8::1", Gain::Doas));
        // Who says more means another.
        assert_eq!(meant("bob@build1").name(), "build1");
        assert_eq!(meant("elsewhere").name(), "elsewhere");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (wrong, why) in [
            ("", "EOF"),
            ("[]", "invalid type"),
            (r#"{"a": {}}"#, "address"),
            (r#"{"a": {"address": "-oX=y"}}"#, "host a: invalid host"),
            (r#"{"a": {"address": "b", "privilege": "su"}}"#, "host a: unknown privilege su"),
            (r#"{"a": {"address": "b", "password": "x"}}"#, "password"),
            (r#"{"-a": {"address": "b"}}"#, "host -a: "),
            (r#"{"docker": {"address": "b"}}"#, "host docker: "),
            (r#"{"a.b": {"address": "b"}, "a-B": {"address": "b"}}"#, "the same interface name"),
        ] {
            let said = parse(wrong).err().unwrap_or_else(|| panic!("{wrong}"));
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
