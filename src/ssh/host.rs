//! Which host, as people say it.

use std::fmt;
use std::str::FromStr;

use super::{Gain, Way};
use crate::safe_text::SafeText;

/// The longest name that the system of names has.
const LONGEST: usize = 253;

/// A host that `ssh` can be given: no part of it can become an option, or mean anything to a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
    way: Way,
    /// What it is called here, where somebody gave it a name of its own.
    alias: Option<SafeText>,
    gain: Gain,
    /// Whether its label has the port, since another host of the run has the same name.
    has_port_in_label: bool,
}

impl Host {
    /// The same, where `user` and `port` are said beside it; as it was, where they are not.
    ///
    /// Fails when there is no such user or port.
    pub fn with_login(mut self, user: Option<&str>, port: Option<&str>) -> Result<Self, String> {
        if let Some(user) = user.map(str::trim).filter(|user| !user.is_empty()) {
            if !is_plain(user, USER) {
                return Err("invalid user name (expected for example ann)".to_owned());
            }
            self.user = Some(user.to_owned());
        }
        if let Some(port) = port.map(str::trim).filter(|port| !port.is_empty()) {
            self.port = Some(number(port)?);
        }
        Ok(self)
    }

    /// The same, by a way of its own.
    #[must_use]
    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// The same, called `alias` here, where the program becomes root by `gain`.
    #[must_use]
    pub fn called(self, alias: &str, gain: Gain) -> Self {
        Self { alias: Some(SafeText::new(alias)), gain, ..self }
    }

    /// Whether nothing but its name is said.
    pub fn is_bare(&self) -> bool {
        self.user.is_none() && self.port.is_none() && self.alias.is_none()
    }

    /// By what the program becomes root there, where nothing else is said.
    pub fn gain(&self) -> Gain {
        self.gain
    }

    /// The way to it, beside what the settings of `ssh` say.
    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Options of `ssh` for the user and the port.
    pub(super) fn login_arguments(&self) -> Vec<String> {
        let user = self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]);
        let port = self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]);
        user.chain(port).collect()
    }

    /// Who logs in there; whom `ssh` says where there is none.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Its name: an address, or what the settings of `ssh` know.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port; the one that `ssh` says where there is none.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// As it stands in lists and captures: its saved name, else its name, with the port where [`Host::distinguish`]
    /// found that it is needed.
    pub fn label(&self) -> SafeText {
        match &self.alias {
            Some(alias) => alias.clone(),
            None if self.has_port_in_label => self.place(),
            None => SafeText::new(&self.name),
        }
    }

    /// Adds the port to the labels of those `hosts` that would have the same label without.
    pub fn distinguish(hosts: &mut [Self]) {
        let labels: Vec<SafeText> = hosts.iter().map(Self::label).collect();
        for (host, label) in hosts.iter_mut().zip(&labels) {
            host.has_port_in_label |= labels.iter().filter(|other| *other == label).count() > 1;
        }
    }

    fn place(&self) -> SafeText {
        match self.port {
            Some(port) if self.name.contains(':') => SafeText::new(&format!("[{}]:{port}", self.name)),
            Some(port) => SafeText::new(&format!("{}:{port}", self.name)),
            None => SafeText::new(&self.name),
        }
    }
}

impl Host {
    /// As people would write it: `ann@build1:2222`.
    pub fn address(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{user}{}", self.place())
    }
}

/// What it is called here, else its address.
impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(formatter, "{alias}"),
            None => formatter.write_str(&self.address()),
        }
    }
}

/// `build1`, `ann@build1`, `ann@build1:2222`, `ann@[2001:db8::1]:2222`, each also behind `ssh://`.
impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("ssh://").map_or(text, |rest| rest.trim_end_matches('/'));
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, text),
        };
        let (name, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, "")) => (name, None),
            Some((name, rest)) => (name, Some(rest.strip_prefix(':').unwrap_or("?"))),
            // An address with colons has no port unless it stands in brackets.
            None => match place.split_once(':') {
                Some((name, port)) if !port.contains(':') => (name, Some(port)),
                _ => (place, None),
            },
        };
        let others: &[u8] = if name.contains(':') { b"._-:%" } else { b"._-" };
        if !is_plain(name, others) || user.is_some_and(|user| !is_plain(user, USER)) {
            return Err("invalid host (expected for example build1, ann@build1, ann@build1:2222)".to_owned());
        }
        let port = port.map(number).transpose()?;
        let user = user.map(str::to_owned);
        let (way, gain) = (Way::default(), Gain::default());
        Ok(Self { user, name: name.to_owned(), port, way, alias: None, gain, has_port_in_label: false })
    }
}

