//! Interface blocks from elsewhere.

use super::Defect;
use super::block::{Options, word};
use crate::capture::MAX_SNAP_LEN;
use crate::link::HardwareAddress;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

/// What packets of network interfaces begin with: Ethernet, raw IP in its two numbers, Linux's
/// cooked packets in their two forms (<https://www.tcpdump.org/linktypes.html>). Wireshark knows
/// hundreds more, for things no network interface has, and the other end must not choose among them.
const LINK_TYPES: [u32; 5] = [1, 12, 101, 113, 276];
/// Bytes of an interface block.
const MOST: usize = 64 * 1024;
/// Characters of a description, and of a filter.
const LONGEST_DESCRIPTION: usize = 250;
const LONGEST_FILTER: usize = 4000;

/// Reads an interface block.
pub(super) fn read(block: &[u8]) -> Result<InterfaceDescription, Defect> {
    let wrong = |what: &str| Defect(format!("an interface of it {what}"));
    let head = block.first_chunk::<16>().ok_or_else(|| wrong("is too short"))?;
    let (link_type, snap_length) = (word(head, 8) & 0xffff, word(head, 12));
    if block.len() > MOST {
        return Err(wrong("is too long"));
    }
    if !LINK_TYPES.contains(&link_type) {
        return Err(wrong(&format!("has packets of the unknown kind {link_type}")));
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
    for option in Options(block.get(16..block.len().saturating_sub(4)).unwrap_or_default()) {
        let (code, value) = option?;
        let text = || String::from_utf8_lossy(value);
        match code {
            2 => interface.name = SafeText::new(&text()),
            3 => interface.description = SafeText::with_limit(&text(), LONGEST_DESCRIPTION),
            6 => interface.hardware_address = value.try_into().ok().map(HardwareAddress),
            9 => resolution = value.first().copied(),
            // Its first byte is zero where it is text.
            11 => {
                let filter = value.strip_prefix(&[0]).map(String::from_utf8_lossy);
                interface.filter =
                    filter.map(|text| SafeText::with_limit(&text, LONGEST_FILTER).as_str().to_owned());
            }
            // if_tsoffset
            14 => return Err(wrong("counts time from elsewhere")),
            _ => {}
        }
    }
    if resolution != Some(9) {
        return Err(wrong("does not count time in nanoseconds"));
    }
    if interface.name.is_empty() {
        return Err(wrong("has no name"));
    }
    Ok(interface)
}
