//! Containers as engines describe them, their names, and selections of them.

pub mod address_names;
pub mod endpoint;
mod id;
mod image;
pub mod selection;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

pub use id::ContainerId;
pub use image::shortened_image;
pub use value::{ContainerMatch, assign_values, find_container, preference_key};

use self::endpoint::{Endpoint, NamespaceProcessRef};
use crate::safe_text::SafeText;

/// The kind of engine that runs a container. Part of every interface value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// Docker, or a compatible engine at Docker's address.
    Docker,
    /// Podman, through its Docker-compatible API.
    Podman,
    /// None: a network namespace that the kernel shows and no engine lists.
    Kernel,
}

impl EngineKind {
    /// The lower-case name in interface values: `docker`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Kernel => "netns",
        }
    }

    /// The name for display: `Docker`.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
            Self::Kernel => "Linux",
        }
    }
}

/// Characters kept of an image name.
pub(crate) const MAX_IMAGE_LEN: usize = 255;
/// Characters of a long image name in a list, beside a long container name.
const MIN_IMAGE_WIDTH: usize = 24;

/// How a container is connected, as far as it determines where its packets can be captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// Networks of its own.
    Own,
    /// Not in the engine's list, as in Podman's. Usually networks of its own.
    Unknown,
    /// The host's network: no attachment of its own.
    Host,
    /// Loopback only.
    None,
    /// The network namespace of another container: its id, where known.
    Shared(Option<ContainerId>),
}

/// A network that a container is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The network's name in the engine.
    pub name: SafeText,
    /// The network's id in the engine; empty where unknown.
    pub id: String,
    /// The container's addresses in it.
    pub addresses: Vec<IpAddr>,
    /// The container's MAC address in it, as the engine writes it; empty where unknown.
    pub mac: SafeText,
    /// Its IPv4 and IPv6 gateways: for a bridge, the host.
    pub gateways: Vec<IpAddr>,
    /// Aliases of the container in it, where known: Docker reports them only in an inspect response.
    pub aliases: Vec<SafeText>,
}

/// A running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The engine that runs it.
    pub engine: EngineKind,
    /// The address of its engine.
    pub endpoint: Endpoint,
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the leading slash of Docker's API.
    pub name: SafeText,
    /// The name of its image in the engine.
    pub image: SafeText,
    /// Creation time in seconds since the epoch.
    pub created: i64,
    /// Its Compose project.
    pub project: Option<SafeText>,
    /// Its Compose service.
    pub service: Option<SafeText>,
    /// Its labels, up to a size limit: for comparison, never shown.
    pub labels: BTreeMap<String, String>,
    /// How it is connected.
    pub network_mode: NetworkMode,
    /// Its networks, sorted by name; where it uses the network of another container, that container's.
    pub networks: Vec<Network>,
    /// Its first process, where the kernel shows it without doubt. Unlike the engine's, to be relied on for lists only.
    pub process: Option<NamespaceProcessRef>,
    /// Its interface value in Wireshark and on the command line.
    pub value: String,
}

