//! Writes the pcapng stream. The only module that names `pcap_file`.
//!
//! Always little-endian, and in nanoseconds, since the library writes times so whatever an interface block says. Limits
//! are dumpcap's: 4.0 crashes on a section header over 2048 bytes, and a block over 256 KiB ends the capture.

mod machine;
mod packet;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption};
use pcap_file::pcapng::blocks::name_resolution::{Ipv4Record, Ipv6Record, NameResolutionBlock, Record};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness};

pub use packet::{
    PacketFields, append as append_packet, block_length as packet_block_length, read as packet_in,
};

use crate::link::HardwareAddress;
use crate::safe_text::SafeText;

/// Names in a name resolution block, so that it is far below dumpcap's 256 KiB.
const MAX_NAMES_PER_BLOCK: usize = 500;

/// Longest name of an interface or address with its host, in characters: two labels and a separator.
pub const MAX_QUALIFIED_NAME_LEN: usize = 200;

/// The contents of an interface block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceDescription {
    /// `web:eth0`.
    pub name: SafeText,
    /// Container, network and tap, in one line.
    pub description: SafeText,
    /// Of the interface, if known.
    pub hardware_address: Option<HardwareAddress>,
    /// The capture filter in force, which interfaces share.
    pub filter: Option<Arc<str>>,
    /// Bytes kept of each packet.
    pub snap_length: u32,
    /// A number of <https://www.tcpdump.org/linktypes.html>.
    pub link_type: u32,
}

impl InterfaceDescription {
    /// Adds the host to the description, and with `in_name` to the name, too: `web@build1:eth0`.
    #[must_use]
    pub fn on_host(self, host: &SafeText, in_name: bool) -> Self {
        let name = match self.name.as_str().rsplit_once(':') {
            _ if !in_name => self.name,
            Some((container, interface)) => {
                SafeText::with_limit(&format!("{container}@{host}:{interface}"), MAX_QUALIFIED_NAME_LEN)
            }
            None => SafeText::with_limit(&format!("{}@{host}", self.name), MAX_QUALIFIED_NAME_LEN),
        };
        Self {
            name,
            description: SafeText::with_limit(&format!("on {host}: {}", self.description), 300),
            ..self
        }
    }

    /// Bytes of its name, description and filter.
    pub fn text_len(&self) -> usize {
        let texts =
            [self.name.as_str(), self.description.as_str(), self.filter.as_deref().unwrap_or_default()];
        texts.iter().map(|text| text.len()).sum()
    }
}

/// Packet counts of an interface since its capture began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStatistics {
    /// Written to the stream.
    pub written: u64,
    /// Left out as duplicates: written as sent by another container.
    pub deduplicated: u64,
    /// Dropped by the kernel because a ring was full.
    pub kernel_drops: u64,
    /// Dropped by the interface itself.
    pub interface_drops: u64,
    /// Left unread at the end because the reader was too slow.
    pub abandoned: u64,
    /// Received and not yet written: a later block counts them.
    pub pending: u64,
}

impl InterfaceStatistics {
    /// Packets that passed the filter and were lost.
    pub fn lost(&self) -> u64 {
        self.kernel_drops + self.abandoned
    }

    /// Whether nothing was received and nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.written + self.deduplicated + self.lost() + self.interface_drops == 0
    }

    /// The counts since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            written: self.written.saturating_sub(earlier.written),
            deduplicated: self.deduplicated.saturating_sub(earlier.deduplicated),
            kernel_drops: self.kernel_drops.saturating_sub(earlier.kernel_drops),
            interface_drops: self.interface_drops.saturating_sub(earlier.interface_drops),
            abandoned: self.abandoned.saturating_sub(earlier.abandoned),
            pending: self.pending,
        }
    }
}

/// Writes all blocks but packets, into memory until they are taken.
pub struct BlockWriter(PcapNgWriter<Vec<u8>>);

