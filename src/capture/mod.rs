//! Captures the packets of an attachment. The only module that names libpcap.
//!
//! Each attachment has two kernel rings, one per direction, so that the kernel tells the direction of a packet. The packets
//! of a ring are ordered by time; `session` merges the rings.

mod budget;
mod change;
mod counts;
mod device;
mod filter;
mod settings;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use pcap::{Active, Capture, Linktype, Precision};
use socket2::{SockAddr, SockRef};

pub use budget::{ALL_RINGS_MIB, PREOPENED_RINGS_MIB, RingBudget, block_timeout_for_size};
pub use change::CompiledFilter;
pub use counts::PacketCounts;
pub use device::is_down;
pub use filter::{combine_filters, filter_syntax_error, with_exclusion};
pub use settings::{CaptureSettings, MAX_SNAP_LEN};

use crate::error::Error;
use crate::link::Attachment;
use crate::parallel;
use counts::RingCounters;
use filter::{FilterInstruction, VethSide};

/// The direction of a packet, from the container's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the container.
    Inbound,
    /// From the container.
    Outbound,
    /// From the container to itself.
    Within,
}

/// One direction of one attachment.
pub struct Ring {
    handle: Capture<Active>,
    direction: Direction,
    /// Packets before this time are skipped, in nanoseconds since the epoch; `None` after the first later one: the clock
    /// may be set back.
    start: Option<u64>,
    counters: RingCounters,
    side: VethSide,
    snap_length: u32,
    /// The program in the kernel.
    program: Vec<FilterInstruction>,
    /// The program before the last change of the filter.
    previous_program: Vec<FilterInstruction>,
    /// Whether packets were read since the last query of the kernel's counts.
    counts_outdated: bool,
    /// The address its socket is bound to; it changes once the interface is gone.
    bound_to: Option<SockAddr>,
}

/// Why a ring has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct RingClosed(pub String);

/// The block timeout for a number of rings: short enough to seem immediate, and longer for many rings, whose timers would
/// take a CPU.
pub fn block_timeout(rings: usize) -> Duration {
    Duration::from_millis(u64::try_from(rings).unwrap_or(u64::MAX).clamp(4, 100))
}

/// The rings of an attachment, without a filter yet.
pub struct OpenedRings(Vec<(Direction, Capture<Active>)>);