impl Container {
    /// A container with a network of its own, of which nothing else is known.
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
            process: None,
            value: String::new(),
        }
    }

    /// The text in a list: `web · nginx:1.27`, with the engine if it is not Docker, and with a note if it uses the host's
    /// network.
    pub fn display(&self) -> SafeText {
        let engine = match self.engine {
            EngineKind::Docker | EngineKind::Kernel => "",
            EngineKind::Podman => " (Podman)",
        };
        let network = if self.uses_host_network() { " (host network)" } else { "" };
        let width = crate::safe_text::MAX_LABEL_LEN - engine.len() - network.len() - " · ".chars().count();
        let image = self.image.as_str();
        let name =
            SafeText::with_limit(self.name.as_str(), width - image.chars().count().min(MIN_IMAGE_WIDTH));
        let image = shortened_image(image, width - name.as_str().chars().count());
        SafeText::new(&format!("{name} · {image}{engine}{network}"))
    }

    /// Whether it uses the network of its engine's host, directly or through another container, as far as known.
    pub fn uses_host_network(&self) -> bool {
        // Engines reserve that name.
        let is_host = |network: &Network| network.name.as_str() == "host";
        match self.network_mode {
            NetworkMode::Host => true,
            NetworkMode::Shared(_) => self.networks.iter().any(is_host),
            NetworkMode::Own | NetworkMode::Unknown | NetworkMode::None => false,
        }
    }

    /// Its addresses in all of its networks.
    pub fn addresses(&self) -> impl Iterator<Item = &IpAddr> {
        let in_kernel = match &self.endpoint {
            Endpoint::Kernel(info) => info.addresses.as_slice(),
            Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Ssh { .. } => &[],
        };
        self.networks.iter().flat_map(|network| &network.addresses).chain(in_kernel)
    }

    /// Copies the aliases of `networks` to its own networks of the same names.
    pub fn set_aliases(&mut self, networks: &[Network]) {
        for network in &mut self.networks {
            if let Some(other) = networks.iter().find(|other| other.name == network.name) {
                network.aliases.clone_from(&other.aliases);
            }
        }
    }

    /// Other containers in its network namespace, where only the kernel shows it.
    pub fn namespace_members(&self) -> &[SafeText] {
        match &self.endpoint {
            Endpoint::Kernel(info) => &info.members,
            Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Tls { .. } | Endpoint::Ssh { .. } => &[],
        }
    }

    /// The order of lists: engine, then name.
    pub fn sort_key(&self) -> impl Ord {
        (self.engine, &self.name, &self.id)
    }

    /// Whether the engine's list does not show how it is connected.
    pub fn has_unknown_network(&self) -> bool {
        matches!(self.network_mode, NetworkMode::Own | NetworkMode::Unknown) && self.networks.is_empty()
    }

    /// Whether both may share a network namespace, by their engine's list: both use the host's; one joined the other, or
    /// both a third; they have the same address or MAC in one network, as in a pod; or the network of one is unknown, as
    /// in Podman's list for containers without a network.
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
        let (own_target, other_target) = (joined(self), joined(other));
        let may_use_host = |one: &Self| one.uses_host_network() || one.has_unknown_network();
        let is_same_network = || {
            own_target.as_ref() == Some(&other.id)
                || other_target.as_ref() == Some(&self.id)
                || own_target.is_some() && own_target == other_target
                || self.networks.iter().any(|one| other.networks.iter().any(|other| is_same(one, other)))
                || self.has_unknown_network()
                || other.has_unknown_network()
        };
        // Namespaces that only the kernel shows are not shared with listed containers. Engines of one host share only
        // the host's network.
        self.id != other.id
            && ![self.engine, other.engine].contains(&EngineKind::Kernel)
            && (may_use_host(self) && may_use_host(other)
                || self.endpoint == other.endpoint && is_same_network())
    }
}

/// Containers between one and the owner of the network it uses. The engine's answer may contain a cycle.
const MAX_SHARED_CHAIN_LEN: usize = 16;

/// Networks copied to the containers that share them: one for each of 10,000 containers, and more.
const MAX_COPIED_NETWORKS: usize = 20_000;

/// Copies the networks of a container to those that share its network namespace, also through others. `containers` are
/// those of one engine. Those that share the namespace of a stopped container stay unchanged, as do those beyond a limit.
pub fn resolve_shared_networks(containers: &mut [Container]) {
    let indexes: HashMap<ContainerId, usize> =
        containers.iter().enumerate().map(|(index, container)| (container.id.clone(), index)).collect();
    let mut left = MAX_COPIED_NETWORKS;
    for member in 0..containers.len() {
        let mut owner = member;
        for _ in 0..MAX_SHARED_CHAIN_LEN {
            let NetworkMode::Shared(Some(id)) = &containers[owner].network_mode else { break };
            let Some(next) = indexes.get(id) else { break };
            owner = *next;
        }
        if owner != member && !matches!(containers[owner].network_mode, NetworkMode::Shared(_)) {
            let Some(rest) = left.checked_sub(containers[owner].networks.len()) else { continue };
            left = rest;
            let networks = containers[owner].networks.clone();
            containers[member].network_mode = NetworkMode::Shared(Some(containers[owner].id.clone()));
            containers[member].networks = networks;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_copied_up_to_a_limit() {
        let network = |number: usize| Network {
            name: SafeText::new(&format!("net{number}")),
            id: String::new(),
            addresses: Vec::new(),
            mac: SafeText::default(),
            gateways: Vec::new(),
            aliases: Vec::new(),
        };
        let one = |number: usize| {
            let id = ContainerId::parse(&format!("{number:064}")).expect("an id");
            Container::new(EngineKind::Docker, Endpoint::Unix("/x".into()), id, "x".into())
        };
        let owner = Container { networks: (0..200).map(network).collect(), ..one(0) };
        let shared = NetworkMode::Shared(Some(owner.id.clone()));
        let members = (1..1000).map(|number| Container { network_mode: shared.clone(), ..one(number) });
        let mut containers: Vec<Container> = std::iter::once(owner).chain(members).collect();
        resolve_shared_networks(&mut containers);
        let networks: usize = containers[1..].iter().map(|container| container.networks.len()).sum();
        assert_eq!(networks, MAX_COPIED_NETWORKS);
    }
}
