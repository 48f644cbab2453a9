//! Packet sockets (packet(7), linux/if_packet.h).

#![expect(unsafe_code, reason = "socket options and an address that no library has")]

use std::ffi::c_int;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use nix::libc::{self, sockaddr_ll, socklen_t, tpacket_req3};
use socket2::{Domain, Socket, Type};

/// An Ethernet protocol that nobody sends (reserved, RFC 1701).
pub(in crate::capture) const NO_PROTOCOL: u16 = 0xffff;
/// `TPACKET_V3`.
const VERSION_3: c_int = 2;

/// Opens a socket with a ring. It captures nothing before it is bound. Needs `CAP_NET_RAW`.
///
/// Fails without that capability or memory, and where the kernel has no such rings.
pub(super) fn open(
    kind: Type,
    block_len: usize,
    blocks: usize,
    block_timeout: Duration,
) -> io::Result<Socket> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let block_len = u32::try_from(block_len).map_err(too_large)?;
    let blocks = u32::try_from(blocks).map_err(too_large)?;
    // Without a protocol, nothing comes before it is bound.
    let socket = Socket::new(Domain::PACKET, kind, None)?;
    set_option(&socket, libc::PACKET_VERSION, &VERSION_3)?;
    // A frame of this version is as long as a block.
    let request = tpacket_req3 {
        tp_block_size: block_len,
        tp_block_nr: blocks,
        tp_frame_size: block_len,
        tp_frame_nr: blocks,
        tp_retire_blk_tov: u32::try_from(block_timeout.as_millis()).unwrap_or(u32::MAX).max(1),
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    set_option(&socket, libc::PACKET_RX_RING, &request)?;
    Ok(socket)
}

/// Captures packets of `protocol`, `ETH_P_ALL` for all, of the interface with this index.
///
/// Fails when it is gone.
pub(in crate::capture) fn bind(socket: &impl AsFd, interface: c_int, protocol: u16) -> io::Result<()> {
    let address = link_address(interface, protocol);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: an address of this family and length, only read.
    check(unsafe { libc::bind(fd, (&raw const address).cast(), length_of::<sockaddr_ll>()) })
}

/// Index of the interface that a socket is bound to; `None` once that is gone.
pub(in crate::capture) fn interface(socket: &impl AsFd) -> Option<c_int> {
    let mut address = link_address(0, 0);
    let mut length = length_of::<sockaddr_ll>();
    // SAFETY: the kernel writes at most `length` bytes to `address`, a plain structure.
    let outcome = check(unsafe {
        libc::getsockname(socket.as_fd().as_raw_fd(), (&raw mut address).cast(), &raw mut length)
    });
    outcome.ok().map(|()| address.sll_ifindex).filter(|index| *index > 0)
}

/// Packets that passed the filter, and those of them that were dropped, since the last call.
pub(super) fn take_counts(socket: &impl AsFd) -> io::Result<(u32, u32)> {
    // `struct tpacket_stats_v3`: packets, drops, times that the queue was full.
    let mut counts = [0_u32; 3];
    let mut length = length_of::<[u32; 3]>();
    // SAFETY: the kernel writes at most `length` bytes to `counts`.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            counts.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    Ok((counts[0], counts[1]))
}

fn link_address(interface: c_int, protocol: u16) -> sockaddr_ll {
    sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: protocol.to_be(),
        sll_ifindex: interface,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn set_option<T>(socket: &impl AsFd, option: c_int, value: &T) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads `value`, a plain structure without padding, of this length.
    check(unsafe {
        libc::setsockopt(fd, libc::SOL_PACKET, option, (&raw const *value).cast(), length_of::<T>())
    })
}

fn length_of<T>() -> socklen_t {
    socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

fn check(outcome: c_int) -> io::Result<()> {
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
