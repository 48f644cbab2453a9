//! Parses interface blocks.

use std::sync::Arc;

use super::block::{BlockOptions, u32_at};
use super::{MAX_INTERFACES, ProtocolError};
use crate::capture::{MAX_FILTER_LEN, MAX_SNAP_LEN};
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
/// Bytes of the names, descriptions and filters in a stream: with all interfaces, 256 each.
const MAX_INTERFACE_TEXT_LEN: usize = MAX_INTERFACES * 256;

/// The text of the interfaces of a stream, which is bounded.
#[derive(Debug, Default)]
pub(super) struct InterfaceTexts {
    bytes: usize,
    last_filter: Option<Arc<str>>,
}

impl InterfaceTexts {
    /// Counts the text of another interface. The same filter as before is shared, and not counted.
    ///
    /// Fails when the stream has too much text.
    pub(super) fn add(&mut self, interface: &mut InterfaceDescription) -> Result<(), ProtocolError> {
        self.bytes += interface.text_len();
        if interface.filter.is_some() && interface.filter == self.last_filter {
            self.bytes -= interface.filter.as_ref().map_or(0, |filter| filter.len());
            interface.filter.clone_from(&self.last_filter);
        }
        self.last_filter.clone_from(&interface.filter);
        if self.bytes > MAX_INTERFACE_TEXT_LEN {
            let kib = MAX_INTERFACE_TEXT_LEN / 1024;
            return Err(ProtocolError(format!("more than {kib} KiB of interface names and filters")));
        }
        Ok(())
    }
}

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
                // In characters, then in bytes.
                let filter = filter.map(|text| SafeText::with_limit(&text, MAX_FILTER_LEN));
                interface.filter = filter.map(|text| shortened_filter(text.as_str()).into());
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

/// The filter, or the beginning of one that is too long, which is only shown.
fn shortened_filter(filter: &str) -> &str {
    &filter[..filter.floor_char_boundary(MAX_FILTER_LEN)]
}
