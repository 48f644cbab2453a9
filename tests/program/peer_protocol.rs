//! The peer protocol: valid streams round-trip, no other data is trusted.

use std::io::{IoSlice, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use containerdump::capture::{Direction, PacketCounts};
use containerdump::link::HardwareAddress;
use containerdump::pcapng::{InterfaceDescription, InterfaceStatistics};
use containerdump::peer::compression::{CompressionMode, StreamCompressor};
use containerdump::peer::{self, PeerStreamEnd};
use containerdump::safe_text::SafeText;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::peer_stream::{
    Packet, beginning, block, interface, open, packet, packets_by_pcap_parser, read, send, statistics,
};

/// The error of a stream with a valid beginning.
fn objection_to(rest: Vec<u8>) -> String {
    let read = read([beginning(&[interface("eth0")]), rest]).expect("it begins well");
    match read.ended {
        PeerStreamEnd::Failed(trouble) => checked(&trouble.to_string()),
        PeerStreamEnd::Finished => panic!("nothing was objected to"),
    }
}

/// The error of a stream that was not opened.
fn refusal_of(bytes: Vec<u8>) -> String {
    match read([bytes]) {
        Err(trouble) => checked(&trouble.to_string()),
        Ok(_) => panic!("it was opened"),
    }
}

/// The reason in an error, which must name the stream and a remedy.
fn checked(trouble: &str) -> String {
    let what = trouble.strip_prefix("cannot read packets of container web: ").expect("the stream's name");
    what.split_once("\nRemedy: ").expect("a remedy").0.to_owned()
}

/// A block with `bytes` written at `at`.
fn changed(mut block: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    block[at..at + bytes.len()].copy_from_slice(bytes);
    block
}

#[test]
fn a_stream_with_an_invalid_header_is_refused() {
    let good = beginning(&[interface("eth0")]);
    let nameless = beginning(&[interface("")]);
    let many: Vec<InterfaceDescription> = (0..300).map(|number| interface(&format!("eth{number}"))).collect();
    let snap = |snap_length| beginning(&[InterfaceDescription { snap_length, ..interface("eth0") }]);
    let usb = beginning(&[InterfaceDescription { link_type: 189, ..interface("eth0") }]);
    let section = u32::from_le_bytes(good[4..8].try_into().expect("four bytes")) as usize;
    for (bytes, why) in [
        (b"Error: no such thing\n".to_vec(), "unknown block type"),
        (vec![0; 100], "unknown block type 0"),
        (good[section..].to_vec(), "not a pcapng stream"),
        (changed(good.clone(), 8, &0x1a2b_3c4d_u32.to_be_bytes()), "not a little-endian"),
        (changed(good.clone(), 12, &[2]), "version 2"),
        (changed(good.clone(), 4, &[0xfc, 0xff, 0xff, 0xff]), "4294967292 bytes"),
        (changed(good.clone(), 4, &[13]), "13 bytes"),
        (changed(good.clone(), 4, &[0; 4]), "0 bytes"),
        (changed(good.clone(), section - 4, &[12]), "two different lengths"),
        (good[..section].to_vec(), "ended before"),
        (good[..section + 20].to_vec(), "ended before"),
        (beginning(&[]), "ended before"),
        ([beginning(&[]), block(&packet())].concat(), "no interface"),
        ([good[..section].to_vec(), good.clone()].concat(), "second section"),
        (nameless, "has no name"),
        (beginning(&many), "too much data"),
        (snap(0), "snap length 0"),
        (snap(262_145), "snap length 262145"),
        (usb, "link type 189"),
    ] {
        let refusal = refusal_of(bytes);
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
}

#[test]
fn an_invalid_block_ends_the_stream() {
    let good = block(&packet());
    let options = 28 + 60;
    for (bytes, why) in [
        (changed(good.clone(), 8, &[1]), "unknown interface 1"),
        (changed(good.clone(), 8, &[0xff; 4]), "unknown interface 4294967295"),
        (changed(good.clone(), 20, &[61]), "61 of 60 bytes"),
        (changed(good.clone(), 20, &[0xff; 8]), "4294967295 of 4294967295"),
        (changed(good.clone(), 24, &[0xff; 4]), "60 of 4294967295"),
        (changed(good.clone(), 20, &[200, 0, 0, 0, 200]), "longer than its block"),
        (changed(good.clone(), options + 2, &[0xff]), "other options than its direction"),
        (changed(good.clone(), options + 4, &[3]), "other options than its direction"),
        (changed(good.clone(), options + 5, &[1]), "other options than its direction"),
        (changed(good.clone(), options, &[1]), "other options than its direction"),
        (changed(good.clone(), good.len() - 4, &[1]), "two different lengths"),
        (changed(good.clone(), 0, &[0x0a]), "unknown block type 10"),
        (beginning(&[interface("eth0")]), "second section"),
        (good[..50].to_vec(), "ended unexpectedly"),
        (good.clone(), "ended unexpectedly"),
    ] {
        let objection = objection_to(bytes);
        assert!(objection.contains(why), "{why}: {objection}");
    }
    let begins = beginning(&[interface("eth0")]);
    let one_more = beginning(&[interface("eth0"), interface("eth1")]);
    // The second interface block replaces the first statistics block.
    let at = begins.len() - statistics(&[interface("eth0")], 0, InterfaceStatistics::default()).len();
    let objection = objection_to(one_more[at..].to_vec());
    assert!(objection.contains("unexpected interface after"), "{objection}");
}

#[test]
fn a_stream_without_interfaces_is_given_up() {
    let (ours, _theirs) = UnixStream::pair().expect("two sockets");
    let trouble = peer::open_tap_stream(ours, &SafeText::new("container web"), Duration::from_millis(50));
    assert!(trouble.expect_err("nothing").to_string().contains("within"));
    // An empty name resolution block: kind 4, its length, the end of its records, its length.
    let names = [4, 16, 0, 16_u32].map(u32::to_le_bytes).concat();
    let section = beginning(&[]);
    let endless = std::iter::once(section).chain(std::iter::repeat(names.repeat(4000)));
    let trouble = read(endless).err().expect("it never ends");
    assert!(trouble.to_string().contains("too much data"), "{trouble}");
}

#[test]
fn a_silent_stream_times_out() {
    let (ours, mut theirs) = UnixStream::pair().expect("two sockets");
    theirs.write_all(&beginning(&[interface("eth0")])).expect("room for it");
    let (_, mut remote) = open(ours).expect("a stream");
    let ended = loop {
        if let Err(ended) = remote.read(|_, _| 0) {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(matches!(&ended, PeerStreamEnd::Failed(why) if why.to_string().contains("no data")), "{ended:?}");
}

#[test]
fn a_stream_with_a_slow_chunk_does_not_time_out() {
    let (ours, mut theirs) = UnixStream::pair().expect("two sockets");
    let (interfaces, mut compressor) =
        ([interface("eth0")], StreamCompressor::new(CompressionMode::On).expect("memory"));
    let mut chunk = |bytes: &[u8]| -> Vec<u8> {
        let slices = [IoSlice::new(bytes)];
        compressor.next_chunk(&slices).slices(&slices).iter().flat_map(|slice| slice.to_vec()).collect()
    };
    theirs.write_all(&chunk(&beginning(&interfaces))).expect("room for it");
    let rest = chunk(&block(&packet()));
    let sender = std::thread::spawn(move || {
        for piece in rest.chunks(rest.len().div_ceil(4)) {
            std::thread::sleep(Duration::from_secs(4));
            theirs.write_all(piece).expect("somebody who reads");
        }
        theirs
    });
    let opened =
        peer::open_capture_stream(ours, &SafeText::new("container web"), false, Duration::from_mins(1));
    let mut remote = opened.expect("a stream");
    let mut packets = 0;
    while packets == 0 {
        remote
            .read(|_, _| {
                packets += 1;
                0
            })
            .expect("it goes on");
        remote.take_new_interfaces();
        std::thread::sleep(Duration::from_millis(20));
    }
    sender.join().expect("it was sent");
}

#[test]
fn a_long_stream_is_read_in_bounded_memory() {
    let resident = || {
        let all = std::fs::read_to_string("/proc/self/statm").expect("/proc");
        all.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
    };
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    let long = Packet { length: 9000, data: vec![7; 9000], ..packet() };
    let many = block(&long).repeat(100);
    let end = statistics(&[interface("eth0")], 0, InterfaceStatistics::default());
    let stream = std::iter::once(beginning(&[interface("eth0")])).chain(std::iter::repeat_n(many, 300));
    let sender = send(theirs, stream.chain([end]));
    let (_, mut remote) = open(ours).expect("a stream");
    let (before, mut bytes) = (resident(), 0);
    while let Ok(looked) = remote.read(|packet, _| {
        assert_eq!(packet.data.len(), 9000);
        0
    }) {
        bytes += looked.bytes;
    }
    sender.join().expect("it was sent");
    assert!(bytes > 250_000_000, "{bytes}");
    assert!(resident() < before + 64 * 1024 * 1024, "{} after {before}", resident());
}

#[test]
fn drop_counts_are_added_and_cannot_overflow() {
    let lost = InterfaceStatistics {
        written: 10,
        kernel_drops: 3,
        interface_drops: 2,
        abandoned: 5,
        deduplicated: 0,
        pending: 0,
    };
    let tell = |told| statistics(&[interface("eth0")], 0, told);
    let told = read([beginning(&[interface("eth0")]), block(&packet()), tell(lost)]).expect("a stream");
    let counts =
        PacketCounts { received: 18, delivered: 1, kernel_drops: 3, abandoned: 5, interface_drops: 2 };
    assert_eq!((told.counts[0], told.ended), (counts, PeerStreamEnd::Finished));
    let told = read([beginning(&[interface("eth0")]), tell(InterfaceStatistics { pending: 7, ..lost })]);
    assert_eq!(told.expect("a stream").counts[0].unread(), 10 + 7, "what was not read here");
    let most = u64::MAX / 4;
    let lie = InterfaceStatistics { kernel_drops: most, interface_drops: most, abandoned: most, ..lost };
    let counts = read([beginning(&[interface("eth0")]), tell(lie)]).expect("a stream").counts[0];
    assert!(counts.received < 1 << 50 && counts.kernel_drops + counts.abandoned <= counts.received);
}

fn interfaces() -> impl Strategy<Value = Vec<InterfaceDescription>> {
    let one = ("[ -~é]{1,90}", "[ -~]{0,300}", any::<Option<[u8; 6]>>(), 1..262_145_u32, 0..3_usize);
    let one = one.prop_map(|(name, description, address, snap_length, kind)| InterfaceDescription {
        name: SafeText::new(&format!("x{name}")),
        description: SafeText::with_limit(&description, 250),
        hardware_address: address.map(HardwareAddress),
        filter: (snap_length % 2 == 0).then(|| format!("port {snap_length}").into()),
        snap_length,
        link_type: [1, 12, 101][kind],
    });
    vec(one, 1..5)
}

fn packets() -> impl Strategy<Value = Vec<Packet>> {
    let directions = [Direction::Within, Direction::Inbound, Direction::Outbound];
    let one = (any::<u32>(), 0..3_usize, any::<u64>(), 0..70_000_u32, vec(any::<u8>(), 0..2000));
    let one = one.prop_map(move |(interface, direction, time, more, data)| Packet {
        interface,
        direction: directions[direction],
        time,
        length: u32::try_from(data.len()).expect("few") + more,
        data,
    });
    vec(one, 0..40)
}

/// Packets of the interfaces.
fn fitted(packets: Vec<Packet>, interfaces: &[InterfaceDescription]) -> Vec<Packet> {
    let fit = |mut packet: Packet| {
        packet.interface %= u32::try_from(interfaces.len()).expect("few");
        packet.data.truncate(interfaces[packet.interface as usize].snap_length as usize);
        packet
    };
    packets.into_iter().map(fit).collect()
}

fn written(interfaces: &[InterfaceDescription], packets: &[Packet]) -> Vec<u8> {
    let blocks: Vec<u8> = packets.iter().flat_map(block).collect();
    [beginning(interfaces), blocks, statistics(interfaces, 0, InterfaceStatistics::default())].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_streams_are_read_back(interfaces in interfaces(), packets in packets(), cut in any::<Index>()) {
        let packets = fitted(packets, &interfaces);
        let mut stream = written(&interfaces, &packets);
        let witnessed = packets_by_pcap_parser(&stream);
        let rest = stream.split_off(cut.index(stream.len()));
        let read = read([stream, rest]).expect("a stream of ours");
        prop_assert_eq!(&read.interfaces, &interfaces);
        prop_assert_eq!(&read.packets, &packets);
        prop_assert_eq!(read.ended, PeerStreamEnd::Finished);
        let seen: Vec<_> = packets.into_iter().map(|one| (one.interface, one.length, one.data)).collect();
        prop_assert_eq!(seen, witnessed);
    }

    #[test]
    fn forwarded_streams_are_always_well_formed(
        interfaces in interfaces(),
        packets in packets(),
        changes in vec((any::<Index>(), any::<u32>(), 1..5_usize), 1..6),
        cut in any::<Index>(),
        drops in any::<bool>(),
    ) {
        let packets = fitted(packets, &interfaces);
        let mut stream = written(&interfaces, &packets);
        for (at, bytes, count) in changes {
            let at = at.index(stream.len() - 4);
            stream[at..at + count].copy_from_slice(&bytes.to_le_bytes()[..count]);
        }
        if drops {
            let at = cut.index(stream.len());
            stream.drain(at..(at + 7).min(stream.len()));
        }
        if let Ok(read) = read([stream]) {
            for packet in &read.packets {
                let snap_length = read.interfaces[packet.interface as usize].snap_length as usize;
                prop_assert!(packet.data.len() <= snap_length && packet.data.len() <= packet.length as usize);
            }
            let again = written(&read.interfaces, &read.packets);
            prop_assert_eq!(packets_by_pcap_parser(&again).len(), read.packets.len());
        }
    }

    #[test]
    fn arbitrary_bytes_are_handled(bytes in vec(any::<u8>(), 0..4000), after_a_beginning in any::<bool>()) {
        let beginning = if after_a_beginning { beginning(&[interface("eth0")]) } else { Vec::new() };
        if let Ok(read) = read([beginning, bytes]) {
            prop_assert_eq!(read.packets, []);
        }
    }
}