impl BlockWriter {
    /// Starts a section, whose header is the first block.
    pub fn begin_section() -> Self {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![
                SectionHeaderOption::Hardware(Cow::Borrowed(machine::hardware())),
                SectionHeaderOption::OS(Cow::Borrowed(machine::operating_system())),
                SectionHeaderOption::UserApplication(Cow::Borrowed(crate::PROGRAM_AND_VERSION)),
            ],
            ..SectionHeaderBlock::default()
        };
        Self(PcapNgWriter::with_section_header(Vec::new(), section).unwrap_or_else(never))
    }

    /// The blocks of names of addresses.
    pub fn only_names(names: &[(IpAddr, SafeText)]) -> Vec<u8> {
        let mut writer = Self::begin_section();
        writer.take();
        writer.add_names(names);
        writer.take()
    }

    /// Adds an interface block and returns the interface's number. An empty name or description is left out.
    pub fn add_interface(&mut self, interface: &InterfaceDescription) -> u32 {
        let number = u32::try_from(self.0.interfaces().len()).unwrap_or(u32::MAX);
        let (linktype, snaplen) = (DataLink::from(interface.link_type), interface.snap_length);
        let mut options = Vec::new();
        if !interface.name.is_empty() {
            options.push(InterfaceDescriptionOption::IfName(Cow::Borrowed(interface.name.as_str())));
        }
        if !interface.description.is_empty() {
            let description = Cow::Borrowed(interface.description.as_str());
            options.push(InterfaceDescriptionOption::IfDescription(description));
        }
        options.push(InterfaceDescriptionOption::IfTsResol(9));
        if let Some(HardwareAddress(bytes)) = interface.hardware_address {
            options.push(InterfaceDescriptionOption::IfMacAddr(Cow::Owned(bytes.to_vec())));
        }
        if let Some(filter) = &interface.filter {
            // A first byte of zero means text.
            let text = [&[0], filter.as_bytes()].concat();
            options.push(InterfaceDescriptionOption::IfFilter(Cow::Owned(text)));
        }
        // The library keeps each interface block: the one of this section gets no text.
        let begin = self.0.get_ref().len();
        self.0.write_pcapng_block(InterfaceDescriptionBlock::new(linktype, snaplen)).unwrap_or_else(never);
        self.0.get_mut().truncate(begin);
        let mut writer = PcapNgWriter::with_endianness(Vec::new(), Endianness::Little).unwrap_or_else(never);
        writer.get_mut().clear();
        writer
            .write_pcapng_block(InterfaceDescriptionBlock { linktype, snaplen, options })
            .unwrap_or_else(never);
        self.0.get_mut().append(writer.get_mut());
        number
    }

    /// Adds names of addresses for the packets that follow.
    pub fn add_names(&mut self, names: &[(IpAddr, SafeText)]) {
        for some in names.chunks(MAX_NAMES_PER_BLOCK) {
            let records = some
                .iter()
                .map(|(address, name)| {
                    let names = vec![Cow::Borrowed(name.as_str())];
                    match address {
                        IpAddr::V4(v4) => {
                            Record::Ipv4(Ipv4Record { ip_addr: Cow::Owned(v4.octets().to_vec()), names })
                        }
                        IpAddr::V6(v6) => {
                            Record::Ipv6(Ipv6Record { ip_addr: Cow::Owned(v6.octets().to_vec()), names })
                        }
                    }
                })
                .collect();
            self.0
                .write_pcapng_block(NameResolutionBlock { records, options: Vec::new() })
                .unwrap_or_else(never);
        }
    }

    /// Adds an empty name resolution block.
    pub fn add_empty_block(&mut self) {
        self.0
            .write_pcapng_block(NameResolutionBlock { records: Vec::new(), options: Vec::new() })
            .unwrap_or_else(never);
    }

    /// Adds statistics of interface `number` from `begin` to `now`, nanoseconds since the epoch.
    ///
    /// `isb_ifrecv` counts packets that passed the filter: written, lost, or left out. As with dumpcap, `isb_ifdrop` is
    /// everything lost, which Wireshark shows as "dropped"; `isb_osdrop` is the kernel's part.
    pub fn add_statistics(&mut self, number: u32, statistics: InterfaceStatistics, begin: u64, now: u64) {
        self.add_statistics_with_comment(number, statistics, begin, now, None);
    }

    /// The same with a comment.
    pub fn add_statistics_with_comment(
        &mut self,
        number: u32,
        statistics: InterfaceStatistics,
        begin: u64,
        now: u64,
        comment: Option<&str>,
    ) {
        let received = statistics.written + statistics.deduplicated + statistics.lost();
        let mut options = vec![
            InterfaceStatisticsOption::IsbStartTime(time(begin)),
            InterfaceStatisticsOption::IsbEndTime(time(now)),
            InterfaceStatisticsOption::IsbIfRecv(received),
            InterfaceStatisticsOption::IsbIfDrop(statistics.lost() + statistics.interface_drops),
            InterfaceStatisticsOption::IsbOsDrop(statistics.kernel_drops),
            InterfaceStatisticsOption::IsbUsrDeliv(statistics.written),
        ];
        if statistics.pending > 0 {
            options.push(InterfaceStatisticsOption::IsbFilterAccept(received + statistics.pending));
        }
        options.extend(comment.map(|text| InterfaceStatisticsOption::Comment(Cow::Borrowed(text))));
        let block = InterfaceStatisticsBlock { interface_id: number, timestamp: time(now), options };
        self.0.write_pcapng_block(block).unwrap_or_else(never);
    }

    /// The bytes of the blocks added since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.get_mut())
    }
}

/// Swaps the halves of a time: the format has the upper half first, which the library does not do.
fn time(nanoseconds: u64) -> u64 {
    nanoseconds.rotate_left(32)
}

/// Writing to memory cannot fail, for interfaces that were added before.
fn never<T>(error: impl std::fmt::Display) -> T {
    unreachable!("a block could not be made in memory: {error}")
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::capture::Direction;

    #[test]
    fn room_behind_a_packet_becomes_an_option_that_readers_skip() {
        let data = [7; 5];
        let fields =
            PacketFields { interface: 0, direction: Direction::Outbound, time: 1, wire_len: 5, captured: 5 };
        for room in [0, 4, 8, 36, 52] {
            let mut stream = BlockWriter::begin_section().take();
            let mut block = vec![0xee; packet_block_length(5) + room];
            let (before, rest) = block.split_first_chunk_mut().expect("room");
            rest[..8].copy_from_slice(&[7, 7, 7, 7, 7, 0, 0, 0]);
            fields.write_around(before, &mut rest[8..]);
            assert_eq!(packet_in(&block), Some((Direction::Outbound, 5, &data[..])));
            stream.extend(block);
            let mut reader = PcapNgReader::new(&stream[..]).expect("a section");
            let block = reader.next_block().expect("a block").expect("a valid one");
            let Block::EnhancedPacket(packet) = block else { panic!("{block:?}") };
            assert_eq!(packet.data[..], data);
            let (flags, option) = packet.options.split_first().expect("the direction");
            assert_eq!(*flags, EnhancedPacketOption::Flags(2));
            match option {
                [] => assert_eq!(room, 0),
                [EnhancedPacketOption::Unknown(option)] => {
                    assert_eq!((option.code, &option.value[..]), (0x8000, &vec![0; room - 4][..]));
                }
                options => panic!("{options:?}"),
            }
            assert!(reader.next_block().is_none());
        }
    }
}
