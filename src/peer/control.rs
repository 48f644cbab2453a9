//! Control messages to the writer of a stream, and their replies: both ends of both.
//!
//! ```text
//! 2, number, ' ', filter, 3     on its standard input, among heartbeats
//! filter NUMBER: error          in the comment of statistics; without an error the filter is in force
//! ```

use super::FINISH;
use crate::capture::MAX_FILTER_LEN;
use crate::safe_text::SafeText;

/// Start and end of a filter request (Start of Text, End of Text).
const FILTER_START: u8 = 2;
const FILTER_END: u8 = 3;
/// Most bytes between start and end of a filter request.
const MAX_FILTER_REQUEST_LEN: usize = MAX_FILTER_LEN + 16;
/// Longest error in a reply, in characters.
const MAX_REPLY_LEN: usize = 300;

/// Requests a filter; `None` for all packets.
pub(super) fn filter_request(number: u32, filter: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![FILTER_START];
    bytes.extend(format!("{number} ").into_bytes());
    // No byte of a filter may be a control byte.
    bytes.extend(filter.unwrap_or_default().bytes().map(|byte| if byte < b' ' { b' ' } else { byte }));
    bytes.push(FILTER_END);
    bytes
}

/// Parses control messages from the input, in parts.
#[derive(Debug, Default)]
pub struct ControlParser {
    /// A filter request whose end is missing.
    partial: Option<Vec<u8>>,
}

/// The control messages in a part of the input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ControlEvents {
    /// The writer shall finish.
    pub finish: bool,
    /// Number and filter of the last filter request.
    pub filter: Option<(u32, Option<String>)>,
}

impl ControlParser {
    /// Parses the next part.
    pub fn parse(&mut self, bytes: &[u8]) -> ControlEvents {
        let mut events = ControlEvents::default();
        for byte in bytes {
            match (*byte, &mut self.partial) {
                (FINISH, _) => events.finish = true,
                (FILTER_START, partial) => *partial = Some(Vec::new()),
                (FILTER_END, partial) => {
                    events.filter =
                        partial.take().and_then(|filter| parse_filter_request(&filter)).or(events.filter);
                }
                (byte, Some(filter)) if filter.len() < MAX_FILTER_REQUEST_LEN => filter.push(byte),
                // Too long for a filter, or a heartbeat.
                (_, partial) => *partial = None,
            }
        }
        events
    }
}

fn parse_filter_request(request: &[u8]) -> Option<(u32, Option<String>)> {
    let (number, filter) = std::str::from_utf8(request).ok()?.split_once(' ')?;
    let filter = filter.trim();
    Some((number.parse().ok()?, Some(filter.to_owned()).filter(|text| !text.is_empty())))
}

/// The reply to filter request `number`.
pub fn filter_reply(number: u32, outcome: Result<(), &str>) -> String {
    let error = outcome.err().map(|error| SafeText::with_limit(error, MAX_REPLY_LEN)).unwrap_or_default();
    format!("filter {number}: {error}")
}

/// Parses a [`filter_reply`].
pub(super) fn parse_filter_reply(comment: &[u8]) -> Option<(u32, Result<(), SafeText>)> {
    let text = String::from_utf8_lossy(comment);
    let (number, error) = text.strip_prefix("filter ")?.split_once(':')?;
    let error = SafeText::with_limit(error, MAX_REPLY_LEN);
    Some((number.parse().ok()?, if error.is_empty() { Ok(()) } else { Err(error) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(number: u32, text: &str) -> ControlEvents {
        ControlEvents { finish: false, filter: Some((number, Some(text.to_owned()))) }
    }

    #[test]
    fn a_filter_request_is_parsed_however_it_is_split() {
        let bytes = [&b"."[..], &filter_request(7, Some("tcp port 80\nor udp")), b".."].concat();
        assert_eq!(ControlParser::default().parse(&bytes), filter(7, "tcp port 80 or udp"));
        for cut in 2..bytes.len() - 2 {
            let mut parser = ControlParser::default();
            assert_eq!(parser.parse(&bytes[..cut]), ControlEvents::default());
            assert_eq!(parser.parse(&bytes[cut..]), filter(7, "tcp port 80 or udp"));
        }
        let none = ControlParser::default().parse(&filter_request(8, None));
        assert_eq!(none.filter, Some((8, None)));
    }

    #[test]
    fn malformed_filter_requests_are_ignored() {
        let long = filter_request(1, Some(&"x".repeat(MAX_FILTER_REQUEST_LEN + 1)));
        for bytes in
            [&b"\x02\x03"[..], b"\x02x tcp\x03", b"\x02 \x03", b"\x03", b"\x021 \xff\x03", &long, b"\n."]
        {
            let mut parser = ControlParser::default();
            assert_eq!(parser.parse(bytes), ControlEvents::default());
            assert_eq!(parser.parse(&filter_request(2, Some("udp"))), filter(2, "udp"));
        }
        assert!(ControlParser::default().parse(b"\x021 tc\x04").finish);
    }

    #[test]
    fn a_filter_reply_is_parsed_as_it_was_written() {
        assert_eq!(parse_filter_reply(filter_reply(7, Ok(())).as_bytes()), Some((7, Ok(()))));
        assert_eq!(
            parse_filter_reply(filter_reply(7, Err("no\nway")).as_bytes()),
            Some((7, Err(SafeText::new("no way"))))
        );
        for other in [&b""[..], b"filter", b"filter x: y", b"\xff", b"7:"] {
            assert_eq!(parse_filter_reply(other), None);
        }
    }
}
