//! The sending end of a peer stream, and what is read from it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use containerdump::capture::{Direction, PacketCounts};
use containerdump::error::Error;
use containerdump::pcapng::{self, BlockWriter, InterfaceDescription, InterfaceStatistics};
use containerdump::peer::{self, PeerStream, PeerStreamEnd};
use containerdump::safe_text::SafeText;
use pcap_parser::traits::PcapReaderIterator as _;
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};

/// Longer than any stream takes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A packet as sent or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) interface: u32,
    pub(crate) direction: Direction,
    pub(crate) time: u64,
    pub(crate) length: u32,
    pub(crate) data: Vec<u8>,
}

/// An interface of Ethernet packets.
pub(crate) fn interface(name: &str) -> InterfaceDescription {
    InterfaceDescription {
        name: SafeText::new(name),
        description: SafeText::new(name),
        hardware_address: None,
        filter: None,
        snap_length: 262_144,
        link_type: 1,
    }
}

/// A packet of 60 bytes on the first interface.
pub(crate) fn packet() -> Packet {
    let time = 1_795_435_357_000_000_000;
    Packet { interface: 0, direction: Direction::Inbound, time, length: 60, data: vec![7; 60] }
}

/// The blocks before the first packet.
pub(crate) fn beginning(interfaces: &[InterfaceDescription]) -> Vec<u8> {
    let mut blocks = BlockWriter::begin_section();
    for interface in interfaces {
        blocks.add_interface(interface);
    }
    for number in (0..).take(interfaces.len()) {
        blocks.add_statistics(number, InterfaceStatistics::default(), 1, 1);
    }
    blocks.take()
}

/// The statistics block of an interface alone.
pub(crate) fn statistics(
    interfaces: &[InterfaceDescription],
    number: u32,
    statistics: InterfaceStatistics,
) -> Vec<u8> {
    let mut blocks = BlockWriter::begin_section();
    for interface in interfaces {
        blocks.add_interface(interface);
    }
    blocks.take();
    blocks.add_statistics(number, statistics, 1, 2);
    blocks.take()
}

/// A packet block of the program's writer.
pub(crate) fn block(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Packet { interface, direction, time, length, data } = packet;
    pcapng::append_packet(&mut bytes, *interface, *direction, *time, *length, data);
    bytes
}

/// What was read of a stream.
pub(crate) struct Read {
    pub(crate) interfaces: Vec<InterfaceDescription>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) counts: Vec<PacketCounts>,
    pub(crate) ended: PeerStreamEnd,
}

/// Sends `bytes` and reads them.
pub(crate) fn read(bytes: impl IntoIterator<Item = Vec<u8>> + Send + 'static) -> Result<Read, Error> {
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    let sender = send(theirs, bytes);
    let outcome = open(ours).map(|(interfaces, remote)| read_all_packets(interfaces, remote));
    sender.join().expect("it was sent");
    outcome
}

/// Opens a stream with a long timeout.
pub(crate) fn open(stream: UnixStream) -> Result<(Vec<InterfaceDescription>, PeerStream), Error> {
    peer::open_tap_stream(stream, &SafeText::new("container web"), TIMEOUT)
}

/// Writes in another thread until the reader closes.
pub(crate) fn send(
    mut stream: UnixStream,
    bytes: impl IntoIterator<Item = Vec<u8>> + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        for bytes in bytes {
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
        // The reader's control bytes must be consumed.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

/// Added to the number of each interface.
const RENUMBERED: u32 = 1000;

fn read_all_packets(interfaces: Vec<InterfaceDescription>, mut remote: PeerStream) -> Read {
    let mut packets = Vec::new();
    let ended = loop {
        let mut offsets = Vec::new();
        let outcome = remote.read(|packet, offset| {
            offsets.push(offset);
            packets.push(Packet {
                interface: u32::try_from(packet.interface).expect("a few interfaces"),
                direction: packet.direction,
                time: packet.time,
                length: packet.length,
                data: packet.data.to_vec(),
            });
            RENUMBERED + u32::try_from(packet.interface).expect("a few interfaces")
        });
        let begin = packets.len() - offsets.len();
        for (packet, offset) in packets[begin..].iter().zip(offsets) {
            let renumbered = Packet { interface: RENUMBERED + packet.interface, ..packet.clone() };
            assert!(remote.blocks()[offset..].starts_with(&block(&renumbered)));
        }
        match outcome {
            Ok(looked) if looked.blocks == 0 => thread::sleep(Duration::from_micros(100)),
            Ok(_) => {}
            Err(ended) => break ended,
        }
    };
    let counts = remote.counts().collect();
    Read { interfaces, packets, counts, ended }
}

/// The packets of a stream by an independent parser. Panics if it is incomplete.
pub(crate) fn packets_by_pcap_parser(bytes: &[u8]) -> Vec<(u32, u32, Vec<u8>)> {
    let mut reader = PcapNGReader::new(1 << 20, bytes).expect("a pcapng stream");
    let mut packets = Vec::new();
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                if let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = &block {
                    let captured = &packet.data[..packet.caplen as usize];
                    packets.push((packet.if_id, packet.origlen, captured.to_vec()));
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return packets,
            Err(PcapError::Incomplete(_)) => reader.refill().expect("more of it"),
            Err(error) => panic!("{error:?}"),
        }
    }
}
