//! The transferred packets: 1500 bytes each, responses of a web service or incompressible data.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use containerdump::capture::Direction;
use containerdump::pcapng::{self, BlockWriter, InterfaceDescription, InterfaceStatistics};
use containerdump::safe_text::SafeText;

pub(crate) const LENGTH: usize = 1500;
/// Ethernet, IPv4, TCP with time stamps.
const HEADERS: usize = 14 + 20 + 32;
const PAYLOAD: usize = LENGTH - HEADERS;
/// Interleaved connections.
const CONNECTIONS: u32 = 8;

/// Content of the packets.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// HTTP with JSON.
    Text,
    /// Random bytes, like encrypted traffic.
    Random,
}

/// The same packets as a pcap file and as a pcapng stream of ours.
pub(crate) struct Files {
    pub(crate) packets: u32,
    pub(crate) pcap: PathBuf,
    pub(crate) pcapng: PathBuf,
}

impl Content {
    /// Writes so many packets to both files, in `folder`.
    pub(crate) fn write(self, folder: &Path, packets: u32) -> Files {
        let [pcap, pcapng] = ["packets.pcap", "packets.pcapng"].map(|name| folder.join(name));
        let files = Files { packets, pcap, pcapng };
        let file = |path| BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
        let (mut pcap, mut ours) = (file(&files.pcap), file(&files.pcapng));
        // Nanoseconds, version 2.4, Ethernet (draft-ietf-opsawg-pcap).
        for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            pcap.write_all(&word.to_le_bytes()).expect("room");
        }
        let mut blocks = BlockWriter::begin_section();
        blocks.add_interface(&interface());
        ours.write_all(&blocks.take()).expect("room");
        let (begin, mut block) = (containerdump::capture::now(), Vec::new());
        for (number, frame) in (0..packets).zip(self.frames()) {
            let time = begin + u64::from(number) * 1000;
            let (seconds, rest) = (time / 1_000_000_000, time % 1_000_000_000);
            let length = u32::try_from(LENGTH).expect("few");
            let few = |number: u64| u32::try_from(number).expect("32 bits");
            for word in [few(seconds), few(rest), length, length] {
                pcap.write_all(&word.to_le_bytes()).expect("room");
            }
            pcap.write_all(&frame).expect("room");
            block.clear();
            pcapng::append_packet(&mut block, 0, Direction::Outbound, time, length, &frame);
            ours.write_all(&block).expect("room");
        }
        let written = InterfaceStatistics { written: u64::from(packets), ..InterfaceStatistics::default() };
        blocks.add_statistics(0, written, begin, containerdump::capture::now());
        ours.write_all(&blocks.take()).expect("room");
        files
    }

    /// The packets, the same in each run.
    pub(crate) fn frames(self) -> impl Iterator<Item = Vec<u8>> {
        let mut source = Source { state: 0x9e37_79b9_7f4a_7c15, text: Vec::new() };
        (0..).map(move |number| source.frame(number, self))
    }
}

/// An interface of Ethernet packets.
pub(crate) fn interface() -> InterfaceDescription {
    InterfaceDescription {
        name: SafeText::new("web:eth0"),
        description: SafeText::new("docker container web"),
        hardware_address: None,
        filter: None,
        snap_length: 262_144,
        link_type: 1,
    }
}

/// A reproducible generator.
struct Source {
    state: u64,
    text: Vec<u8>,
}

impl Source {
    fn number(&mut self) -> u64 {
        // xorshift64 (Marsaglia 2003).
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn frame(&mut self, number: u32, content: Content) -> Vec<u8> {
        let connection = number % CONNECTIONS;
        let sequence = (number / CONNECTIONS).wrapping_mul(1448);
        let mut frame = Vec::with_capacity(LENGTH);
        frame.extend([2, 0x42, 0xac, 17, 0, 2, 2, 0x42, 0xac, 17, 0, 3, 8, 0]);
        frame.extend([0x45, 0, 5, 0xce]);
        frame.extend(number.to_be_bytes()[2..].iter().chain(&[0x40, 0, 64, 6]));
        frame.extend(self.number().to_be_bytes()[..2].iter().chain(&[172, 17, 0, 3, 172, 17, 0, 2]));
        frame.extend((40_000 + connection).to_be_bytes()[2..].iter().chain(&[0, 80]));
        frame.extend(sequence.to_be_bytes().iter().chain(&[0, 0, 1, 0, 0x80, 0x18, 1, 0xf6]));
        frame.extend(self.number().to_be_bytes()[..2].iter().chain(&[0, 0, 1, 1, 8, 10]));
        frame.extend((number / 1000).to_be_bytes().iter().chain(&(number / 1001).to_be_bytes()));
        match content {
            Content::Text => {
                while self.text.len() < PAYLOAD {
                    self.say();
                }
                frame.extend(self.text.drain(..PAYLOAD));
            }
            Content::Random => {
                while frame.len() < LENGTH {
                    frame.extend(self.number().to_le_bytes());
                }
                frame.truncate(LENGTH);
            }
        }
        frame
    }

    /// Appends a response of a web service.
    fn say(&mut self) {
        const WORDS: [&str; 16] = [
            "wool", "blanket", "copper", "kettle", "lantern", "garden", "chair", "oak", "table", "linen",
            "shirt", "winter", "boots", "glass", "bottle", "blue",
        ];
        let mut items = Vec::new();
        for _ in 0..=self.number() % 4 {
            let [sku, price, count, word] = [0; 4].map(|_: u8| self.number());
            let name =
                [word, word >> 8].map(|word| WORDS[usize::try_from(word % 16).expect("few")]).join(" ");
            items.push(format!(
                "{{\"sku\":\"{:08x}\",\"name\":\"{name}\",\"price\":{}.{:02},\"quantity\":{}}}",
                sku & 0xffff_ffff,
                price % 400,
                price % 100,
                1 + count % 9,
            ));
        }
        let [id, customer, second] = [0; 3].map(|_: u8| self.number());
        let body = format!(
            "{{\"order\":\"{id:016x}\",\"customer\":{},\"status\":\"shipped\",\"items\":[{}]}}\n",
            customer % 100_000,
            items.join(","),
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Tue, 24 Nov 2026 04:{:02}:{:02} GMT\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n",
            second % 60,
            second / 60 % 60,
            body.len(),
        );
        self.text.extend(head.bytes().chain(body.bytes()));
    }
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Random => "as if encrypted",
        })
    }
}
