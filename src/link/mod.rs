//! From a container's process to where its packets can be taken: the interfaces of this host they
//! pass through, else its own.
//!
//! ```text
//! pid ── RTM_GETNSID ──> id of its network namespace, as this host's namespace counts
//! links of this host with IFLA_LINK_NETNSID = that id ──> the host ends of its veth pairs
//! ```
//!
//! Neither a capability nor `setns` is needed for that, and nothing is run inside the container.

mod addresses;
mod device;
mod host_interfaces;
mod link_monitor;
mod namespace;
mod namespace_file;
mod namespace_handle;
mod netlink;
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

/// Id by which this network namespace knows another, `IFLA_LINK_NETNSID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceId(pub i32);

/// One network interface of a container, and where its packets are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The container's name; empty where it is not known.
    pub container: SafeText,
    /// Name of the interface inside the container, `eth0`; `if7` where only its index is known, and
    /// empty where the container's engine runs elsewhere.
    pub interface: SafeText,
    /// The network it leads to, in the engine's words; the bridge where the engine tells none,
    /// and empty where there is no bridge either. Of the host's interfaces, `host` for those that the
    /// host itself sends through.
    pub network: SafeText,
    /// Its name inside the container, in the kernel's spelling; `None` where that is not known.
    pub inside: Option<String>,
    /// Where its packets are taken.
    pub tap: Tap,
}

/// Where packets of an attachment are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tap {
    /// At the end on this host.
    HostVeth {
        /// `veth01f0f9d`, in the kernel's spelling.
        name: String,
        /// Its index: the name may be used again for another.
        index: LinkIndex,
    },
    /// At the interface itself, within the container's network namespace.
    Inside {
        /// `eth0`, in the kernel's spelling.
        name: String,
    },
    /// At an interface of the host, whose network the container uses instead of one of its own.
    Host {
        /// `eth0`, in the kernel's spelling.
        name: String,
        /// Its index: the name may be used again for another.
        index: LinkIndex,
    },
    /// Within the container's network namespace, by a tap container that the engine joins to it.
    ThroughEngine {
        /// `eth0`, in the kernel's spelling; `None` where only its network is known.
        name: Option<String>,
        /// Why no better tap serves; empty where it was asked for.
        why: SafeText,
    },
}

impl Tap {
    /// The interface that is opened, as the kernel spells it.
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

    /// Whether it is the end on this host of a cable into the container.
    pub fn is_host_veth(&self) -> bool {
        matches!(self, Self::HostVeth { .. })
    }

    /// Whether it is an interface of the host, shared with everybody else in the host's network.
    pub fn is_host_interface(&self) -> bool {
        matches!(self, Self::Host { .. })
    }

    /// Whether it is a loopback interface, which has each packet once and no direction.
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

/// Every network namespace has one of that name (drivers/net/loopback.c).
const LOOPBACK: &str = "lo";

impl Attachment {
    /// The name of its interface block, `web:eth0`; by its network where the interface is not known,
    /// and without the container where that is not.
    pub fn name(&self) -> SafeText {
        let interface = if self.interface.is_empty() { &self.network } else { &self.interface };
        if self.container.is_empty() {
            return interface.shortened();
        }
        // The interface tells attachments of one container apart and is not what is cut off.
        let interface = SafeText::with_limit(interface.as_str(), safe_text::MAX_LABEL_LEN / 2);
        let limit = safe_text::MAX_LABEL_LEN - 1 - interface.as_str().chars().count();
        SafeText::new(&format!("{}:{interface}", SafeText::with_limit(self.container.as_str(), limit)))
    }
}

/// All links of this host, as they were at one moment.
pub struct Links(Vec<netlink::Link>);

impl Links {
    /// The links there are now.
    ///
    /// Fails when the kernel cannot be asked.
    pub fn now() -> Result<Self, Error> {
        netlink::links().map(Self).map_err(|error| netlink_failed(&error))
    }

    /// Whether `tap` means a link among them that is down.
    pub fn is_down(&self, tap: &Tap) -> bool {
        let (Tap::HostVeth { index, .. } | Tap::Host { index, .. }) = tap else { return false };
        self.0.iter().any(|link| link.index == *index && !link.is_up)
    }

    /// Whether a link of that name and index is among them.
    pub fn contain(&self, name: &str, index: LinkIndex) -> bool {
        self.0.iter().any(|link| link.index == index && link.name == name)
    }
}

fn netlink_failed(error: &io::Error) -> Error {
    Error::new(
        format!("cannot ask the kernel for this host's links: {error}"),
        "see that netlink sockets are allowed here: ip link",
    )
}

/// Finds the interfaces of `container`, whose namespace is held by `holder`: those with a host veth
/// among `links`, in the order of the container's own, then those that have none, and its
/// loopback. Where it is in the network namespace this program runs in, the interfaces of that.
///
/// Fails when it went away meanwhile, or the kernel cannot be asked.
pub fn attachments(
    container: &Container,
    holder: &NamespaceHandle,
    Links(links): &Links,
) -> Result<Vec<Attachment>, Error> {
    // The dump came first: it is what gives a namespace its id.
    let mut namespace = holder.namespace_id();
    let InterfaceTables { names, networks } = holder.tables();
    let shared_with_us = holder.is_own_namespace();
    if !holder.is_alive() {
        return Err(process::gone(&container.name));
    }
    if shared_with_us {
        return host_interfaces::attachments(container, links, &networks)
            .map_err(|error| netlink_failed(&error));
    }
    if container.uses_host_network() {
        // The host is another's than this program's, which runs in a container: what leads there is our
        // own cable, and none of the container's.
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

/// Whether the link that `tap` means is still the same one: name, index and namespace.
///
/// Fails when the kernel cannot be asked.
pub fn is_unchanged(tap: &Tap, holder: &NamespaceHandle) -> io::Result<bool> {
    is_in(&Links(netlink::links()?), tap, holder)
}

/// The same, by links that were looked up before.
///
/// Fails when the kernel cannot be asked.
pub fn is_in(Links(links): &Links, tap: &Tap, holder: &NamespaceHandle) -> io::Result<bool> {
    let (name, index) = match tap {
        Tap::HostVeth { name, index } | Tap::Host { name, index } => (name, index),
        Tap::Inside { .. } | Tap::ThroughEngine { .. } => return Ok(true),
    };
    let namespace = holder.namespace_id()?;
    let leads_there = |link: &netlink::Link| tap.is_host_interface() || link.peer_namespace == namespace;
    Ok(links.iter().any(|link| link.index == *index && link.name == *name && leads_there(link)))
}

/// Whether the cable of that name and index leads into another namespace; `None` where it is no cable.
///
/// Fails when the kernel cannot be asked.
pub fn peer_is_in_other_namespace(name: &str, index: LinkIndex) -> io::Result<Option<bool>> {
    let link = netlink::link_at(index)?.filter(|link| link.is_veth && link.name == name);
    Ok(link.map(|link| link.peer_namespace.is_some()))
}

/// Whether `tap` means a cable of this host that leads to where `holder` is.
///
/// Fails when the kernel cannot be asked.
pub fn is_veth_of(tap: &Tap, holder: &NamespaceHandle) -> io::Result<bool> {
    let Tap::HostVeth { name, index } = tap else { return Ok(false) };
    let links = netlink::links()?;
    let Some(link) = links.iter().find(|link| link.is_veth && link.index == *index && link.name == *name)
    else {
        return Ok(false);
    };
    // A namespace that no link leads to has no id.
    let namespace = holder.namespace_id()?;
    Ok(namespace.is_some() && link.peer_namespace == namespace && holder.is_alive())
}
