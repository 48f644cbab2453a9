//! A stream of a peer, of a tap or of another host with several interfaces: what is written of it is always well-formed,
//! whatever has come.

#![no_main]

use std::time::Duration;

use containerdump::capture::MAX_SNAP_LEN;
use containerdump::pcapng::{BlockWriter, InterfaceDescription, InterfaceStatistics, packet_block_length};
use containerdump::peer::{self, PeerNames, PeerStream};
use containerdump::safe_text::SafeText;
use containerdump_fuzz::{StreamPacket, assert_safe, ended_stream, parameters, parse_by_others};
use libfuzzer_sys::fuzz_target;

/// The stream that is written has one more interface, its first.
const FIRST_NUMBER: u32 = 1;

fuzz_target!(|data: &[u8]| {
    let Some(([mode], data)) = parameters(data) else { return };
    let Some((stream, _writer)) = ended_stream(data) else { return };
    let (origin, timeout) = (SafeText::new("build1"), Duration::from_secs(5));
    let own = InterfaceDescription {
        name: SafeText::new("own"),
        description: SafeText::default(),
        hardware_address: None,
        filter: None,
        snap_length: MAX_SNAP_LEN,
        link_type: 1,
    };
    let mut output =
        Output { blocks: BlockWriter::begin_section(), bytes: Vec::new(), snap_lengths: Vec::new() };
    output.blocks.add_interface(&own);
    let mut peer = if mode % 2 == 0 {
        let Ok((interfaces, peer)) = peer::open_tap_stream(stream, &origin, timeout) else { return };
        assert!(!interfaces.is_empty());
        output.add_interfaces(&interfaces, 80);
        peer
    } else {
        let in_names = mode & 2 != 0;
        let Ok(peer) = peer::open_capture_stream(stream, &origin, in_names, timeout) else { return };
        peer
    };
    output.copy(&mut peer);
});

struct Output {
    blocks: BlockWriter,
    bytes: Vec<u8>,
    snap_lengths: Vec<u32>,
}

impl Output {
    fn add_interfaces(&mut self, interfaces: &[InterfaceDescription], max_name_len: usize) {
        for interface in interfaces {
            assert_safe(&interface.name, max_name_len);
            assert_safe(&interface.description, 300);
            assert!(!interface.name.is_empty() && (1..=MAX_SNAP_LEN).contains(&interface.snap_length));
            self.blocks.add_interface(interface);
            self.snap_lengths.push(interface.snap_length);
        }
    }

    /// Copies the packets of `peer` until it ends, and checks what an independent parser finds in the output.
    fn copy(mut self, peer: &mut PeerStream) {
        let (mut packets, mut names) = (Vec::<StreamPacket>::new(), PeerNames::default());
        loop {
            let mut blocks = Vec::new();
            let outcome = peer.read(|packet, offset| {
                let snap_length = self.snap_lengths[packet.interface];
                assert!(packet.data.len() <= snap_length as usize);
                assert!(packet.data.len() <= packet.length as usize);
                let number = FIRST_NUMBER + u32::try_from(packet.interface).expect("few");
                blocks.push((offset, packet_block_length(packet.data.len())));
                packets.push((number, packet.length, packet.data.to_vec()));
                number
            });
            self.bytes.extend(self.blocks.take());
            for (offset, length) in blocks {
                self.bytes.extend_from_slice(&peer.blocks()[offset..offset + length]);
            }
            let new = peer.take_new_interfaces();
            self.add_interfaces(&new, 200);
            if let Some((host, new)) = peer.take_new_names() {
                new.iter().for_each(|(_, name)| assert_safe(name, 200));
                let changed = names.add(&host, new);
                changed.iter().for_each(|(_, name)| assert_safe(name, 250));
                self.blocks.add_names(&changed);
            }
            if let Some((_, Err(error))) = peer.take_filter_reply() {
                assert_safe(&error, 300);
            }
            match outcome {
                // The stream has ended: there is always a block, something new or the end.
                Ok(read) => {
                    assert!(read.blocks > 0 || !new.is_empty() || self.blocks_are_pending(), "stalled")
                }
                Err(_) => break,
            }
        }
        let delivered: u64 = peer.counts().map(|counts| counts.delivered).sum();
        assert_eq!(delivered, packets.len() as u64);
        for counts in peer.counts() {
            assert!(counts.kernel_drops + counts.abandoned <= counts.received);
        }
        self.blocks.add_statistics(0, InterfaceStatistics::default(), 1, 1);
        self.bytes.extend(self.blocks.take());
        let (interfaces, found) = parse_by_others(&self.bytes);
        assert_eq!(interfaces as usize, 1 + self.snap_lengths.len());
        assert_eq!(found, packets);
    }

    fn blocks_are_pending(&mut self) -> bool {
        let pending = self.blocks.take();
        self.bytes.extend_from_slice(&pending);
        !pending.is_empty()
    }
}
