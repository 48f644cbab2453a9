//! A container as an engine describes it, and the names people meet it by.

mod id;
mod image;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

pub use id::ContainerId;
pub use image::shortened_image;
pub use value::{ContainerMatch, assign_values, find_container, preference_key};
pub(crate) use value::{GROUPED_ENGINES, all_containers_value, sanitized_name};

use crate::endpoint::Endpoint;
use crate::safe_text::SafeText;

/// Which engine runs a container. The word is part of every interface value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// Docker, or anything that answers as Docker where Docker is looked for.
    Docker,
    /// Podman, by its Docker-compatible API.
    Podman,
    /// None: the kernel shows a network namespace that no engine tells of.
    Kernel,
}

impl EngineKind {
    /// The lower-case word in interface values: `docker`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kernel => "netns",
        }
    }

    /// The name that people know: `Docker`.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
            Self::Kernel => "Linux",
        }
    }
}

/// Longest name of an image that is kept, in characters.
pub(crate) const MAX_IMAGE_LEN: usize = 255;
/// Characters that a long image has in a list beside a long name.
const MIN_IMAGE_WIDTH: usize = 24;

/// How a container is connected, as far as it decides where its packets can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// Networks of its own.
    Own,
    /// The host's network: no attachment of its own.
    Host,
    /// Loopback only.
    None,
    /// The network namespace of another container: that one's id, where the engine tells it.
    Shared(Option<ContainerId>),
}

/// One network a container is connected to, as its engine tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The network's name in the engine.
    pub name: SafeText,
    /// The network's id in the engine; empty where the engine did not say.
    pub id: String,
    /// Addresses of the container on it.
    pub addresses: Vec<IpAddr>,
    /// MAC address of the container's end, as the engine writes it; empty where unknown.
    pub mac: SafeText,
    /// Where its packets leave the network, by IPv4 and by IPv6: on a bridge that is the host.
    pub gateways: Vec<IpAddr>,
    /// Further names of the container on it, where the engine tells them: Docker does of one container
    /// at a time only.
    pub aliases: Vec<SafeText>,
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
    pub name: SafeText,
    /// The image it was made from, as the engine names it.
    pub image: SafeText,
    /// When it was made, seconds since the epoch.
    pub created: i64,
    /// The compose project it belongs to.
    pub project: Option<SafeText>,
    /// The compose service that it is one of.
    pub service: Option<SafeText>,
    /// Its labels, as far as they are kept: to be compared with, never to be shown.
    pub labels: BTreeMap<String, String>,
    /// How it is connected.
    pub network_mode: NetworkMode,
    /// Its networks, sorted by name; where it uses the network of another container, that one's.
    pub networks: Vec<Network>,
    /// The interface value that stands for it in Wireshark and on the command line.
    pub value: String,
}

impl Container {
    /// One of which nothing else is known yet, with a network of its own.
    pub fn new(engine: EngineKind, endpoint: Endpoint, id: ContainerId, name: SafeText) -> Self {
        Self {
            engine,
            endpoint,
            id,
            name,
            image: SafeText::default(),
            created: 0,
            project: None,
            service: None,
            labels: BTreeMap::new(),
            network_mode: NetworkMode::Own,
            networks: Vec::new(),
            value: String::new(),
        }
    }

    /// What people read in a list: `web · nginx:1.27`, the engine where that is not Docker, and that
    /// it uses the host's network.
    pub fn display(&self) -> SafeText {
        let engine = match self.engine {
            EngineKind::Docker | EngineKind::Kernel => "",
            EngineKind::Podman => " (Podman)",
        };
        let network = if self.uses_host_network() { " (host network)" } else { "" };
        let room = crate::safe_text::MAX_LABEL_LEN - engine.len() - network.len() - " · ".chars().count();
        let image = self.image.as_str();
        let name =
            SafeText::with_limit(self.name.as_str(), room - image.chars().count().min(MIN_IMAGE_WIDTH));
        let image = shortened_image(image, room - name.as_str().chars().count());
        SafeText::new(&format!("{name} · {image}{engine}{network}"))
    }

