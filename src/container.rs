//! A container as an engine describes it, and the names people meet it by.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::endpoint::Endpoint;
use crate::text::Label;

/// Which engine runs a container. The word is part of every interface value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// Docker, or anything that answers as Docker where Docker is looked for.
    Docker,
    /// Podman, by its Docker-compatible API.
    Podman,
}

impl EngineKind {
    /// The lower-case word in interface values: `docker`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// A container's full id: 64 lower-case hexadecimal digits, safe in a URL and in a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes an engine's id. `None` unless it is 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(hexadecimal)).then(|| Self(text.to_owned()))
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as `docker ps` shows them.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

/// How a container is connected, as far as it decides where its packets can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// Networks of its own.
    Own,
    /// The host's network: no attachment of its own.
    Host,
    /// Loopback only.
    None,
    /// The network namespace of another container.
    Shared,
}

/// One network a container is connected to, as its engine tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The network's name in the engine.
    pub name: Label,
    /// The network's id in the engine; empty where the engine did not say.
    pub id: String,
    /// Addresses of the container on it.
    pub addresses: Vec<IpAddr>,
    /// MAC address of the container's end, as the engine writes it; empty where unknown.
    pub mac: Label,
}

/// A running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Who runs it.
    pub engine: EngineKind,
    /// Where its engine is asked.
    pub endpoint: Endpoint,
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the leading slash of Docker's API.
    pub name: Label,
    /// The image it was made from, as the engine names it.
    pub image: Label,
    /// When it was made, seconds since the epoch.
    pub created: i64,
    /// The compose project it belongs to.
    pub project: Option<Label>,
    /// How it is connected.
    pub mode: NetworkMode,
    /// Its networks, sorted by name.
    pub networks: Vec<Network>,
    /// The interface value that stands for it in Wireshark and on the command line.
    pub value: String,
}

impl Container {
    /// What people read in a list: `web · nginx:1.27`, and the engine where that is not Docker.
    pub fn display(&self) -> Label {
        match self.engine {
            EngineKind::Docker => Label::new(&format!("{} · {}", self.name, self.image)),
            EngineKind::Podman => {
                // The engine's name must not be what is cut off.
                let shown = Label::with_limit(&format!("{} · {}", self.name, self.image), 70);
                Label::new(&format!("{shown} (podman)"))
            }
        }
    }

    /// What lists are sorted by: engine, then name.
    pub fn order(&self) -> impl Ord {
        (self.engine, &self.name, &self.id)
    }

    /// Whether both are in one network namespace, as members of a pod are: their engine tells the
    /// same address or MAC of both on one network, which it gives to no two others.
    pub fn shares_network_with(&self, other: &Self) -> bool {
        let is_same = |one: &Network, other: &Network| {
            one.name == other.name
                && one.mac == other.mac
                && one.addresses == other.addresses
                && !(one.mac.is_empty() && one.addresses.is_empty())
        };
        self.id != other.id
            && self.endpoint == other.endpoint
            && self.networks.iter().any(|one| other.networks.iter().any(|other| is_same(one, other)))
    }
}

/// Gives every container its interface value: engine, hyphen, name, with every byte outside
/// `[a-zA-Z0-9_.-]` replaced by `-`. Where two would be one to Wireshark, the one made later
/// gets its short id appended.
pub fn assign_values<'a>(containers: impl IntoIterator<Item = &'a mut Container>) {
    let mut containers: Vec<&mut Container> = containers.into_iter().collect();
    containers.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let mut taken = HashSet::new();
    for container in containers {
        let named = format!("{}-{}", container.engine.word(), plain(container.name.as_str()));
        let with_id = format!("{named}-{}", container.id.short());
        // A number is needed where somebody named a container after the short id of another.
        let numbered = (2..).map(|number| format!("{with_id}-{number}"));
        let free =
            [named, with_id.clone()].into_iter().chain(numbered).find(|value| taken.insert(folded(value)));
        container.value = free.unwrap_or_default();
    }
}

/// Longest name inside a value, in bytes: Wireshark makes a file name of the value and fails
/// from about 220 bytes; two short ids and a host's name must fit beside it.
const LONGEST_NAME: usize = 128;

fn plain(name: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    name.bytes().take(LONGEST_NAME).map(|byte| if allowed(byte) { char::from(byte) } else { '-' }).collect()
}

/// A value as Wireshark's preferences fold it: lower case, everything outside `[a-z0-9_]` is `_`.
pub fn folded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' => char::from(byte.to_ascii_lowercase()),
            b'a'..=b'z' | b'0'..=b'9' => char::from(byte),
            _ => '_',
        })
        .collect()
}

/// Finds what `wanted` names: an interface value, a container's name, its id, or the beginning
/// of an id that only one container has.
pub fn find<'a>(containers: &'a [Container], wanted: &str) -> Found<'a> {
    // In this order: a container may be named like the interface of another, on purpose.
    let ways: [&dyn Fn(&Container) -> bool; 5] = [
        &|container| container.value == wanted,
        // Wireshark matches `-i` without regard to case.
        &|container| container.value.eq_ignore_ascii_case(wanted),
        // Two engines may each have a container of that name.
        &|container| container.name.as_str() == wanted,
        &|container| container.id.as_str() == wanted,
        &|container| wanted.len() >= 4 && container.id.as_str().starts_with(wanted),
    ];
    for is_meant in ways {
        let meant: Vec<&Container> = containers.iter().filter(|container| is_meant(container)).collect();
        match meant.as_slice() {
            [] => {}
            [container] => return Found::One(container),
            several => {
                return Found::Several(several.iter().map(|container| container.value.clone()).collect());
            }
        }
    }
    Found::None
}

/// Outcome of [`find`].
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Exactly one.
    One(&'a Container),
    /// More than one; their interface values.
    Several(Vec<String>),
    /// Nothing of that name.
    None,
}
