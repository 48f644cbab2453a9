//! Captures the packets of an attachment. The only module that names libpcap, which opens interfaces and compiles filters.
//!
//! Each attachment has one kernel ring for both directions. Its packets are read in place: `session` writes them to the
//! output from there.

mod budget;
mod change;
mod counts;
mod device;
mod direction;
mod filter;
mod ring;
mod settings;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use pcap::{Active, Capture, Linktype};
use socket2::SockRef;

pub use budget::{ALL_RINGS_KIB, DEFAULT_RING_MIB, PREOPENED_RINGS_KIB, RingBudget, block_timeout_for_size};
pub use change::CompiledFilter;
pub use counts::PacketCounts;
pub use device::is_down;
pub use direction::{Direction, InterfaceDirections};
pub use filter::{MAX_FILTER_LEN, combine_filters, filter_syntax_error, with_exclusion};
pub use ring::{BlockFormat, BlockPacket, BlockReader, LeftOut, ROOM_BEFORE, RingBlock, TRAILER_LEN};
pub use settings::{CaptureSettings, MAX_SNAP_LEN};

use crate::error::Error;
use crate::link::Attachment;
use crate::parallel;
use counts::RingCounters;
use filter::{FilterInstruction, VethSide};
use ring::{LinkHeader, NextBlock, PacketRing};

/// What a ring captures.
#[derive(Clone, Copy, Debug)]
struct PacketFormat {
    link_type: Linktype,
    side: VethSide,
    is_loopback: bool,
    snap_length: u32,
}

/// The ring of one attachment.
pub struct Ring {
    kernel: PacketRing,
    /// libpcap's handle of the interface: compiles filters, and counts drops of the interface. It captures nothing.
    handle: Capture<Active>,
    format: PacketFormat,
    /// Packets before this time are skipped, in nanoseconds since the epoch; `None` after the first later one: the clock
    /// may be set back.
    start: Option<u64>,
    counters: RingCounters,
    /// The program in the kernel.
    program: Vec<FilterInstruction>,
    /// The program before the last change of the filter.
    previous_program: Vec<FilterInstruction>,
    /// Whether packets were read since the last query of the kernel's counts.
    counts_outdated: bool,
}

/// The interface of a ring is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct RingClosed;

/// The block timeout for a number of attachments: short enough to seem immediate. For one, whose blocks wake this process,
/// 12 ms cost a third less CPU than 4 ms, and 15 ms less than that. For several, packets wait for those of others; the timers
/// of many take a CPU. Less than 8 ms would fill a ring of 32 blocks within 200 ms, however few packets come.
pub fn block_timeout(attachments: usize) -> Duration {
    let attachments = u64::try_from(attachments).unwrap_or(u64::MAX);
    Duration::from_millis(if attachments == 1 { 15 } else { attachments.saturating_mul(2).clamp(8, 100) })
}

/// The ring of an attachment, without a filter yet.
pub struct OpenedRing {
    ring: PacketRing,
    handle: Capture<Active>,
}

