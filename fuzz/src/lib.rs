//! Properties that several fuzz targets check.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use containerdump::safe_text::SafeText;
use pcap_parser::traits::PcapReaderIterator as _;
use pcap_parser::{Block, PcapBlockOwned, PcapError, PcapNGReader};

/// Splits off the first `N` bytes, the parameters of a run.
pub fn parameters<const N: usize>(data: &[u8]) -> Option<([u8; N], &[u8])> {
    data.split_first_chunk().map(|(parameters, rest)| (*parameters, rest))
}

/// Checks that `text` may be shown anywhere, and has at most `max_len` characters.
pub fn assert_safe(text: &SafeText, max_len: usize) {
    let is_unsafe = |character: char| {
        character.is_control()
            || matches!(character, '{' | '}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.as_str().contains(is_unsafe), "{text:?}");
    assert!(text.as_str().chars().count() <= max_len, "more than {max_len}: {text:?}");
}

/// A stream that ends after `bytes`, and its other end, which takes what is sent back. `None` if the kernel does not hold
/// them: nothing reads meanwhile.
pub fn ended_stream(bytes: &[u8]) -> Option<(UnixStream, UnixStream)> {
    let (ours, mut theirs) = UnixStream::pair().ok()?;
    theirs.set_nonblocking(true).ok()?;
    theirs.write_all(bytes).ok()?;
    theirs.shutdown(Shutdown::Write).ok()?;
    Some((ours, theirs))
}

/// A packet of a pcapng stream: number of its interface, length on the wire, data.
pub type StreamPacket = (u32, u32, Vec<u8>);

/// The interfaces and packets of a pcapng stream by an independent parser, which must find nothing wrong.
pub fn parse_by_others(bytes: &[u8]) -> (u32, Vec<StreamPacket>) {
    let mut reader = PcapNGReader::new(1 << 20, bytes).expect("a pcapng stream");
    let (mut interfaces, mut packets) = (0, Vec::new());
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                match &block {
                    PcapBlockOwned::NG(Block::InterfaceDescription(_)) => interfaces += 1,
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        assert!(packet.if_id < interfaces, "a packet of an interface that comes later");
                        let captured = &packet.data[..packet.caplen as usize];
                        packets.push((packet.if_id, packet.origlen, captured.to_vec()));
                    }
                    _ => {}
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return (interfaces, packets),
            Err(PcapError::Incomplete(_)) => reader.refill().expect("the rest of a block"),
            Err(error) => panic!("{error:?}"),
        }
    }
}