/// Bytes that a user's name may have beside letters and digits.
const USER: &[u8] = b"._-+@";

fn is_plain(text: &str, others: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    !text.is_empty() && text.len() <= LONGEST && !text.starts_with('-') && text.bytes().all(fits)
}

fn number(port: &str) -> Result<u16, String> {
    let number = port.parse().ok().filter(|port| *port != 0);
    number.ok_or_else(|| "invalid port (expected 1 to 65535)".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Option<(Option<String>, String, Option<u16>)> {
        text.parse().ok().map(|Host { user, name, port, .. }| (user, name, port))
    }

    #[test]
    fn hosts_are_read_as_people_write_them() {
        let host =
            |user: Option<&str>, name: &str, port| Some((user.map(str::to_owned), name.to_owned(), port));
        assert_eq!(parts("build1"), host(None, "build1", None));
        assert_eq!(parts("ann@build1:2222"), host(Some("ann"), "build1", Some(2222)));
        assert_eq!(parts("ssh://ann@build1/"), host(Some("ann"), "build1", None));
        assert_eq!(parts("ann@corp@192.0.2.1"), host(Some("ann@corp"), "192.0.2.1", None));
        assert_eq!(parts("2001:db8::1"), host(None, "2001:db8::1", None));
        assert_eq!(parts("[fe80::1%eth0]:22"), host(None, "fe80::1%eth0", Some(22)));
        assert_eq!("[2001:db8::1]:22".parse::<Host>().expect("a host").to_string(), "[2001:db8::1]:22");
    }

    #[test]
    fn what_could_be_an_option_or_mean_anything_to_a_shell_is_refused() {
        let many = "a".repeat(300);
        for text in [
            "",
            "-oProxyCommand=x",
            "ann@-oProxyCommand=x",
            "-ann@host",
            "a;b",
            "$(x)",
            "a b",
            "a\nb",
            "a\0b",
            "`x`",
            "a|b",
            "@host",
            "ann@",
            "host:",
            "host:0",
            "host:99999",
            "host:22x",
            "[::1]x",
            "a%h",
            "ü",
            "a/b",
            "ann$@host",
            "'a'",
            many.as_str(),
        ] {
            assert_eq!(parts(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_login_beside_it_counts_and_is_as_plain() {
        let host: Host = "ann@build1:2222".parse().expect("a host");
        let with = |user, port| host.clone().with_login(user, port).map(|host| host.to_string());
        assert_eq!(with(Some(" "), None).as_deref(), Ok("ann@build1:2222"));
        assert_eq!(with(Some("bob"), Some("22")).as_deref(), Ok("bob@build1:22"));
        for user in ["-oProxyCommand=x", "a b", "a\nb", "$(x)"] {
            assert!(with(Some(user), None).is_err(), "{user}");
        }
        assert!(with(None, Some("0")).is_err() && with(None, Some("-p1")).is_err());
    }

    #[test]
    fn a_label_has_a_port_only_where_two_hosts_have_the_same_name() {
        let labels = |texts: &[&str]| {
            let mut hosts: Vec<Host> = texts.iter().map(|text| text.parse().expect("a host")).collect();
            hosts[0] = hosts[0].clone().called("shop", Gain::Nothing);
            Host::distinguish(&mut hosts);
            hosts.iter().map(|host| host.label().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(labels(&["192.0.2.7:22", "ann@build1:2222"]), ["shop", "build1"]);
        assert_eq!(labels(&["a", "b:2222", "b:2223", "b"]), ["shop", "b:2222", "b:2223", "b"]);
        assert_eq!(labels(&["a", "shop:22"]), ["shop", "shop:22"]);
    }

    proptest! {
        #[test]
        fn no_part_of_any_host_is_an_option_or_has_a_strange_byte(text in ".{0,40}|[-@:a-z0-9.\\[\\]]{0,20}") {
            if let Some((user, name, _)) = parts(&text) {
                for part in user.iter().chain([&name]) {
                    prop_assert!(!part.starts_with('-') && !part.is_empty());
                    prop_assert!(part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@:%".contains(&byte)));
                }
            }
        }
    }
}