    /// Whether it is in the network of its engine's host, itself or as guest of one that is, as far
    /// as its engine has told.
    pub fn uses_host_network(&self) -> bool {
        // Every engine keeps that name to itself.
        let is_host = |network: &Network| network.name.as_str() == "host";
        match self.network_mode {
            NetworkMode::Host => true,
            NetworkMode::Shared(_) => self.networks.iter().any(is_host),
            NetworkMode::Own | NetworkMode::None => false,
        }
    }

    /// Its addresses, on all of its networks.
    pub fn addresses(&self) -> impl Iterator<Item = &IpAddr> {
        let seen = match &self.endpoint {
            Endpoint::Kernel(seen) => seen.addresses.as_slice(),
            Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Ssh { .. } => &[],
        };
        self.networks.iter().flat_map(|network| &network.addresses).chain(seen)
    }

    /// Takes over the further names that `told` has for it on its networks.
    pub fn set_aliases(&mut self, told: &[Network]) {
        for network in &mut self.networks {
            if let Some(told) = told.iter().find(|told| told.name == network.name) {
                network.aliases.clone_from(&told.aliases);
            }
        }
    }

    /// Further containers in its network namespace, where the kernel alone tells of it.
    pub fn namespace_members(&self) -> &[SafeText] {
        match &self.endpoint {
            Endpoint::Kernel(seen) => &seen.members,
            Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Ssh { .. } => &[],
        }
    }

    /// What lists are sorted by: engine, then name.
    pub fn sort_key(&self) -> impl Ord {
        (self.engine, &self.name, &self.id)
    }

    /// Whether the engine's list tells nothing of how it is connected.
    pub fn has_unknown_network(&self) -> bool {
        self.network_mode == NetworkMode::Own && self.networks.is_empty()
    }

    /// Whether both may be in one network namespace, as far as their engine's list tells: each uses
    /// the host's; one joined the other, or both a third; the list has the same address or MAC for
    /// both on one network, as for members of a pod; or it tells nothing of one of them, as Podman's
    /// does without a network.
    pub fn may_share_network_with(&self, other: &Self) -> bool {
        let is_same = |one: &Network, other: &Network| {
            one.name == other.name
                && one.mac == other.mac
                && one.addresses == other.addresses
                && !(one.mac.is_empty() && one.addresses.is_empty())
        };
        let joined = |one: &Self| match &one.network_mode {
            NetworkMode::Shared(joined) => joined.clone(),
            _ => None,
        };
        let (here, there) = (joined(self), joined(other));
        let of_host = |one: &Self| one.uses_host_network() || one.has_unknown_network();
        let is_same_network = || {
            here.as_ref() == Some(&other.id)
                || there.as_ref() == Some(&self.id)
                || here.is_some() && here == there
                || self.networks.iter().any(|one| other.networks.iter().any(|other| is_same(one, other)))
                || self.has_unknown_network()
                || other.has_unknown_network()
        };
        // What the kernel shows is in no engine's. Several engines may run on one host, and have no
        // network in common else.
        self.id != other.id
            && ![self.engine, other.engine].contains(&EngineKind::Kernel)
            && (of_host(self) && of_host(other) || self.endpoint == other.endpoint && is_same_network())
    }
}

/// How many containers may lie between a guest and the one whose network it uses: an engine may tell
/// of a circle.
const MAX_SHARED_CHAIN_LEN: usize = 16;

/// Gives each guest of another container's network what is told of that one only, its networks, and
/// notes whose guest it is where others lie between; `containers` are one engine's. A guest of what
/// does not run any more stays as it is.
pub fn resolve_shared_networks(containers: &mut [Container]) {
    let numbers: HashMap<ContainerId, usize> =
        containers.iter().enumerate().map(|(number, container)| (container.id.clone(), number)).collect();
    for guest in 0..containers.len() {
        let mut host = guest;
        for _ in 0..MAX_SHARED_CHAIN_LEN {
            let NetworkMode::Shared(Some(id)) = &containers[host].network_mode else { break };
            let Some(next) = numbers.get(id) else { break };
            host = *next;
        }
        if host != guest && !matches!(containers[host].network_mode, NetworkMode::Shared(_)) {
            let networks = containers[host].networks.clone();
            containers[guest].network_mode = NetworkMode::Shared(Some(containers[host].id.clone()));
            containers[guest].networks = networks;
        }
    }
}
