//! A new capture filter for the program at the other end, and its answer: both halves of both.
//!
//! ```text
//! 2, a number, a blank, the filter, 3     on its standard input, among the bytes that keep it going
//! filter NUMBER: why not                  the comment of statistics; nothing after the colon where it is in force
//! ```

use super::FINISH;
use crate::safe_text::SafeText;

/// Begin and end of a filter (Start of Text, End of Text).
const BEGIN: u8 = 2;
const END: u8 = 3;
/// Bytes of a filter.
pub const MAX_FILTER_LEN: usize = 4000;
/// Bytes between begin and end.
const MOST: usize = MAX_FILTER_LEN + 16;
/// Characters of an answer.
const LONGEST_ANSWER: usize = 300;

/// What asks for a filter; without one, for every packet.
pub(super) fn asked(number: u32, filter: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![BEGIN];
    bytes.extend(format!("{number} ").into_bytes());
    // No byte of a filter says anything else.
    bytes.extend(filter.unwrap_or_default().bytes().map(|byte| if byte < b' ' { b' ' } else { byte }));
    bytes.push(END);
    bytes
}

/// What comes in at standard input, piece by piece.
#[derive(Debug, Default)]
pub struct ControlParser {
    /// A filter of which the end is missing.
    begun: Option<Vec<u8>>,
}

/// What was heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ControlEvents {
    /// The end is asked for.
    pub finish: bool,
    /// A number and the filter that is asked for; the last of several.
    pub filter: Option<(u32, Option<String>)>,
}

impl ControlParser {
    /// Takes the next piece.
    pub fn hear(&mut self, bytes: &[u8]) -> ControlEvents {
        let mut heard = ControlEvents::default();
        for byte in bytes {
            match (*byte, &mut self.begun) {
                (FINISH, _) => heard.finish = true,
                (BEGIN, begun) => *begun = Some(Vec::new()),
                (END, begun) => {
                    heard.filter = begun.take().and_then(|filter| parsed(&filter)).or(heard.filter);
                }
                (byte, Some(filter)) if filter.len() < MOST => filter.push(byte),
                // Too long to be one.
                (_, begun) => *begun = None,
            }
        }
        heard
    }
}

fn parsed(asked: &[u8]) -> Option<(u32, Option<String>)> {
    let (number, filter) = std::str::from_utf8(asked).ok()?.split_once(' ')?;
    let filter = filter.trim();
    Some((number.parse().ok()?, Some(filter.to_owned()).filter(|text| !text.is_empty())))
}

/// Tells what came of filter `number`.
pub fn filter_reply(number: u32, outcome: Result<(), &str>) -> String {
    let why = outcome.err().map(|why| SafeText::with_limit(why, LONGEST_ANSWER)).unwrap_or_default();
    format!("filter {number}: {why}")
}

/// Reads what was told by [`answer`].
pub(super) fn answered(comment: &[u8]) -> Option<(u32, Result<(), SafeText>)> {
    let text = String::from_utf8_lossy(comment);
    let (number, why) = text.strip_prefix("filter ")?.split_once(':')?;
    let why = SafeText::with_limit(why, LONGEST_ANSWER);
    Some((number.parse().ok()?, if why.is_empty() { Ok(()) } else { Err(why) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(number: u32, text: &str) -> ControlEvents {
        ControlEvents { finish: false, filter: Some((number, Some(text.to_owned()))) }
    }

    #[test]
    fn a_filter_is_heard_as_it_was_asked_for_however_it_is_cut() {
        let bytes = [&b"."[..], &asked(7, Some("tcp port 80\nor udp")), b".."].concat();
        assert_eq!(ControlParser::default().hear(&bytes), filter(7, "tcp port 80 or udp"));
        for cut in 2..bytes.len() - 2 {
            let mut listener = ControlParser::default();
            assert_eq!(listener.hear(&bytes[..cut]), ControlEvents::default());
            assert_eq!(listener.hear(&bytes[cut..]), filter(7, "tcp port 80 or udp"));
        }
        let none = ControlParser::default().hear(&asked(8, None));
        assert_eq!(none.filter, Some((8, None)));
    }

    #[test]
    fn what_is_no_filter_is_a_sign_of_life() {
        let long = asked(1, Some(&"x".repeat(MOST + 1)));
        for bytes in
            [&b"\x02\x03"[..], b"\x02x tcp\x03", b"\x02 \x03", b"\x03", b"\x021 \xff\x03", &long, b"\n."]
        {
            let mut listener = ControlParser::default();
            assert_eq!(listener.hear(bytes), ControlEvents::default());
            assert_eq!(listener.hear(&asked(2, Some("udp"))), filter(2, "udp"));
        }
        assert!(ControlParser::default().hear(b"\x021 tc\x04").finish);
    }

    #[test]
    fn an_answer_is_read_as_it_was_told() {
        assert_eq!(answered(filter_reply(7, Ok(())).as_bytes()), Some((7, Ok(()))));
        assert_eq!(
            answered(filter_reply(7, Err("no\nway")).as_bytes()),
            Some((7, Err(SafeText::new("no way"))))
        );
        for other in [&b""[..], b"filter", b"filter x: y", b"\xff", b"7:"] {
            assert_eq!(answered(other), None);
        }
    }
}
