//! tcpdump's savefile: the converted stream is one of a peer, with exactly the packets of the file up to the first that is
//! invalid.

#![no_main]

use std::time::Duration;

use containerdump::capture::MAX_SNAP_LEN;
use containerdump::fuzzing;
use containerdump::pcapng::InterfaceDescription;
use containerdump::peer::{self, PeerStreamEnd};
use containerdump::safe_text::SafeText;
use containerdump_fuzz::{ended_stream, parameters};
use libfuzzer_sys::fuzz_target;

const MARKER: &[u8] = b"containerdump-savefile\n";
/// The converted stream must fit into a socket: packets take up to three times the room.
const MAX_INPUT_LEN: usize = 16 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some(([short], data)) = parameters(data) else { return };
    if data.len() > MAX_INPUT_LEN {
        return;
    }
    let snap_length = if short == 0 { MAX_SNAP_LEN } else { u32::from(short) };
    let description = InterfaceDescription {
        name: SafeText::new("web:eth0"),
        description: SafeText::default(),
        hardware_address: None,
        filter: None,
        snap_length,
        link_type: 1,
    };
    let Some((input, _tcpdump)) = ended_stream(data) else { return };
    let (local, output) = std::os::unix::net::UnixStream::pair().expect("two sockets");
    // For control bytes of the reader: `output` is closed by then.
    let _open = output.try_clone().expect("a descriptor");
    let at = data.windows(MARKER.len()).position(|bytes| bytes == MARKER);
    if fuzzing::convert_savefile(input, description, output).is_err() {
        return;
    }
    let body = &data[at.expect("a marker") + MARKER.len()..];
    let (header, body) = body.split_at(24);
    let is_big_endian = header[0] == 0xa1;
    let resolution =
        if header.contains(&0x3c) && (header[1] == 0x3c || header[2] == 0x3c) { 1 } else { 1000 };
    let number = |word: u32| if is_big_endian { word.to_be_bytes() } else { word.to_le_bytes() };

    // Only link types of networks are accepted.
    let opened = peer::open_tap_stream(local, &SafeText::new("web"), Duration::from_secs(5));
    let Ok((interfaces, mut peer)) = opened else { return };
    assert_eq!((interfaces.len(), interfaces[0].snap_length), (1, snap_length));
    let mut rebuilt = Vec::new();
    let ended = loop {
        let outcome = peer.read(|packet, _| {
            let seconds = u32::try_from(packet.time / 1_000_000_000).expect("32 bits");
            let fraction = u32::try_from(packet.time % 1_000_000_000).expect("less than 10^9") / resolution;
            let captured = u32::try_from(packet.data.len()).expect("a short packet");
            assert!(captured <= snap_length && captured <= packet.length);
            rebuilt.extend([seconds, fraction, captured, packet.length].into_iter().flat_map(number));
            rebuilt.extend_from_slice(packet.data);
            0
        });
        if let Err(ended) = outcome {
            break ended;
        }
    };
    assert!(body.starts_with(&rebuilt), "other packets than those of the file");
    if ended == PeerStreamEnd::Finished {
        let rest = &body[rebuilt.len()..];
        assert!(rest.len() < 16 + snap_length as usize, "a proper end before that of the file");
    }
});
