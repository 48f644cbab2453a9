//! The packets of a stream or a file, with all their bytes.

use std::collections::BTreeMap;

use pcap_parser::{Block, parse_block_le, parse_pcap_frame, parse_pcap_header};

use super::lab::output;

/// Two CPUs may write packets to a ring in another order than their time stamps, within this time.
const MAX_DISORDER_NS: u64 = 1_000_000;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packet<'a> {
    pub(crate) bytes: &'a [u8],
    /// Its length on the link, in bytes.
    pub(crate) length: usize,
    pub(crate) interface: u32,
    /// The direction in its flags: 1 inbound, 2 outbound.
    pub(crate) direction: Option<u32>,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
}

/// The packets of a complete pcapng stream.
pub(crate) fn packets_in(stream: &[u8]) -> Vec<Packet<'_>> {
    let (packets, rest) = packets_of_prefix(stream);
    assert!(rest.is_empty(), "{} bytes follow the last complete block", rest.len());
    packets
}

/// The packets of a pcapng stream up to its last complete block, and the bytes after it. Panics at an invalid block.
pub(crate) fn packets_of_prefix(stream: &[u8]) -> (Vec<Packet<'_>>, &[u8]) {
    let mut packets = Vec::new();
    let rest = each_block_of_prefix(stream, |at, block| {
        let Block::EnhancedPacket(packet) = block else { return };
        let flags = packet.options.iter().find(|option| option.code.0 == 2);
        let flags = flags.map(|flags| u32::from_le_bytes(flags.value[..4].try_into().expect("flags")));
        let (bytes, padding) = packet.data.split_at(packet.caplen as usize);
        assert!(padding.iter().all(|byte| *byte == 0), "block at {at}: padding is {padding:02x?}");
        packets.push(Packet {
            bytes,
            length: packet.origlen as usize,
            interface: packet.if_id,
            direction: flags.map(|flags| flags & 3),
            time: u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low),
        });
    });
    (packets, rest)
}

/// The number of interface blocks in the begin of a stream.
pub(crate) fn interfaces_in_prefix(stream: &[u8]) -> usize {
    let mut count = 0;
    each_block_of_prefix(stream, |_, block| {
        count += usize::from(matches!(block, Block::InterfaceDescription(_)));
    });
    count
}

/// Calls `take` with the position of each complete block and the block. Returns the bytes after the last one.
fn each_block_of_prefix<'a>(stream: &'a [u8], mut take: impl FnMut(usize, Block<'a>)) -> &'a [u8] {
    let mut rest = stream;
    while let Some(length) = rest.get(4..8) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let at = stream.len() - rest.len();
        assert!(
            (12..1 << 20).contains(&length),
            "no block at byte {at} of {}: length {length}",
            stream.len()
        );
        let Some(block) = rest.get(..length) else { break };
        let (_, parsed) = parse_block_le(block).unwrap_or_else(|error| panic!("block at {at}: {error:?}"));
        take(at, parsed);
        rest = &rest[length..];
    }
    rest
}

/// The packets in a pcap file of tcpdump.
pub(crate) fn packets_in_pcap(file: &[u8]) -> Vec<Packet<'_>> {
    let (mut rest, _) = parse_pcap_header(file).expect("a pcap file");
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (next, packet) = parse_pcap_frame(rest).expect("a packet");
        let bytes = &packet.data[..packet.caplen as usize];
        let time = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_usec) * 1000;
        packets.push(Packet { bytes, length: packet.origlen as usize, interface: 0, direction: None, time });
        rest = next;
    }
    packets
}

/// Asserts that both have the same packets, as often, whatever their order.
pub(crate) fn assert_same_packets(ours: &[Packet<'_>], witness: &[Packet<'_>]) {
    let mut counts: BTreeMap<(&[u8], usize), i64> = BTreeMap::new();
    for packet in ours {
        *counts.entry((packet.bytes, packet.length)).or_default() += 1;
    }
    for packet in witness {
        *counts.entry((packet.bytes, packet.length)).or_default() -= 1;
    }
    counts.retain(|_, count| *count != 0);
    let first = counts.first_key_value();
    assert!(first.is_none(), "{} of {} packets differ: {first:02x?}", counts.len(), witness.len());
}

/// Asserts that packets are in the order of their time stamps.
pub(crate) fn assert_in_order_of_time(packets: &[Packet<'_>]) {
    let mut latest = 0;
    for (at, packet) in packets.iter().enumerate() {
        assert!(packet.time + MAX_DISORDER_NS >= latest, "packet {at} is {} ns late", latest - packet.time);
        latest = latest.max(packet.time);
    }
}

/// Packets whose block reaches up to the next one, by an option for local use (draft-ietf-opsawg-pcapng, section 3.5).
pub(crate) fn joined_packets(stream: &[u8]) -> usize {
    let mut joined = 0;
    each_block_of_prefix(stream, |_, block| {
        let Block::EnhancedPacket(packet) = block else { return };
        joined += packet.options.iter().filter(|option| option.code.0 == 0x8000).count();
    });
    joined
}

/// Length and MD5 of each packet in a file, as tshark reads them.
pub(crate) fn digests(path: &std::path::Path) -> Vec<String> {
    digests_by(std::process::Command::new("tshark"), path)
}

/// The same by this command for tshark.
pub(crate) fn digests_by(mut tshark: std::process::Command, path: &std::path::Path) -> Vec<String> {
    tshark.args(["-n", "-o", "frame.generate_md5_hash:TRUE", "-T", "fields", "-e", "frame.len"]);
    let shown = output(tshark.args(["-e", "frame.md5_hash", "-r"]).arg(path));
    shown.lines().map(str::to_owned).collect()
}
