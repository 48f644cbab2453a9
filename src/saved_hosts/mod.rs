//! Hosts that the user saved under names.
//!
//! ```text
//! ~/.config/containerdump/hosts.json    {"build1": {"address": "ann@192.0.2.7:2222", "privilege": "sudo"}}
//! ```
//!
//! The file may be written by hand: mistakes in it are reported.

mod cache;
mod name;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::container::preference_key;
use crate::error::Error;
use crate::ssh::{self, Elevation, Host, SshOptions};
use crate::{settings_file, user_dirs};

pub use cache::{CachedHost, lock_refresh};
pub use name::SavedHostName;

const HOSTS_FILE: &str = "hosts.json";
/// Each makes Wireshark start a little later.
const MAX_SAVED_HOSTS: usize = 200;

/// All saved hosts, by name.
#[derive(Clone, Debug, Default)]
pub struct SavedHosts(BTreeMap<SavedHostName, SavedHost>);

/// A saved host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedHost {
    /// Its address.
    pub host: Host,
    /// How the program becomes root on it.
    pub elevation: Elevation,
    /// The only private key to log in with; `None` leaves it to the SSH configuration.
    pub key: Option<PathBuf>,
}

/// A saved host in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostEntry {
    address: String,
    #[serde(default, rename = "privilege", skip_serializing_if = "Elevation::is_none")]
    elevation: Elevation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
}

impl SavedHosts {
    /// Reads the saved hosts; empty if there is no file.
    ///
    /// # Errors
    /// The file cannot be read or is invalid.
    pub fn read() -> Result<Self, Error> {
        let Some(path) = path() else { return Ok(Self::default()) };
        let invalid = |cause: &str| {
            Error::new(
                format!("cannot read saved hosts in {}: {cause}", path.display()),
                "correct or remove the file; containerdump host add writes it",
            )
        };
        let bytes = settings_file::read_optional(&path).map_err(|error| invalid(&error.to_string()))?;
        bytes.map_or_else(|| Ok(Self::default()), |bytes| Self::parse(&bytes).map_err(|why| invalid(&why)))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let entries: BTreeMap<String, HostEntry> =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut hosts = Self::default();
        for (name, entry) in entries {
            let in_entry = |cause: String| format!("host {name}: {cause}");
            let host = SavedHost::try_from(entry).map_err(in_entry)?;
            hosts.insert(name.parse().map_err(in_entry)?, host).map_err(in_entry)?;
        }
        Ok(hosts)
    }

    /// Adds a host.
    ///
    /// # Errors
    /// The name is taken, or is the same to Wireshark as another one.
    pub fn add(&mut self, name: SavedHostName, host: SavedHost) -> Result<(), Error> {
        let shown = name.clone();
        self.insert(name, host).map_err(|cause| {
            Error::new(
                format!("cannot save host {shown}: {cause}"),
                "list saved hosts (containerdump host list), and remove those no longer needed (containerdump host \
                 remove NAME)",
            )
        })
    }

    fn insert(&mut self, name: SavedHostName, host: SavedHost) -> Result<(), String> {
        let is_same =
            |other: &&SavedHostName| preference_key(other.as_str()) == preference_key(name.as_str());
        if let Some(other) = self.0.keys().find(is_same) {
            return Err(format!("saved host {other} has the same interface name in Wireshark"));
        }
        if self.0.len() == MAX_SAVED_HOSTS {
            return Err(format!("there are {MAX_SAVED_HOSTS} already"));
        }
        self.0.insert(name, host);
        Ok(())
    }

    /// Removes a host.
    ///
    /// # Errors
    /// There is none with this name.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        let known = self.0.keys().find(|known| known.as_str() == name).cloned();
        known.and_then(|known| self.0.remove(&known)).map(drop).ok_or_else(|| no_such_host(name))
    }

    /// Finds a host by its name.
    ///
    /// # Errors
    /// There is none with this name.
    pub fn get(&self, name: &str) -> Result<(&SavedHostName, &SavedHost), Error> {
        self.iter().find(|(known, _)| known.as_str() == name).ok_or_else(|| no_such_host(name))
    }

    /// The host of an interface value, and the value on that host: `docker-web`, `all`. `None` if it belongs to no saved
    /// host.
    pub fn find_by_interface<'a>(&self, interface: &'a str) -> Option<(&SavedHostName, &SavedHost, &'a str)> {
        let remote_value = |name: &SavedHostName| {
            let rest = interface.strip_prefix(name.as_str())?.strip_prefix('-');
            rest.filter(|rest| is_remote_interface(rest))
        };
        let matches = self.0.iter().filter_map(|(name, host)| Some((name, host, remote_value(name)?)));
        // The name of a host may begin with that of another.
        matches.max_by_key(|(name, ..)| name.as_str().len())
    }

    /// All hosts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&SavedHostName, &SavedHost)> {
        self.0.iter()
    }

    /// Whether no host is saved.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces `host` by the saved host of that name, if it is a bare name and there is one.
    ///
    /// # Errors
    /// The saved host cannot be used.
    pub fn resolve(&self, host: &Host) -> Result<Host, Error> {
        let saved = self.0.iter().find(|(name, _)| host.is_bare_name() && name.as_str() == host.name());
        saved.map_or_else(|| Ok(host.clone()), |(name, saved)| saved.to_host(name))
    }

    /// Applies `change` to the saved hosts and writes them, while other processes wait.
    ///
    /// # Errors
    /// They cannot be read or written, or `change` fails.
    pub fn update<T>(change: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let Some(path) = path() else {
            return Err(Error::new(
                "cannot save hosts: there is no folder for settings",
                "set HOME or XDG_CONFIG_HOME to an absolute path",
            ));
        };
        let failed = |error: std::io::Error| {
            Error::new(
                format!("cannot save hosts in {}: {error}", path.display()),
                "check that its folder belongs to you and is writable",
            )
        };
        let _lock = settings_file::lock(&path).map_err(failed)?;
        let mut hosts = Self::read()?;
        let outcome = change(&mut hosts)?;
        settings_file::write(&path, hosts.to_json().as_bytes()).map_err(failed)?;
        Ok(outcome)
    }

    pub(crate) fn to_json(&self) -> String {
        let entries: BTreeMap<&str, HostEntry> =
            self.0.iter().map(|(name, host)| (name.as_str(), HostEntry::from(host))).collect();
        // Strings can always be serialized.
        serde_json::to_string_pretty(&entries).unwrap_or_default() + "\n"
    }
}

