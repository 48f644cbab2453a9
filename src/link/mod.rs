//! From a container's process to the links where its packets can be captured: its host veths, else its own interfaces.
//!
//! ```text
//! PID ── RTM_GETNSID ──> ID of its network namespace, as seen from this host's namespace
//! links of this host with IFLA_LINK_NETNSID = that ID ──> the host ends of its veth pairs
//! ```
//!
//! This needs neither a capability nor `setns`, and runs nothing inside the container.

mod addresses;
mod device;
mod host_interfaces;
mod link_monitor;
mod namespace;
mod namespace_file;
mod namespace_handle;
pub(crate) mod netlink;
mod network;
mod process;
mod tables;

use std::fmt;
use std::io;

pub use addresses::{addresses_of_process, own_addresses};
pub use device::{Device, HardwareAddress, devices};
pub use link_monitor::{LinkChange, LinkMonitor, NewVeth};
pub use namespace::{Namespace, RootlessNamespaces, id_of_file, id_of_process};
pub use namespace_file::{NETNS_DIR, NamedNamespaces, NamespaceFile};
pub use namespace_handle::NamespaceHandle;
pub use process::{Process, network_identity};

use crate::container::Container;
use crate::error::Error;
use crate::safe_text::{self, SafeText};
use network::{network_of_interface, network_on_bridge};
use tables::InterfaceTables;

/// Index of a link in its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkIndex(pub u32);

/// ID of another network namespace as seen from this one (`IFLA_LINK_NETNSID`, linux/if_link.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceId(pub i32);

/// A network interface of a container, and its tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The container's name; empty where it is not known.
    pub container: SafeText,
    /// Name of the interface inside the container, `eth0`; `if7` where only its index is known; empty where the
    /// engine runs on another host.
    pub interface: SafeText,
    /// The engine's name of its network; else its bridge; else empty. `host` for interfaces of the host that the
    /// host itself uses.
    pub network: SafeText,
    /// Its name inside the container, unescaped; `None` where unknown.
    pub inside: Option<String>,
    /// Where its packets are captured.
    pub tap: Tap,
}

/// Where packets of an attachment are captured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tap {
    /// At the host veth.
    HostVeth {
        /// `veth01f0f9d`, unescaped.
        name: String,
        /// Its index: names are reused.
        index: LinkIndex,
    },
    /// At the interface itself, in the container's network namespace.
    Inside {
        /// `eth0`, unescaped.
        name: String,
    },
    /// At an interface of the host, whose network the container uses.
    Host {
        /// `eth0`, unescaped.
        name: String,
        /// Its index: names are reused.
        index: LinkIndex,
    },
    /// In the container's network namespace, by a tap container that the engine joins to it.
    ThroughEngine {
        /// `eth0`, unescaped; `None` where only its network is known.
        name: Option<String>,
        /// Why the better taps are unavailable; empty where this one was chosen by the user.
        why: SafeText,
    },
}

impl Tap {
    /// Name of the interface to open, unescaped.
    pub fn device(&self) -> &str {
        match self {
            Self::HostVeth { name, .. } | Self::Inside { name } | Self::Host { name, .. } => name,
            Self::ThroughEngine { name, .. } => name.as_deref().unwrap_or_default(),
        }
    }

    /// Whether the container's network namespace has to be entered.
    pub fn is_inside(&self) -> bool {
        matches!(self, Self::Inside { .. })
    }

    /// Whether it is a host veth.
    pub fn is_host_veth(&self) -> bool {
        matches!(self, Self::HostVeth { .. })
    }

    /// Whether it is an interface of the host network.
    pub fn is_host_interface(&self) -> bool {
        matches!(self, Self::Host { .. })
    }

    /// Whether it is a loopback interface, where each packet is captured once and has no direction.
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::Inside { name } | Self::Host { name, .. } if name == LOOPBACK)
    }
}

/// `host veth veth01f0f9d`, `eth0 inside the container`, `host network, interface eth0 of the host`,
/// `eth0 through the engine`.
impl fmt::Display for Tap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostVeth { name, .. } => write!(formatter, "host veth {}", SafeText::new(name)),
            Self::Inside { name } => write!(formatter, "{} inside the container", SafeText::new(name)),
            Self::Host { name, .. } => {
                write!(formatter, "host network, interface {} of the host", SafeText::new(name))
            }
            Self::ThroughEngine { name, why } => {
                if let Some(name) = name {
                    write!(formatter, "{} ", SafeText::new(name))?;
                }
                write!(formatter, "through the engine")?;
                if why.is_empty() { Ok(()) } else { write!(formatter, " ({why})") }
            }
        }
    }
}

/// The name in every network namespace (drivers/net/loopback.c).
const LOOPBACK: &str = "lo";

impl Attachment {
    /// The name of its interface block, `web:eth0`; with the network where the interface is unknown, and without the
    /// container where that is.
    pub fn name(&self) -> SafeText {
        let interface = if self.interface.is_empty() { &self.network } else { &self.interface };
        if self.container.is_empty() {
            return interface.shortened();
        }
        // The container's name is cut off, not the interface, which distinguishes its attachments.
        let interface = SafeText::with_limit(interface.as_str(), safe_text::MAX_LABEL_LEN / 2);
        let limit = safe_text::MAX_LABEL_LEN - 1 - interface.as_str().chars().count();
        SafeText::new(&format!("{}:{interface}", SafeText::with_limit(self.container.as_str(), limit)))
    }
}

/// A snapshot of the links of this network namespace.
pub struct Links(Vec<netlink::Link>);

impl Links {
    /// The current links.
    ///
    /// Fails when netlink sockets are not permitted.
    pub fn now() -> Result<Self, Error> {
        netlink::links().map(Self).map_err(|error| netlink_failed(&error))
    }

