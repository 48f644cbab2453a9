//! Packets of one attachment, both ways. The only place that names libpcap.
//!
//! Each attachment is read through two rings of the kernel, one for each direction, so that the
//! direction of a packet is the kernel's word and not a guess from its addresses. A ring keeps
//! its packets in order of time; `session` merges the rings.

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
use crate::parallel::map;
use counts::Counted;
use filter::{Instruction, Side};

/// Which way a packet went, from the container's point of view.
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
    /// Packets older than this do not belong to the capture, nanoseconds since the epoch; `None`
    /// once a younger one was seen: the clock may be set back.
    begin: Option<u64>,
    counted: Counted,
    side: Side,
    snap_length: u32,
    /// What the kernel runs.
    program: Vec<Instruction>,
    /// What it ran before the filter was changed.
    former: Vec<Instruction>,
    /// Whether packets were read since the kernel was last asked for its counts.
    read_since: bool,
    /// What the kernel says its socket is bound to: something else once that interface is gone.
    bound_to: Option<SockAddr>,
}

/// Why a ring gives nothing more.
#[derive(Debug, PartialEq, Eq)]
pub struct RingClosed(pub String);

/// How long the kernel may keep a packet in a block before it hands the block over, given how
/// many rings there are. Short enough to look immediate and to keep merging cheap; with many
/// rings their timers must not eat a core.
pub fn block_timeout(rings: usize) -> Duration {
    Duration::from_millis(u64::try_from(rings).unwrap_or(u64::MAX).clamp(4, 100))
}

/// The rings of an attachment, opened but not yet filtered.
pub struct OpenedRings(Vec<(Direction, Capture<Active>)>);

/// Opens the rings of `attachment`, of `ring_mib` MiB together, in the network namespace of the
/// calling thread. Needs `CAP_NET_RAW`.
///
/// Fails when that is missing, the interface is gone or the memory is not there.
pub fn open(
    attachment: &Attachment,
    settings: &CaptureSettings,
    ring_mib: u32,
    block: Duration,
) -> Result<OpenedRings, Error> {
    if device::is_ambiguous(attachment.tap.device()) {
        return Err(device::no_interface(attachment));
    }
    let directions: &[Direction] = if attachment.tap.is_loopback() {
        &[Direction::Within]
    } else {
        &[Direction::Outbound, Direction::Inbound]
    };
    let bytes = ring_mib.clamp(1, 2046) as usize * 1024 * 1024 / directions.len();
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    // Inside a container nothing is changed. Of the host's own interfaces only what the host sends and
    // gets is wanted: not what containers on a bridge tell each other.
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
        // libpcap leaves its socket open to programs started from here.
        fcntl(&handle, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(std::io::Error::from)?;
        Ok((*direction, handle))
    };
    // The kernel waits for all processors when a socket is given a ring, for 15 to 20 ms (net/packet/af_packet.c,
    // `packet_set_ring`), and the first packet of a container that is being started comes 50 ms after its cable.
    let rings: Result<_, _> = map(directions, directions.len(), ring).into_iter().collect();
    let rings: Vec<(Direction, _)> = rings.map_err(|error| device::cannot_open(attachment, &error))?;
    if rings.iter().all(|(_, handle)| device::is_interface(handle)) {
        Ok(OpenedRings(rings))
    } else {
        Err(device::no_interface(attachment))
    }
}

impl OpenedRings {
    /// What packets begin with, a number of <https://www.tcpdump.org/linktypes.html>.
    pub fn link_type(&self) -> u32 {
        let first = self.0.first().map_or(Linktype::ETHERNET, |(_, handle)| handle.get_datalink());
        first.0.cast_unsigned()
    }