impl SavedHost {
    /// Checks that its key file can be read.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check_key(&self) -> Result<(), String> {
        let Some(key) = &self.key else { return Ok(()) };
        ssh::check_key(key).map_err(|error| format!("key file {} cannot be read ({error})", key.display()))
    }

    /// The host to connect to, labelled with `name`.
    ///
    /// # Errors
    /// The path of the key cannot be passed to `ssh`.
    pub fn to_host(&self, name: &SavedHostName) -> Result<Host, Error> {
        let options = SshOptions::new(self.key.as_deref(), None)?;
        Ok(self.host.clone().with_options(options).with_alias(name.as_str(), self.elevation))
    }
}

impl TryFrom<HostEntry> for SavedHost {
    type Error = String;

    fn try_from(entry: HostEntry) -> Result<Self, String> {
        let HostEntry { address, elevation, key } = entry;
        Ok(Self { host: address.parse()?, elevation, key })
    }
}

impl From<&SavedHost> for HostEntry {
    fn from(saved: &SavedHost) -> Self {
        let SavedHost { host, elevation, key } = saved;
        Self { address: host.address(), elevation: *elevation, key: key.clone() }
    }
}

/// Follows the name of a host in the interface value for all its containers.
pub const ALL_CONTAINERS: &str = "all";

/// Whether `interface` may be a local interface or the program's own; no saved host has such a name.
pub fn is_local_interface(interface: &str) -> bool {
    name::is_reserved(interface)
}

/// Whether `value` is an interface value on a remote host.
fn is_remote_interface(value: &str) -> bool {
    let has_prefix = |prefix: &&str| value.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with('-'));
    value == ALL_CONTAINERS || ["docker", "podman", "netns", "compose"].iter().any(has_prefix)
}

fn path() -> Option<PathBuf> {
    Some(user_dirs::config_dir()?.join(HOSTS_FILE))
}

fn no_such_host(name: &str) -> Error {
    Error::new(format!("there is no saved host {name}"), "list saved hosts: containerdump host list")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SavedHosts, String> {
        SavedHosts::parse(text.as_bytes())
    }

    #[test]
    fn hosts_are_read_as_they_were_written() {
        let text = r#"{"b.2": {"address": "[2001:db8::1]:22", "privilege": "doas"},
            "build1": {"address": "ann@192.0.2.7:2222", "key": "/home/ann/a key"}}"#;
        let hosts = parse(text).expect("hosts");
        let again = parse(&hosts.to_json()).expect("hosts");
        assert_eq!(hosts.iter().collect::<Vec<_>>(), again.iter().collect::<Vec<_>>());
    }

    #[test]
    fn only_a_bare_name_is_that_of_a_saved_host() {
        let text = r#"{"b.2": {"address": "[2001:db8::1]:22", "privilege": "doas"},
            "build1": {"address": "ann@192.0.2.7:2222"}}"#;
        let hosts = parse(text).expect("hosts");
        let resolve = |text: &str| hosts.resolve(&text.parse().expect("a host")).expect("a host");
        let build1 = resolve("build1");
        assert_eq!((build1.to_string().as_str(), build1.user()), ("build1", Some("ann")));
        assert_eq!((resolve("b.2").name(), resolve("b.2").elevation()), ("2001:db8::1", Elevation::Doas));
        assert_eq!(resolve("bob@build1").name(), "build1");
        assert_eq!(resolve("elsewhere").name(), "elsewhere");
    }

    #[test]
    fn invalid_files_are_reported() {
        for (invalid, cause) in [
            ("", "EOF"),
            ("[]", "invalid type"),
            (r#"{"a": {}}"#, "address"),
            (r#"{"a": {"address": "-oX=y"}}"#, "host a: invalid host"),
            (
                r#"{"a": {"address": "b", "privilege": "su"}}"#,
                "unknown variant `su`, expected one of `none`, `sudo`",
            ),
            (r#"{"a": {"address": "b", "password": "x"}}"#, "password"),
            (r#"{"-a": {"address": "b"}}"#, "host -a: "),
            (r#"{"docker": {"address": "b"}}"#, "host docker: "),
            (r#"{"a.b": {"address": "b"}, "a-B": {"address": "b"}}"#, "the same interface name"),
        ] {
            let error = parse(invalid).err().unwrap_or_else(|| panic!("{invalid}"));
            assert!(error.contains(cause), "{invalid}: {error}");
        }
    }
}