/// Opens the ring of `attachment`, of `ring_kib` KiB, in the network namespace of the calling thread. Needs
/// `CAP_NET_RAW`.
///
/// Fails without that capability, interface or memory.
pub fn open(
    attachment: &Attachment,
    settings: &CaptureSettings,
    ring_kib: u32,
    block_timeout: Duration,
) -> Result<OpenedRing, Error> {
    if device::is_ambiguous(attachment.tap.device()) {
        return Err(device::not_an_interface(attachment));
    }
    // Nothing is changed inside a container. On host interfaces, traffic between containers on a bridge is not wanted.
    let promiscuous = settings.promiscuous && attachment.tap.is_host_veth();
    let open_handle = || -> Result<_, pcap::Error> {
        let handle = Capture::from_device(attachment.tap.device())?
            .promisc(promiscuous)
            // One page for its own ring, which stays empty.
            .immediate_mode(true)
            .snaplen(MIN_SNAP_LEN)
            .buffer_size(MIN_BUFFER_SIZE)
            .open()?;
        // libpcap does not set it: programs started from here must not inherit the socket.
        fcntl(&handle, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(io::Error::from)?;
        Ok(handle)
    };
    let create = |header| PacketRing::create(header, ring_kib, block_timeout);
    // In parallel: creating a ring takes 15 to 20 ms (net/packet/af_packet.c, `packet_set_ring`), and a container's first
    // packet comes 50 ms after its veth pair.
    let (handle, ring) = parallel::join(open_handle, || create(LinkHeader::Captured));
    let handle = handle.map_err(|error| device::cannot_open(attachment, &filter::error_text(&error)))?;
    let cannot = |error: io::Error| device::cannot_open(attachment, &error.to_string());
    let ring = ring.map_err(|error| device::cannot_create_ring(attachment, &error))?;
    let mut ring = if filter::is_cooked(handle.get_datalink()) {
        create(LinkHeader::Cooked).map_err(cannot)?
    } else {
        ring
    };
    let interface = ring::interface(&handle).filter(|_| device::is_interface(&handle));
    let interface = interface.ok_or_else(|| device::not_an_interface(attachment))?;
    ring.capture(interface).map_err(cannot)?;
    // Filters are compiled for an open interface; a packet should not pass two sockets.
    ring::bind(&handle, interface, ring::NO_PROTOCOL).map_err(cannot)?;
    Ok(OpenedRing { ring, handle })
}

/// Smallest snap length and buffer of libpcap, in bytes.
const MIN_SNAP_LEN: i32 = 64;
const MIN_BUFFER_SIZE: i32 = 4096;

impl OpenedRing {
    /// The link type, a number of <https://www.tcpdump.org/linktypes.html>.
    pub fn link_type(&self) -> u32 {
        self.handle.get_datalink().0.cast_unsigned()
    }

    /// Installs the filter. Needs no capability; names in it may need DNS.
    ///
    /// Fails when the filter is rejected.
    pub fn filtered(self, attachment: &Attachment, settings: &CaptureSettings) -> Result<Ring, Error> {
        let Self { ring, handle } = self;
        let side = if attachment.tap.is_host_veth() { VethSide::Host } else { VethSide::Container };
        let snap_length = settings.snap_length;
        let is_loopback = attachment.tap.is_loopback();
        let format = PacketFormat { link_type: handle.get_datalink(), side, is_loopback, snap_length };
        let compiled = filter::compile(&handle, settings.combined_filter().as_deref(), side, snap_length)?;
        let program = filter::build_program(&compiled, is_loopback)?;
        attach(&ring, &program).map_err(|error| {
            Error::new(
                format!("cannot install the capture filter of {}: {error}", attachment.name()),
                change::USE_SHORTER_FILTER,
            )
        })?;
        let (counters, previous_program, counts_outdated) = (RingCounters::default(), Vec::new(), false);
        Ok(Ring {
            kernel: ring,
            handle,
            format,
            start: None,
            counters,
            program,
            previous_program,
            counts_outdated,
        })
    }
}

impl PacketFormat {
    fn of_blocks(self) -> BlockFormat {
        let left_out = match self.link_type {
            Linktype::ETHERNET => LeftOut::VlanTag,
            other if filter::is_cooked(other) => LeftOut::CookedHeader,
            _ => LeftOut::Nothing,
        };
        let directions = InterfaceDirections::new(self.side, self.is_loopback);
        BlockFormat { left_out, snap_length: self.snap_length, directions }
    }
}

impl Ring {
    /// Starts to count: packets before `time`, nanoseconds since the epoch and not in the future, are skipped.
    pub fn count_from(&mut self, time: u64) {
        self.start = Some(time);
        self.counters.start(&self.kernel, &mut self.handle);
    }

    /// The same for a time in the past: packets since then are counted.
    pub fn count_since(&mut self, time: u64) {
        self.start = Some(time);
        self.counters.start_in_past();
    }

    /// Takes the next block of packets; `None` if the kernel has handed over none.
    ///
    /// Fails when the interface is gone.
    pub fn next_block(&mut self) -> Result<Option<RingBlock>, RingClosed> {
        let mut block = match self.kernel.take(self.format.of_blocks()) {
            NextBlock::Block(block) => block,
            NextBlock::Nothing => return Ok(None),
            NextBlock::Gone => return Err(RingClosed),
        };
        self.counts_outdated = true;
        while let (Some(start), Some(head)) = (self.start, block.head()) {
            if head.time >= start {
                self.start = None;
            } else {
                self.counters.exclude_packet();
                block.skip();
            }
        }
        self.counters.delivered += block.remaining();
        Ok(Some(block))
    }

    /// Blocks of the ring.
    pub fn blocks(&self) -> usize {
        self.kernel.blocks()
    }

    /// Whether the interface went down: its descriptor then does not signal that it is gone.
    pub fn is_down(&self) -> bool {
        self.kernel.is_down()
    }

    /// The counts; the kernel is queried only if packets were read since the last query, which opens two files
    /// (libpcap 1.10, pcap-linux.c, `linux_if_drops`). An empty ring loses nothing.
    pub fn cached_counts(&mut self) -> PacketCounts {
        if self.counts_outdated { self.counts() } else { self.counters.counts() }
    }

    /// The counts; the last known ones once the interface is gone.
    pub fn counts(&mut self) -> PacketCounts {
        self.counts_outdated = false;
        self.counters.advance(&self.kernel, &mut self.handle);
        self.counters.counts()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kernel.as_fd()
    }
}

/// Replaces the kernel's program, between two packets (net/core/filter.c, `__sk_attach_prog`).
fn attach(ring: &PacketRing, program: &[FilterInstruction]) -> io::Result<()> {
    let program: Vec<_> = program.iter().map(|instruction| instruction.to_sock_filter()).collect();
    SockRef::from(&ring.as_fd()).attach_filter(&program)
}

/// The current time in nanoseconds since the epoch, by the clock of packet timestamps.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_rings_have_a_shorter_block_timeout_and_many_a_longer_one() {
        for (attachments, milliseconds) in [(1, 15), (2, 8), (20, 40), (200, 100)] {
            assert_eq!(block_timeout(attachments), Duration::from_millis(milliseconds), "{attachments}");
        }
    }
}
