//! What the two programs say to each other before anything else.

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::peer::compression::CompressionMode;

/// The first word that the program says there.
pub const HELLO: &str = "containerdump-peer";
/// What it speaks: the options of `list` and `capture`, the JSON of the list, the stream of a capture.
pub const PROTOCOL: u32 = 1;
/// The longest request.
const MOST: usize = 64 * 1024;

/// The first line that the program says there.
pub fn hello() -> String {
    format!("{HELLO} {PROTOCOL} {}\n", env!("CARGO_PKG_VERSION"))
}

/// The protocol and the version in a first line, if it is one; what a login shell printed without a line end is before it.
pub(crate) fn parse_hello(line: &str) -> Option<(u32, &str)> {
    let (protocol, version) = line.trim_end().split_once(HELLO)?.1.strip_prefix(' ')?.split_once(' ')?;
    Some((protocol.parse().ok()?, version))
}

/// What is asked of the program there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequest {
    /// A command line of the program's: a verb, and its options.
    pub arguments: Vec<String>,
    /// Whether the stream of a capture comes packed. Programs that do not know of it send it as it is.
    #[serde(default)]
    pub compress: CompressionMode,
}

impl PeerRequest {
    /// Reads one from `input`, and not a byte more.
    ///
    /// Fails when what comes is none.
    pub fn read(mut input: impl Read) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::new(
                format!("cannot understand what standard input asks for: {why}"),
                "this is started by containerdump on another host, and not by hand: containerdump list --host",
            )
        };
        let (mut line, mut byte) = (Vec::new(), [0]);
        while line.len() < MOST {
            match input.read(&mut byte) {
                Ok(1) if byte[0] == b'\n' => {
                    return serde_json::from_slice(&line).map_err(|error| wrong(&error.to_string()));
                }
                Ok(1) => line.push(byte[0]),
                Ok(_) => return Err(wrong("it ended")),
                Err(error) => return Err(wrong(&error.to_string())),
            }
        }
        Err(wrong("it is too long"))
    }

    /// The line that asks for it.
    pub fn line(&self) -> String {
        // Texts and addresses can always be written.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let arguments = vec!["capture".to_owned(), "it's \\ \"x\"\n\u{1b}".to_owned()];
        let request = PeerRequest { arguments, compress: CompressionMode::Auto };
        let line = request.line() + "....";
        let mut rest = line.as_bytes();
        assert_eq!(PeerRequest::read(&mut rest).expect("a request"), request);
        assert_eq!(rest, b"....");
    }

    #[test]
    fn who_does_not_ask_for_a_packed_stream_gets_none() {
        let request = PeerRequest::read(&b"{\"arguments\":[]}\n"[..]).expect("a request");
        assert_eq!(request.compress, CompressionMode::Off);
        assert!(PeerRequest::read(&b"{\"arguments\":[],\"compress\":\"gzip\"}\n"[..]).is_err());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for wrong in ["", "\n", "{}", "{}\n", "x\n", &"x".repeat(2 * MOST)] {
            assert!(PeerRequest::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_greeting_is_known_by_its_first_word() {
        assert_eq!(parse_hello(&hello()), Some((PROTOCOL, env!("CARGO_PKG_VERSION"))));
        assert_eq!(parse_hello("\u{1b}]0;ann\u{7}containerdump-peer 2 0.9\r"), Some((2, "0.9")));
        assert_eq!(parse_hello("containerdump-peers 1 x"), None);
        assert_eq!(parse_hello("containerdump-peer x 1"), None);
    }
}
