//! Ethernet frames whose bytes follow from their number, so that any fault in a capture shows.

use std::collections::BTreeMap;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::lab::{end_of, start};
use super::packet_bytes::Packet;

/// The argument that makes this test program a sender of frames.
pub(crate) const SEND_FRAMES: &str = "send-frames";
/// A capture filter for the frames of all series, tagged or not.
pub(crate) const ALL_SERIES: &str = "ether[6:4] = 0x02cd0000";

const UNICAST: [u8; 6] = [2, 0xcc, 0, 0, 0, 1];
const MULTICAST: [u8; 6] = [1, 0, 0x5e, 0, 0, 0xfb];
const BROADCAST: [u8; 6] = [0xff; 6];
/// The EtherType for local experiments (IEEE 802).
const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];
/// So many frames are sent between two looks at the clock.
const BURST: u64 = 64;

/// Numbered frames of one sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub(crate) sender: u8,
    /// The shortest and longest frame in bytes.
    pub(crate) lengths: (usize, usize),
    pub(crate) is_tagged: bool,
}

impl Series {
    /// Untagged frames of 60 to 1514 bytes.
    pub(crate) const fn mixed(sender: u8) -> Self {
        Self { sender, lengths: (60, 1514), is_tagged: false }
    }

    /// Frames without tag, and with one or two tags of 802.1Q and 802.1ad.
    pub(crate) const fn tagged(sender: u8) -> Self {
        Self { is_tagged: true, ..Self::mixed(sender) }
    }

    /// Tagged frames that a capture gathers rather than lends one by one.
    pub(crate) const fn small(sender: u8) -> Self {
        Self { sender, lengths: (60, 300), is_tagged: true }
    }

    /// Starts to send `count` frames to an interface in the network namespace that `enter` enters, at most `rate` per
    /// second. The order is kept since the sender stays on one CPU, which its own number selects.
    pub(crate) fn start(
        self,
        enter: impl Fn(&[&str]) -> Command,
        interface: &str,
        count: u64,
        rate: u64,
    ) -> Sender {
        let program = std::env::current_exe().expect("this program");
        let (shortest, longest) = self.lengths;
        let numbers = [u64::from(self.sender), shortest as u64, longest as u64, u64::from(self.is_tagged)];
        let numbers = numbers.into_iter().chain([count, rate]).map(|number| number.to_string());
        let mut command = enter(&[program.to_str().expect("a path"), SEND_FRAMES, interface]);
        Sender(start(command.args(numbers)))
    }

    /// The frame of a number.
    fn frame(self, pool: &[u8], number: u64, frame: &mut Vec<u8>) {
        let (shortest, longest) = self.lengths;
        let chance = scrambled(number ^ (u64::from(self.sender) << 56));
        let length = shortest + usize::try_from(chance % (longest - shortest + 1) as u64).expect("a length");
        frame.clear();
        frame.extend([UNICAST, MULTICAST, BROADCAST][(chance >> 16) as usize % 3]);
        frame.extend([2, 0xcd, 0, 0, 0, self.sender]);
        let [_, _, _, high, low, ..] = chance.to_le_bytes();
        let (customer, service) = ([0x81, 0, high, low], [0x88, 0xa8, low, high]);
        match (chance >> 40) % 6 {
            _ if !self.is_tagged => {}
            0 => frame.extend(customer),
            1 => frame.extend(service),
            2 => frame.extend([service, customer].concat()),
            3 => frame.extend([customer, customer].concat()),
            // A priority tag with priority 0: all bits are zero.
            4 => frame.extend([0x81, 0, 0, 0]),
            _ => {}
        }
        frame.extend(EXPERIMENTAL);
        frame.push(self.sender);
        frame.extend(number.to_be_bytes());
        let from = (chance >> 48) as usize % (pool.len() - longest);
        frame.extend_from_slice(&pool[from..from + length - frame.len()]);
    }

