//! Parses interface blocks.

use super::ProtocolError;
use super::block::{BlockOptions, u32_at};
use crate::capture::MAX_FILTER_LEN;
use crate::capture::MAX_SNAP_LEN;
use crate::link::HardwareAddress;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

/// Link types of network interfaces: Ethernet, raw IP (two numbers), Linux cooked (v1 and v2), see
/// <https://www.tcpdump.org/linktypes.html>. The writer must not select any other of Wireshark's dissectors.
const LINK_TYPES: [u32; 5] = [1, 12, 101, 113, 276];
/// Longest interface block, in bytes.
const MAX_INTERFACE_BLOCK_LEN: usize = 64 * 1024;
/// Longest description, in characters.
const MAX_DESCRIPTION_LEN: usize = 250;

/// Parses an interface block.
pub(super) fn parse(block: &[u8]) -> Result<InterfaceDescription, ProtocolError> {
    let wrong = |what: &str| ProtocolError(format!("an interface {what}"));
    let head = block.first_chunk::<16>().ok_or_else(|| wrong("is too short"))?;
    let (link_type, snap_length) = (u32_at(head, 8) & 0xffff, u32_at(head, 12));
    if block.len() > MAX_INTERFACE_BLOCK_LEN {
        return Err(wrong("is too long"));
    }
    if !LINK_TYPES.contains(&link_type) {
        return Err(wrong(&format!("has the unknown link type {link_type}")));
    }
    if !(1..=MAX_SNAP_LEN).contains(&snap_length) {
        return Err(wrong(&format!("has the snap length {snap_length}")));
    }
    let mut interface = InterfaceDescription {
        name: SafeText::default(),
        description: SafeText::default(),
        hardware_address: None,
        filter: None,
        snap_length,
        link_type,
    };
    let mut resolution = None;
    for option in BlockOptions(block.get(16..block.len().saturating_sub(4)).unwrap_or_default()) {
        let (code, value) = option?;
        let text = || String::from_utf8_lossy(value);
        match code {
            2 => interface.name = SafeText::new(&text()),
            3 => interface.description = SafeText::with_limit(&text(), MAX_DESCRIPTION_LEN),
            6 => interface.hardware_address = value.try_into().ok().map(HardwareAddress),
            9 => resolution = value.first().copied(),
            // A first byte of zero means text.
            11 => {
                let filter = value.strip_prefix(&[0]).map(String::from_utf8_lossy);
                interface.filter =
                    filter.map(|text| SafeText::with_limit(&text, MAX_FILTER_LEN).as_str().to_owned());
            }
            // if_tsoffset
            14 => return Err(wrong("has a time offset")),
            _ => {}
        }
    }
    if resolution != Some(9) {
        return Err(wrong("has a time resolution other than nanoseconds"));
    }
    if interface.name.is_empty() {
        return Err(wrong("has no name"));
    }
    Ok(interface)
}