    /// Gives each ring its direction and the filter of `settings`; needs no right, and may ask
    /// for the address of a name in the filter.
    ///
    /// Fails when the filter is refused.
    pub fn filtered(self, attachment: &Attachment, settings: &CaptureSettings) -> Result<Vec<Ring>, Error> {
        let ring = |(direction, handle): (Direction, Capture<Active>)| {
            let side = if attachment.tap.is_host_veth() { Side::Host } else { Side::Container };
            let snap_length = settings.snap_length;
            let compiled =
                filter::compiled(&handle, settings.combined_filter().as_deref(), side, snap_length)?;
            let program = filter::program(&compiled, direction, side)?;
            attach(&handle, &program).map_err(|error| {
                Error::new(
                    format!(
                        "cannot give the capture filter to the kernel for {}: {error}",
                        attachment.name()
                    ),
                    change::SHORTER,
                )
            })?;
            let (counted, former, read_since) = (Counted::default(), Vec::new(), false);
            let bound_to = bound(&handle);
            Ok(Ring {
                handle,
                direction,
                begin: None,
                counted,
                side,
                snap_length,
                program,
                former,
                read_since,
                bound_to,
            })
        };
        self.0.into_iter().map(ring).collect()
    }
}

impl Ring {
    /// Which way its packets went.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Begins to count: what came before `time`, nanoseconds since the epoch and not in the
    /// future, does not belong to the capture.
    pub fn count_from(&mut self, time: u64) {
        self.begin = Some(time);
        if let Ok(stat) = self.handle.stats() {
            self.counted.begin(stat);
        }
    }

    /// The same, of a time that has passed: what came since is in the capture.
    pub fn count_since(&mut self, time: u64) {
        self.begin = Some(time);
        self.counted.begin_in_the_past();
    }

    /// Hands at most `most` packets to `take`: time in nanoseconds since the epoch, length on the
    /// wire, captured bytes. Returns how many were looked at; 0 when there is none for now.
    ///
    /// Fails when the interface is gone.
    pub fn read(&mut self, most: usize, mut take: impl FnMut(u64, u32, &[u8])) -> Result<usize, RingClosed> {
        let Self { handle, begin, counted, read_since, bound_to, .. } = self;
        let outcome = handle.dispatch(Some(most), |packet| {
            let time = nanoseconds(packet.header.ts.tv_sec, packet.header.ts.tv_usec);
            if begin.is_none_or(|begin| time >= begin) {
                *begin = None;
                counted.delivered += 1;
                take(time, packet.header.len, packet.data);
            } else {
                counted.leave_out();
            }
        });
        match outcome {
            Ok(count) => {
                *read_since |= count > 0;
                Ok(count)
            }
            Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => Ok(0),
            // libpcap takes an interface that went down for gone where it has another name by now.
            Err(_) if bound_to.is_some() && *bound_to == bound(handle) => Ok(0),
            Err(error) => Err(RingClosed(error.to_string())),
        }
    }

    /// What became of its packets so far, asked anew only where packets were read since it was last asked: none
    /// can be lost in a ring that was empty meanwhile, and each question opens two files (libpcap 1.10,
    /// pcap-linux.c, `linux_if_drops`).
    pub fn cached_counts(&mut self) -> PacketCounts {
        if self.read_since { self.counts() } else { self.counted.counts() }
    }

    /// What became of its packets so far. Keeps the last known figures once the interface is gone.
    pub fn counts(&mut self) -> PacketCounts {
        self.read_since = false;
        if let Ok(stat) = self.handle.stats() {
            self.counted.advance(stat);
        }
        self.counted.counts()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// The interface that the socket behind `handle` is bound to (net/packet/af_packet.c, `packet_getname`).
fn bound(handle: &Capture<Active>) -> Option<SockAddr> {
    SockRef::from(handle).local_addr().ok()
}

/// Gives the kernel a program in place of the one it has, between two packets (net/core/filter.c,
/// `__sk_attach_prog`).
fn attach(handle: &Capture<Active>, program: &[Instruction]) -> io::Result<()> {
    let program: Vec<_> = program.iter().map(|instruction| instruction.of_kernel()).collect();
    SockRef::from(handle).attach_filter(&program)
}

/// Nanoseconds since the epoch, now, by the clock that stamps packets.
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
    fn many_rings_wake_the_kernel_less_often() {
        assert_eq!(block_timeout(2), Duration::from_millis(4));
        assert_eq!(block_timeout(400), Duration::from_millis(100));
    }
}
