//! Which host to connect to, and how.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::SshOptions;
use crate::safe_text::SafeText;

/// Also limits user names.
const MAX_DNS_NAME_LEN: usize = 253;

/// A destination for `ssh`. No part of it can become an option or is special to a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
    options: SshOptions,
    /// The name under which it was saved.
    alias: Option<SafeText>,
    elevation: Elevation,
    /// Whether another host of this run has the same name.
    label_has_port: bool,
}

impl Host {
    /// Replaces the user and the port, unless they are absent or empty.
    ///
    /// # Errors
    /// The user name or the port is invalid.
    pub fn with_login(mut self, user: Option<&str>, port: Option<&str>) -> Result<Self, String> {
        if let Some(user) = user.map(str::trim).filter(|user| !user.is_empty()) {
            if !is_plain(user, USER_PUNCTUATION) {
                return Err("invalid user name (expected for example ann)".to_owned());
            }
            self.user = Some(user.to_owned());
        }
        if let Some(port) = port.map(str::trim).filter(|port| !port.is_empty()) {
            self.port = Some(parse_port(port)?);
        }
        Ok(self)
    }

    /// Sets options for `ssh`.
    #[must_use]
    pub fn with_options(self, options: SshOptions) -> Self {
        Self { options, ..self }
    }

    /// Sets the name and the elevation of a saved host.
    #[must_use]
    pub fn with_alias(self, alias: &str, elevation: Elevation) -> Self {
        Self { alias: Some(SafeText::new(alias)), elevation, ..self }
    }

    /// Whether it has neither user nor port and may be the name of a saved host.
    pub fn is_bare_name(&self) -> bool {
        self.user.is_none() && self.port.is_none() && self.alias.is_none()
    }

    /// How the program becomes root, unless the command line says otherwise.
    pub fn elevation(&self) -> Elevation {
        self.elevation
    }

    pub(super) fn options(&self) -> &SshOptions {
        &self.options
    }

    /// Arguments of `ssh` for the user and the port.
    pub(super) fn login_arguments(&self) -> Vec<String> {
        let user = self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]);
        let port = self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]);
        user.chain(port).collect()
    }

    /// The user to log in as; `None` leaves it to the SSH configuration.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// An address, a host name or a `Host` of the SSH configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port of the SSH server; `None` leaves it to the SSH configuration.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The name in lists and captures: the saved name, else the host name, with the port if
    /// [`Host::make_labels_distinct`] added it.
    pub fn label(&self) -> SafeText {
        match &self.alias {
            Some(alias) => alias.clone(),
            None if self.label_has_port => SafeText::new(&self.name_and_port()),
            None => SafeText::new(&self.name),
        }
    }

    /// Adds the port to labels that several `hosts` share.
    pub fn make_labels_distinct(hosts: &mut [Self]) {
        let labels: Vec<SafeText> = hosts.iter().map(Self::label).collect();
        for (host, label) in hosts.iter_mut().zip(&labels) {
            host.label_has_port |= labels.iter().filter(|other| *other == label).count() > 1;
        }
    }

    fn name_and_port(&self) -> String {
        match self.port {
            Some(port) if self.name.contains(':') => format!("[{}]:{port}", self.name),
            Some(port) => format!("{}:{port}", self.name),
            None => self.name.clone(),
        }
    }

    /// The address in the form in which it is parsed: `ann@build1:2222`.
    pub fn address(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("{user}{}", self.name_and_port())
    }
}

/// The saved name, else the address.
impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(formatter, "{alias}"),
            None => formatter.write_str(&self.address()),
        }
    }
}

/// `build1`, `ann@build1`, `ann@build1:2222`, `ann@[2001:db8::1]:2222`, each also after `ssh://`.
impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix("ssh://").map_or(text, |rest| rest.trim_end_matches('/'));
        let (user, server) = match text.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, text),
        };
        let (name, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, "")) => (name, None),
            Some((name, rest)) => (name, Some(rest.strip_prefix(':').unwrap_or("?"))),
            // An IPv6 address has a port only if it is in brackets.
            None => match server.split_once(':') {
                Some((name, port)) if !port.contains(':') => (name, Some(port)),
                _ => (server, None),
            },
        };
        let punctuation: &[u8] = if name.contains(':') { b"._-:%" } else { b"._-" };
        // What has one colon, in brackets, is no IPv6 address; without brackets it would have a port.
        let is_ambiguous = name.matches(':').count() == 1;
        let is_valid =
            is_plain(name, punctuation) && user.is_none_or(|user| is_plain(user, USER_PUNCTUATION));
        if is_ambiguous || !is_valid {
            return Err("invalid host (expected for example build1, ann@build1, ann@build1:2222)".to_owned());
        }
        Ok(Self {
            user: user.map(str::to_owned),
            name: name.to_owned(),
            port: port.map(parse_port).transpose()?,
            options: SshOptions::default(),
            alias: None,
            elevation: Elevation::default(),
            label_has_port: false,
        })
    }
}