    /// Whether the link of `tap` is down.
    pub fn is_down(&self, tap: &Tap) -> bool {
        let (Tap::HostVeth { index, .. } | Tap::Host { index, .. }) = tap else { return false };
        self.0.iter().any(|link| link.index == *index && !link.is_up)
    }

    /// Whether there is a link of that name and index.
    pub fn contain(&self, name: &str, index: LinkIndex) -> bool {
        self.0.iter().any(|link| link.index == index && link.name == name)
    }
}

fn netlink_failed(error: &io::Error) -> Error {
    Error::new(
        format!("cannot query the kernel for this host's links: {error}"),
        "check that netlink sockets are permitted here: ip link",
    )
}

/// The attachments of `container`, whose network namespace is `holder`: first interfaces with a host veth among `links`,
/// then the others, then its loopback. If it uses this process's network namespace, the interfaces of that.
///
/// Fails when the container has stopped meanwhile, or the kernel cannot be queried.
pub fn attachments(
    container: &Container,
    holder: &NamespaceHandle,
    Links(links): &Links,
) -> Result<Vec<Attachment>, Error> {
    // Links were dumped before: the dump assigns IDs to namespaces.
    let mut namespace = holder.namespace_id();
    let InterfaceTables { names, networks } = holder.tables();
    let shared_with_us = holder.is_own_namespace();
    if !holder.is_alive() {
        return Err(process::container_ended(&container.name));
    }
    if shared_with_us {
        return host_interfaces::attachments(container, links, &networks)
            .map_err(|error| netlink_failed(&error));
    }
    if container.uses_host_network() {
        // This process runs in a container itself: the only veth to that host is its own.
        namespace = Ok(None);
    }
    let namespace = namespace.map_err(|error| netlink_failed(&error))?;
    let mut ends: Vec<&netlink::Link> =
        links.iter().filter(|link| namespace.is_some() && link.peer_namespace == namespace).collect();
    ends.sort_by_key(|link| (link.peer, link.index));

    let by_name = |inside: &str| network_of_interface(&container.networks, inside, &networks);
    let on_host = ends.iter().map(|end| {
        let inside = end.peer.and_then(|peer| names.get(&peer));
        let bridge = end.controller.and_then(|index| links.iter().find(|link| link.index == index));
        let network = network_on_bridge(&container.networks, bridge.map(|bridge| bridge.name.as_str()))
            .or_else(|| by_name(inside?));
        Attachment {
            container: container.name.clone(),
            interface: match inside {
                Some(name) => SafeText::new(name),
                None => SafeText::new(&format!("if{}", end.peer.unwrap_or(end.index).0)),
            },
            network: match (network, bridge) {
                (Some(network), _) => network.name.clone(),
                (None, Some(bridge)) => SafeText::new(&bridge.name),
                (None, None) => SafeText::default(),
            },
            inside: inside.cloned(),
            tap: Tap::HostVeth { name: end.name.clone(), index: end.index },
        }
    });
    let has_end = |index: &LinkIndex| ends.iter().any(|end| end.peer == Some(*index));
    let others = names.iter().filter(|(index, name)| !has_end(index) && *name != LOOPBACK);
    let inside = others.map(|(_, name)| name.as_str()).chain([LOOPBACK]).map(|name| Attachment {
        container: container.name.clone(),
        interface: SafeText::new(name),
        network: by_name(name).map(|network| network.name.clone()).unwrap_or_default(),
        inside: Some(name.to_owned()),
        tap: Tap::Inside { name: name.to_owned() },
    });
    Ok(on_host.chain(inside).collect())
}

/// Whether the link of `tap` still has the same name, index and peer namespace.
///
/// Fails when the kernel cannot be queried.
pub fn is_unchanged(tap: &Tap, holder: &NamespaceHandle) -> io::Result<bool> {
    is_in(&Links(netlink::links()?), tap, holder)
}

/// [`is_unchanged`], by a snapshot of links.
///
/// Fails when the kernel cannot be queried.
pub fn is_in(Links(links): &Links, tap: &Tap, holder: &NamespaceHandle) -> io::Result<bool> {
    let (name, index) = match tap {
        Tap::HostVeth { name, index } | Tap::Host { name, index } => (name, index),
        Tap::Inside { .. } | Tap::ThroughEngine { .. } => return Ok(true),
    };
    let namespace = holder.namespace_id()?;
    let leads_there = |link: &netlink::Link| tap.is_host_interface() || link.peer_namespace == namespace;
    Ok(links.iter().any(|link| link.index == *index && link.name == *name && leads_there(link)))
}

/// Whether the peer of the veth of that name and index is in another namespace; `None` where there is no such veth.
///
/// Fails when the kernel cannot be queried.
pub fn peer_is_in_other_namespace(name: &str, index: LinkIndex) -> io::Result<Option<bool>> {
    let link = netlink::link_at(index)?.filter(|link| link.is_veth && link.name == name);
    Ok(link.map(|link| link.peer_namespace.is_some()))
}

/// Whether `tap` is a host veth of the network namespace `holder`.
///
/// Fails when the kernel cannot be queried.
pub fn is_veth_of(tap: &Tap, holder: &NamespaceHandle) -> io::Result<bool> {
    let Tap::HostVeth { name, index } = tap else { return Ok(false) };
    let links = netlink::links()?;
    let Some(link) = links.iter().find(|link| link.is_veth && link.index == *index && link.name == *name)
    else {
        return Ok(false);
    };
    // A namespace without a link to this one has no ID.
    let namespace = holder.namespace_id()?;
    Ok(namespace.is_some() && link.peer_namespace == namespace && holder.is_alive())
}
