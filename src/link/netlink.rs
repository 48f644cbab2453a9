//! Links, addresses and namespace IDs by rtnetlink; the only module that uses it.
//!
//! None of these requests needs a capability (net/core/rtnetlink.c, net/core/net_namespace.c).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use super::{LinkIndex, NamespaceId};

/// Bytes of the largest datagram of a dump (net/netlink/af_netlink.c, `netlink_dump`).
const MAX_DATAGRAM_LEN: usize = 32 * 1024;

/// A link of this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(super) index: LinkIndex,
    pub(crate) name: String,
    /// `IFLA_ADDRESS`; empty where it has none.
    pub(crate) address: Vec<u8>,
    /// Whether packets begin with an Ethernet header, `ARPHRD_ETHER`.
    pub(super) is_ethernet: bool,
    pub(super) is_up: bool,
    /// Whether it is a veth, `IFLA_INFO_KIND`.
    pub(super) is_veth: bool,
    /// The bridge or bond it belongs to, `IFLA_MASTER`.
    pub(super) controller: Option<LinkIndex>,
    /// Index of the peer, in the peer's namespace, `IFLA_LINK`.
    pub(super) peer: Option<LinkIndex>,
    /// Namespace of the peer, `IFLA_LINK_NETNSID`; `None` where it is this one.
    pub(super) peer_namespace: Option<NamespaceId>,
}

/// Attempts at a dump that is not interrupted by changes (`NLM_F_DUMP_INTR`).
const MAX_DUMP_ATTEMPTS: usize = 5;

/// All links of this network namespace. The dump assigns an ID to the namespace of each peer.
pub(super) fn links() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    for _ in 0..MAX_DUMP_ATTEMPTS {
        links.clear();
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let whole = send_request(request, NLM_F_DUMP, |answer| {
            if let RouteNetlinkMessage::NewLink(message) = answer {
                links.push(link(message));
            }
        })?;
        if whole {
            break;
        }
    }
    Ok(links)
}

/// The link of that index; `None` where there is none.
pub(super) fn link_at(index: LinkIndex) -> io::Result<Option<Link>> {
    let mut message = LinkMessage::default();
    message.header.index = index.0;
    let mut found = None;
    let outcome = send_request(RouteNetlinkMessage::GetLink(message), 0, |answer| {
        if let RouteNetlinkMessage::NewLink(message) = answer {
            found = Some(link(message));
        }
    });
    match outcome {
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Ok(found),
    }
}

/// Addresses of this network namespace, each with its link.
pub(super) fn addresses() -> io::Result<Vec<(LinkIndex, IpAddr)>> {
    let mut addresses = Vec::new();
    for _ in 0..MAX_DUMP_ATTEMPTS {
        addresses.clear();
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let whole = send_request(request, NLM_F_DUMP, |answer| {
            let RouteNetlinkMessage::NewAddress(message) = answer else { return };
            // On a point-to-point link, IFA_ADDRESS is the peer's (linux/if_addr.h).
            let own = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            let any = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            addresses.extend(own.or(any).map(|address| (LinkIndex(message.header.index), address)));
        })?;
        if whole {
            break;
        }
    }
    Ok(addresses)
}

/// ID of the network namespace of process `pid` as seen from this one; `None` for this namespace itself and for one
/// without a link to it.
pub(super) fn namespace_of(pid: i32) -> io::Result<Option<NamespaceId>> {
    namespace_id(NsidAttribute::Pid(pid.cast_unsigned()))
}

/// ID of the network namespace of an open file.
pub(super) fn namespace_behind(file: BorrowedFd<'_>) -> io::Result<Option<NamespaceId>> {
    namespace_id(NsidAttribute::Fd(file.as_raw_fd().cast_unsigned()))
}