    /// The sender and number in a frame that is long enough.
    pub(crate) fn number_in(bytes: &[u8]) -> Option<(u8, u64)> {
        let tags = bytes
            .get(12..)?
            .chunks(4)
            .take_while(|tag| [[0x81, 0], [0x88, 0xa8]].contains(&[tag[0], tag[1]]));
        let at = 12 + 4 * tags.count();
        let (sender, number) = bytes.get(at + 2..at + 11)?.split_first()?;
        Some((*sender, u64::from_be_bytes(number.try_into().ok()?)))
    }
}

/// A running sender, which is killed on drop.
pub(crate) struct Sender(Child);

impl Sender {
    /// Waits until all is sent. Returns the number of frames that the interface accepted.
    pub(crate) fn wait(mut self) -> u64 {
        let child = std::mem::replace(&mut self.0, Command::new("true").spawn().expect("a process"));
        let ended = end_of(child);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).trim().parse().expect("a number")
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends frames as described by the arguments and prints how many the interface accepted.
pub(crate) fn send(arguments: &[&str]) -> ExitCode {
    let [interface, numbers @ ..] = arguments else { return ExitCode::FAILURE };
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [sender, shortest, longest, is_tagged, count, rate] = numbers[..] else { return ExitCode::FAILURE };
    let size = |number| usize::try_from(number).expect("a length");
    let sender = u8::try_from(sender).expect("a number of a sender");
    let series = Series { sender, lengths: (size(shortest), size(longest)), is_tagged: is_tagged == 1 };
    let mut cpus = CpuSet::new();
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    cpus.set(usize::from(sender) % available);
    sched_setaffinity(None, &cpus).expect("a CPU");
    let device = pcap::Capture::from_device(*interface).expect("an interface").snaplen(64).open();
    let mut device = device.expect("the interface opens");
    device.filter("ether proto 0x88b6", true).expect("a filter");
    let (pool, mut frame, mut accepted, begin) = (pool(), Vec::new(), 0, Instant::now());
    for number in 0..count {
        series.frame(&pool, number, &mut frame);
        accepted += u64::from(device.sendpacket(frame.as_slice()).is_ok());
        if rate > 0 && number % BURST == 0 {
            let due = Duration::from_nanos(number * 1_000_000_000 / rate);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
        }
    }
    println!("{accepted}");
    ExitCode::SUCCESS
}

/// Interface, sender and direction of packets.
pub(crate) type Group = (u32, u8, Option<u32>);

/// Asserts that each packet is a frame of `series`, cut to at most `snap_length` bytes, and that those of each interface
/// and sender have ascending numbers. Returns the number of packets of each group.
pub(crate) fn assert_frames(
    packets: &[Packet<'_>],
    series: &[Series],
    snap_length: usize,
) -> BTreeMap<Group, u64> {
    let (pool, mut expected) = (pool(), Vec::new());
    let (mut groups, mut last) = (BTreeMap::new(), BTreeMap::new());
    for (at, packet) in packets.iter().enumerate() {
        let found = Series::number_in(packet.bytes);
        let (sender, number) = found.unwrap_or_else(|| panic!("packet {at} has no number: {packet:02x?}"));
        let one = series.iter().find(|one| one.sender == sender);
        let one = one.unwrap_or_else(|| panic!("packet {at} has no sender: {packet:02x?}"));
        one.frame(&pool, number, &mut expected);
        let kept = &expected[..expected.len().min(snap_length)];
        let is_right = packet.bytes == kept && packet.length == expected.len();
        assert!(is_right, "packet {at} is not frame {number}: {packet:02x?}, expected {kept:02x?}");
        let before = last.insert((packet.interface, sender), number);
        assert!(before.is_none_or(|before| before < number), "packet {at}: {number} after {before:?}");
        *groups.entry((packet.interface, sender, packet.direction)).or_default() += 1;
    }
    groups
}

/// Random bytes that frames are cut from.
fn pool() -> Vec<u8> {
    (0..10_000).flat_map(|number| scrambled(number).to_le_bytes()).collect()
}

/// A random number for each number (SplitMix64).
pub(crate) fn scrambled(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