/// Opens the rings of `attachment`, of `ring_mib` MiB together, in the network namespace of the
/// calling thread. Needs `CAP_NET_RAW`.
///
/// Fails without that capability, interface or memory.
pub fn open(
    attachment: &Attachment,
    settings: &CaptureSettings,
    ring_mib: u32,
    block: Duration,
) -> Result<OpenedRings, Error> {
    if device::is_ambiguous(attachment.tap.device()) {
        return Err(device::not_an_interface(attachment));
    }
    let directions: &[Direction] = if attachment.tap.is_loopback() {
        &[Direction::Within]
    } else {
        &[Direction::Outbound, Direction::Inbound]
    };
    let bytes = ring_mib.clamp(1, 2046) as usize * 1024 * 1024 / directions.len();
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    // Nothing is changed inside a container. On host interfaces, traffic between containers on a bridge is not wanted.
    let promiscuous = settings.promiscuous && attachment.tap.is_host_veth();
    let ring = |direction: &Direction| -> Result<_, pcap::Error> {
        let handle = Capture::from_device(attachment.tap.device())?
            .promisc(promiscuous)
            .snaplen(settings.snap_length.clamp(1, MAX_SNAP_LEN).cast_signed())
            .buffer_size(bytes)
            .timeout(i32::try_from(block.as_millis()).unwrap_or(100))
            .precision(Precision::Nano)
            .open()?
            .setnonblock()?;
        // libpcap does not set it: programs started from here must not inherit the socket.
        fcntl(&handle, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(std::io::Error::from)?;
        Ok((*direction, handle))
    };
    // In parallel: creating a ring takes 15 to 20 ms (net/packet/af_packet.c, `packet_set_ring`), and a container's first
    // packet comes 50 ms after its veth pair.
    let rings: Result<_, _> = parallel::map(directions, directions.len(), ring).into_iter().collect();
    let rings: Vec<(Direction, _)> = rings.map_err(|error| device::cannot_open(attachment, &error))?;
    if rings.iter().all(|(_, handle)| device::is_interface(handle)) {
        Ok(OpenedRings(rings))
    } else {
        Err(device::not_an_interface(attachment))
    }
}

impl OpenedRings {
    /// The link type, a number of <https://www.tcpdump.org/linktypes.html>.
    pub fn link_type(&self) -> u32 {
        let first = self.0.first().map_or(Linktype::ETHERNET, |(_, handle)| handle.get_datalink());
        first.0.cast_unsigned()
    }

    /// Installs direction and filter of each ring. Needs no capability; names in the filter may need DNS.
    ///
    /// Fails when the filter is rejected.
    pub fn filtered(self, attachment: &Attachment, settings: &CaptureSettings) -> Result<Vec<Ring>, Error> {
        let ring = |(direction, handle): (Direction, Capture<Active>)| {
            let side = if attachment.tap.is_host_veth() { VethSide::Host } else { VethSide::Container };
            let snap_length = settings.snap_length;
            let compiled =
                filter::compile(&handle, settings.combined_filter().as_deref(), side, snap_length)?;
            let program = filter::build_program(&compiled, direction, side)?;
            attach(&handle, &program).map_err(|error| {
                Error::new(
                    format!("cannot install the capture filter of {}: {error}", attachment.name()),
                    change::USE_SHORTER_FILTER,
                )
            })?;
            let (counters, previous_program, counts_outdated) = (RingCounters::default(), Vec::new(), false);
            let bound_to = bound_address(&handle);
            Ok(Ring {
                handle,
                direction,
                start: None,
                counters,
                side,
                snap_length,
                program,
                previous_program,
                counts_outdated,
                bound_to,
            })
        };
        self.0.into_iter().map(ring).collect()
    }
}

impl Ring {
    /// The direction of its packets.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Starts to count: packets before `time`, nanoseconds since the epoch and not in the future, are skipped.
    pub fn count_from(&mut self, time: u64) {
        self.start = Some(time);
        if let Ok(stat) = self.handle.stats() {
            self.counters.start(stat);
        }
    }

    /// The same for a time in the past: packets since then are counters.
    pub fn count_since(&mut self, time: u64) {
        self.start = Some(time);
        self.counters.start_in_past();
    }

    /// Reads at most `max_packets` and passes them to `on_packet`: time in nanoseconds since the epoch, length on the wire,
    /// captured bytes. Returns how many were read, skipped ones included; 0 if none is available.
    ///
    /// Fails when the interface is gone.
    pub fn read(
        &mut self,
        max_packets: usize,
        mut on_packet: impl FnMut(u64, u32, &[u8]),
    ) -> Result<usize, RingClosed> {
        let Self { handle, start, counters, counts_outdated, bound_to, .. } = self;
        let outcome = handle.dispatch(Some(max_packets), |packet| {
            let time = nanoseconds(packet.header.ts.tv_sec, packet.header.ts.tv_usec);
            if start.is_none_or(|start| time >= start) {
                *start = None;
                counters.delivered += 1;
                on_packet(time, packet.header.len, packet.data);
            } else {
                counters.exclude_packet();
            }
        });
        match outcome {
            Ok(count) => {
                *counts_outdated |= count > 0;
                Ok(count)
            }
            Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => Ok(0),
            // libpcap reports an interface that went down as gone if it was renamed.
            Err(_) if bound_to.is_some() && *bound_to == bound_address(handle) => Ok(0),
            Err(error) => Err(RingClosed(error.to_string())),
        }
    }

    /// The counts; the kernel is queried only if packets were read since the last query, which opens two files
    /// (libpcap 1.10, pcap-linux.c, `linux_if_drops`). An empty ring loses nothing.
    pub fn cached_counts(&mut self) -> PacketCounts {
        if self.counts_outdated { self.counts() } else { self.counters.counts() }
    }

    /// The counts; the last known ones once the interface is gone.
    pub fn counts(&mut self) -> PacketCounts {
        self.counts_outdated = false;
        if let Ok(stat) = self.handle.stats() {
            self.counters.advance(stat);
        }
        self.counters.counts()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// The address that the socket of `handle` is bound to (net/packet/af_packet.c, `packet_getname`).
fn bound_address(handle: &Capture<Active>) -> Option<SockAddr> {
    SockRef::from(handle).local_addr().ok()
}

/// Replaces the kernel's program, between two packets (net/core/filter.c, `__sk_attach_prog`).
fn attach(handle: &Capture<Active>, program: &[FilterInstruction]) -> io::Result<()> {
    let program: Vec<_> = program.iter().map(|instruction| instruction.to_sock_filter()).collect();
    SockRef::from(handle).attach_filter(&program)
}

/// The current time in nanoseconds since the epoch, by the clock of packet timestamps.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn nanoseconds(seconds: i64, fraction: i64) -> u64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(fraction).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rings_have_a_longer_block_timeout() {
        assert_eq!(block_timeout(2), Duration::from_millis(4));
        assert_eq!(block_timeout(400), Duration::from_millis(100));
    }
}