fn namespace_id(of: NsidAttribute) -> io::Result<Option<NamespaceId>> {
    let mut message = NsidMessage::default();
    message.attributes.push(of);
    let mut namespace = None;
    send_request(RouteNetlinkMessage::GetNsId(message), 0, |answer| {
        if let RouteNetlinkMessage::NewNsId(message) = answer {
            namespace = message.attributes.iter().find_map(|attribute| match attribute {
                // NETNSA_NSID_NOT_ASSIGNED is -1 (linux/net_namespace.h).
                NsidAttribute::Id(id) if *id >= 0 => Some(NamespaceId(*id)),
                _ => None,
            });
        }
    })?;
    Ok(namespace)
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: LinkIndex(message.header.index),
        name: String::new(),
        address: Vec::new(),
        is_ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        is_up: message.header.flags.contains(LinkFlags::Up),
        is_veth: false,
        controller: None,
        peer: None,
        peer_namespace: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(address) => link.address = address,
            LinkAttribute::Controller(index) => link.controller = Some(LinkIndex(index)),
            LinkAttribute::Link(index) => link.peer = Some(LinkIndex(index)),
            LinkAttribute::LinkInfo(infos) => link.is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth)),
            LinkAttribute::LinkNetNsId(id) => link.peer_namespace = Some(NamespaceId(id)),
            _ => {}
        }
    }
    link
}

/// Sends a request and passes each message of the answer to `take`. Returns false when a dump was interrupted by
/// changes.
fn send_request(
    request: RouteNetlinkMessage,
    flags: u16,
    mut take: impl FnMut(RouteNetlinkMessage),
) -> io::Result<bool> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;

    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(request));
    message.header.flags = NLM_F_REQUEST | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut piece = vec![0; MAX_DATAGRAM_LEN];
    let mut whole = true;
    loop {
        let length = socket.recv(&mut piece.as_mut_slice(), 0)?;
        let mut rest = &piece[..length];
        while let Some((bytes, after)) = split_message(rest) {
            rest = after;
            // A link with an attribute that cannot be parsed is not a container's veth.
            let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { continue };
            whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(whole),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => {
                    take(inner);
                    if flags & NLM_F_DUMP == 0 {
                        return Ok(whole);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A notification about a link.
pub(crate) enum LinkNotification {
    /// It was created or changed.
    Changed(Link),
    /// It was removed.
    Removed(LinkIndex),
}

/// A socket subscribed to link notifications.
#[derive(Debug)]
pub(super) struct LinkNotifications(Socket);

/// Multicast group of link notifications (linux/rtnetlink.h).
const RTMGRP_LINK: u32 = 1;

impl LinkNotifications {
    pub(super) fn listen() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, RTMGRP_LINK))?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// Passes on pending notifications, without waiting. Returns false when some were lost because the socket
    /// overflowed.
    pub(super) fn read(&mut self, mut take: impl FnMut(LinkNotification)) -> io::Result<bool> {
        let mut piece = vec![0; MAX_DATAGRAM_LEN];
        let mut whole = true;
        loop {
            let (length, from) = match self.0.recv_from(&mut piece.as_mut_slice(), 0) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(whole),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    whole = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Privileged processes can send here, too; port 0 is the kernel.
            if from.port_number() == 0 {
                parse_notifications(&piece[..length], &mut take);
            }
        }
    }
}

impl AsFd for LinkNotifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Passes on the notifications of a datagram.
pub(crate) fn parse_notifications(datagram: &[u8], mut take: impl FnMut(LinkNotification)) {
    let mut rest = datagram;
    while let Some((bytes, after)) = split_message(rest) {
        rest = after;
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else { continue };
        match message.payload {
            // A bridge notifies of its ports in AF_BRIDGE, too, with fewer attributes.
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message),
            ) if message.header.interface_family != AddressFamily::Unspec => {}
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                take(LinkNotification::Changed(link(message)));
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(message)) => {
                take(LinkNotification::Removed(LinkIndex(message.header.index)));
            }
            _ => {}
        }
    }
}

/// Splits off the first message by the length in its header, aligned to four bytes
/// (`NLMSG_ALIGN`, linux/netlink.h). `None` when no whole message is left.
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    if length < 16 || length > bytes.len() {
        return None;
    }
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((&bytes[..length], &bytes[next..]))
}
