//! What each later file of a ring buffer repeats: the blocks of all interfaces, since their numbers do not change, and names.
//!
//! Text of interfaces and names takes an eighth of the packets in the previous file each, so that the size of a capture
//! stays in proportion to its packets, however many interfaces and names it has.

use super::interface_state::InterfaceState;
use super::limits::LimitUsage;

/// Ratio of packet bytes to those of text.
const TEXT_RATIO: u64 = 8;
/// Bytes of text that are repeated in any case, where the size of a file is not limited to less.
const MIN_TEXT_LEN: u64 = 64 * 1024;

/// How much of the text of an interface its block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InterfaceText {
    Whole,
    Name,
    None,
}

/// Bytes of the text of interfaces, and of names, in the file after `previous`.
pub(super) fn max_text_len(previous: &LimitUsage) -> usize {
    let min = previous.max_bytes().map_or(MIN_TEXT_LEN, |max| (max / TEXT_RATIO).min(MIN_TEXT_LEN));
    usize::try_from((previous.packet_bytes() / TEXT_RATIO).max(min)).unwrap_or(usize::MAX)
}

/// The text that the blocks of `interfaces` have in a later file: all of it together at most `max_len` bytes. No packet
/// follows of those that have ended: they have at most their name, and come last.
pub(super) fn repeated_texts(interfaces: &[InterfaceState], max_len: usize) -> Vec<InterfaceText> {
    let mut left = max_len;
    let mut takes = |len: usize| {
        let rest = left.checked_sub(len);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    let mut texts = vec![InterfaceText::None; interfaces.len()];
    for is_active in [true, false] {
        let chosen = interfaces.iter().zip(&mut texts).filter(|(state, _)| state.is_active() == is_active);
        for (state, text) in chosen {
            *text = if is_active && takes(state.interface.text_len()) {
                InterfaceText::Whole
            } else if takes(state.interface.name.as_str().len()) {
                InterfaceText::Name
            } else {
                InterfaceText::None
            };
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcapng::InterfaceDescription;
    use crate::safe_text::SafeText;
    use crate::session::output::limits::Limit;

    fn interface(name: &str, end: Option<u64>) -> InterfaceState {
        let interface = InterfaceDescription {
            name: SafeText::new(name),
            description: SafeText::new("described"),
            hardware_address: None,
            filter: Some("tcp".into()),
            snap_length: 100,
            link_type: 1,
        };
        let mut state = InterfaceState::new(interface, 0, 0);
        state.end = end;
        state
    }

    #[test]
    fn the_text_of_active_interfaces_comes_before_that_of_ended_ones() {
        use InterfaceText::{Name, None as Nothing, Whole};
        let all =
            [interface("a", Some(1)), interface("b", None), interface("c", Some(1)), interface("d", None)];
        assert_eq!(repeated_texts(&all, 100), [Name, Whole, Name, Whole]);
        assert_eq!(repeated_texts(&all, 15), [Name, Whole, Nothing, Name]);
        assert_eq!(repeated_texts(&all, 1), [Nothing, Name, Nothing, Nothing]);
    }

    #[test]
    fn text_is_repeated_in_proportion_to_packets() {
        let mut usage = LimitUsage::new([Limit::Filesize(1_000_000)].into_iter().collect());
        assert_eq!(max_text_len(&usage), 64 * 1024);
        usage.add_packet(800_000);
        usage.add_bytes(800_000);
        assert_eq!(max_text_len(&usage), 100_000, "other blocks do not count");
        let small = LimitUsage::new([Limit::Filesize(8000)].into_iter().collect());
        assert_eq!(max_text_len(&small), 1000);
    }
}
