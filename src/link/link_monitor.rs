//! Cables into other network namespaces, told as they appear and go.
//!
//! A container's veth is there before the container's first process runs, and before its engine says
//! whose it is. Whoever opens it at once has the first packet; [`Newcomer::namespace`] tells later,
//! by `Holder::namespace_id`, to which container it belongs.
//!
//! Measured with Docker 20.10 and a container that does nothing but `ping`, by `ip -ts monitor link`, tcpdump
//! and `docker events`: its other end was in the container's namespace and itself up, 51 ms before the
//! first packet and 52 ms before Docker's start event, so that packet came first.
//! Docker makes the cable within its own namespace, joins it to the bridge and takes the other end away 240 to 300 ms
//! later; so a veth that is on a bridge is told of while it still leads nowhere.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::netlink::{self, Link, LinkNotification, LinkNotifications};
use super::{LinkIndex, NamespaceId, Tap, netlink_failed};
use crate::error::Error;

/// An end on this host of a cable into another network namespace, or of one that may become that; up since a
/// moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVeth {
    /// `veth01f0f9d`, in the kernel's spelling.
    pub name: String,
    /// Its index: the name may be used again for another.
    pub index: LinkIndex,
    /// Index of the other end, in its namespace.
    pub peer: Option<LinkIndex>,
    /// Namespace of the other end; `None` where it is still in this one.
    pub namespace: Option<NamespaceId>,
    /// The bridge it belongs to, so far.
    pub controller: Option<LinkIndex>,
    /// When that was seen.
    pub since: Instant,
}

impl NewVeth {
    /// Where its packets can be taken.
    pub fn tap(&self) -> Tap {
        Tap::HostVeth { name: self.name.clone(), index: self.index }
    }
}

/// What happened to a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// It is up, and leads into another namespace or belongs to a bridge.
    Appeared(NewVeth),
    /// It leads into another namespace now; it was told of before.
    Moved(NewVeth),
    /// It does not lead there any more, or under another name.
    Removed(LinkIndex),
}

/// Tells of cables that appear and go, by the kernel's notifications (`RTNLGRP_LINK`). Needs no
/// capability. Ready for reading (`AsFd`) when there may be something.
#[derive(Debug)]
pub struct LinkMonitor {
    notices: LinkNotifications,
    /// Name and namespace of those that were told of, or there at the beginning.
    told: KnownVeths,
}

impl LinkMonitor {
    /// Begins to listen. Cables that are up already are not told of.
    ///
    /// Fails when the kernel cannot be asked.
    pub fn listen() -> Result<Self, Error> {
        let listen = || {
            let notices = LinkNotifications::listen()?;
            let mut newcomers = Self { notices, told: HashMap::new() };
            newcomers.rescan(&mut Vec::new())?;
            Ok(newcomers)
        };
        listen().map_err(|error: io::Error| netlink_failed(&error))
    }

    /// The changes since the last call, without waiting. Where the kernel had more to tell than fits
    /// into a socket, the difference to all links there are.
    ///
    /// Fails when the kernel cannot be asked.
    pub fn changes(&mut self) -> Result<Vec<LinkChange>, Error> {
        let mut changes = Vec::new();
        let told = &mut self.told;
        let is_whole = self.notices.read(|notice| match notice {
            LinkNotification::Is(link) => link_changed(told, &link, &mut changes),
            LinkNotification::Gone(index) => link_removed(told, index, &mut changes),
        });
        let outcome = match is_whole {
            Ok(true) => Ok(()),
            Ok(false) => self.rescan(&mut changes),
            Err(error) => Err(error),
        };
        outcome.map(|()| changes).map_err(|error| netlink_failed(&error))
    }

    /// Looks at all links.
    fn rescan(&mut self, changes: &mut Vec<LinkChange>) -> io::Result<()> {
        let links = netlink::links()?;
        let there: HashSet<LinkIndex> = links.iter().map(|link| link.index).collect();
        let missing: Vec<LinkIndex> =
            self.told.keys().filter(|index| !there.contains(index)).copied().collect();
        for index in missing {
            link_removed(&mut self.told, index, changes);
        }
        for link in &links {
            link_changed(&mut self.told, link, changes);
        }
        Ok(())
    }
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}

/// Names, and namespaces of the other ends.
type KnownVeths = HashMap<LinkIndex, (String, Option<NamespaceId>)>;

fn link_changed(told: &mut KnownVeths, link: &Link, changes: &mut Vec<LinkChange>) {
    let namespace = link.peer_namespace;
    let before = told.get(&link.index).filter(|(name, _)| *name == link.name).map(|(_, before)| *before);
    // One that goes down is still there, and its rings with it.
    if before == Some(namespace) {
        return;
    }
    let newcomer = || NewVeth {
        name: link.name.clone(),
        index: link.index,
        peer: link.peer,
        namespace,
        controller: link.controller,
        since: Instant::now(),
    };
    if before == Some(None) {
        told.insert(link.index, (link.name.clone(), namespace));
        changes.push(LinkChange::Moved(newcomer()));
        return;
    }
    link_removed(told, link.index, changes);
    let is_cable = namespace.is_some() || link.controller.is_some();
    if is_cable && link.is_veth && link.is_up && link.is_ethernet {
        told.insert(link.index, (link.name.clone(), namespace));
        changes.push(LinkChange::Appeared(newcomer()));
    }
}

fn link_removed(told: &mut KnownVeths, index: LinkIndex, changes: &mut Vec<LinkChange>) {
    if told.remove(&index).is_some() {
        changes.push(LinkChange::Removed(index));
    }
}