const USER_PUNCTUATION: &[u8] = b"._-+@";

fn is_plain(text: &str, punctuation: &[u8]) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || punctuation.contains(&byte);
    !text.is_empty()
        && text.len() <= MAX_DNS_NAME_LEN
        && !text.starts_with('-')
        && text.bytes().all(is_allowed)
}

fn parse_port(port: &str) -> Result<u16, String> {
    let number = port.parse().ok().filter(|port| *port != 0);
    number.ok_or_else(|| "invalid port (expected 1 to 65535)".to_owned())
}

/// How the program becomes root on a host. The command must not ask for a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Elevation {
    /// Not at all: it has the rights of the login
    #[default]
    None,
    /// With `sudo -n`
    Sudo,
    /// With `doas -n`
    Doas,
}

impl Elevation {
    /// What precedes the program in a remote command.
    pub(super) const fn command_prefix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Sudo => "sudo -n ",
            Self::Doas => "doas -n ",
        }
    }

    /// Whether the program keeps the rights of the login.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for Elevation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        formatter.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Option<(Option<String>, String, Option<u16>)> {
        text.parse().ok().map(|Host { user, name, port, .. }| (user, name, port))
    }

    #[test]
    fn every_form_of_an_address_is_parsed() {
        let host =
            |user: Option<&str>, name: &str, port| Some((user.map(str::to_owned), name.to_owned(), port));
        assert_eq!(parts("build1"), host(None, "build1", None));
        assert_eq!(parts("ann@build1:2222"), host(Some("ann"), "build1", Some(2222)));
        assert_eq!(parts("ssh://ann@build1/"), host(Some("ann"), "build1", None));
        assert_eq!(parts("ann@corp@192.0.2.1"), host(Some("ann@corp"), "192.0.2.1", None));
        assert_eq!(parts("2001:db8::1"), host(None, "2001:db8::1", None));
        assert_eq!(parts("[fe80::1%eth0]:22"), host(None, "fe80::1%eth0", Some(22)));
        let long = format!("ann@{}.example.org:2222", "a".repeat(100));
        assert_eq!(long.parse::<Host>().expect("a host").address(), long);
        assert_eq!("[2001:db8::1]:22".parse::<Host>().expect("a host").to_string(), "[2001:db8::1]:22");
    }

    #[test]
    fn addresses_that_are_options_or_special_to_a_shell_are_refused() {
        let many = "a".repeat(300);
        let refused = [
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
            "[a:22]",
            "a%h",
            "ü",
            "a/b",
            "ann$@host",
            "'a'",
        ];
        for text in refused.into_iter().chain([many.as_str()]) {
            assert_eq!(parts(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_separate_login_overrides_the_address_and_is_validated() {
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
    fn labels_contain_the_port_only_if_host_names_are_equal() {
        let labels = |texts: &[&str]| {
            let mut hosts: Vec<Host> = texts.iter().map(|text| text.parse().expect("a host")).collect();
            hosts[0] = hosts[0].clone().with_alias("shop", Elevation::None);
            Host::make_labels_distinct(&mut hosts);
            hosts.iter().map(|host| host.label().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(labels(&["192.0.2.7:22", "ann@build1:2222"]), ["shop", "build1"]);
        assert_eq!(labels(&["a", "b:2222", "b:2223", "b"]), ["shop", "b:2222", "b:2223", "b"]);
        assert_eq!(labels(&["a", "shop:22"]), ["shop", "shop:22"]);
    }

    proptest! {
        #[test]
        fn no_part_of_a_host_is_an_option_or_has_a_special_byte(text in ".{0,40}|[-@:a-z0-9.\\[\\]]{0,20}") {
            if let Some((user, name, _)) = parts(&text) {
                for part in user.iter().chain([&name]) {
                    prop_assert!(!part.starts_with('-') && !part.is_empty());
                    prop_assert!(part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@:%".contains(&byte)));
                }
            }
        }
    }
}
