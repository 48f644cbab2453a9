//! What an engine tells as it happens: lines of JSON, without end.
//!
//! An event is taken for a hint that something may have changed and for no more, so that nothing depends
//! on its being true, complete or in order. Docker 20.10 and Podman 4.3 send the head of their answer with
//! the first event only: nothing tells from when on they would have told.

use std::future::poll_fn;
use std::pin::Pin;

use bollard::errors::Error;
use hyper::body::Body as _;
use serde_json::{Value, json};

use super::ask::{self, encoded};
use super::failure::Failure;
use crate::container::ContainerId;
use crate::endpoint::Endpoint;

/// Longest line that is read: an event has all labels of its container, each of which may be as long as
/// it likes. What is longer counts as an event that says nothing.
const LONGEST_LINE: usize = 64 * 1024;

/// What happens to a container or its networks and may change where its packets pass; of Podman's own
/// words `died` and `remove`. Others, as those of health checks, come many times a second.
const OF_INTEREST: [&str; 9] =
    ["start", "restart", "die", "died", "rename", "destroy", "remove", "connect", "disconnect"];

/// What an event hints at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// This container may be another process from now on.
    Started(ContainerId),
    /// Something may have changed.
    Something,
}

/// Reads the events of an engine, and hands each hint to `take`, until the connection breaks: why, is
/// returned.
pub(super) async fn read(endpoint: &Endpoint, mut take: impl FnMut(Hint)) -> Failure {
    let filters = json!({ "type": ["container", "network"] }).to_string();
    let path = format!("/events?filters={}", encoded(&filters));
    let mut body = match ask::stream(endpoint, &path).await {
        Ok(body) => body,
        Err(failure) => return failure,
    };
    let mut lines = Lines::default();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame {
            Ok(frame) => {
                let Ok(data) = frame.into_data() else { continue };
                lines.take(&data, |line| {
                    if let Some(hint) = line.map_or(Some(Hint::Something), hint) {
                        take(hint);
                    }
                });
                // A flood must not keep others on this thread from their turn.
                tokio::task::yield_now().await;
            }
            Err(error) => return Error::from(error).into(),
        }
    }
    Failure::Other("it ended its events".to_owned())
}

fn hint(line: &[u8]) -> Option<Hint> {
    let event: Value = serde_json::from_slice(line).ok()?;
    let action = event["Action"].as_str().or(event["status"].as_str())?;
    if !OF_INTEREST.contains(&action) {
        return None;
    }
    let id = event["Actor"]["ID"].as_str().or(event["id"].as_str()).and_then(ContainerId::parse);
    let is_start = ["start", "restart"].contains(&action) && event["Type"] == "container";
    Some(id.filter(|_| is_start).map_or(Hint::Something, Hint::Started))
}

/// Bytes taken apart into lines, of which none is kept beyond the longest.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Hands on each line that ends within `bytes`; `None` for one that was too long.
    fn take(&mut self, bytes: &[u8], mut hand_on: impl FnMut(Option<&[u8]>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |part| (part, true));
            if self.begun.len() + part.len() > LONGEST_LINE {
                self.is_too_long = true;
                self.begun.clear();
            }
            if !self.is_too_long {
                self.begun.extend_from_slice(part);
            }
            if ends {
                hand_on(Some(self.begun.as_slice()).filter(|_| !self.is_too_long));
                self.begun.clear();
                self.is_too_long = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, action: &str) -> Vec<u8> {
        json!({ "Type": kind, "Action": action, "Actor": { "ID": "ab".repeat(32) } }).to_string().into_bytes()
    }

    #[test]
    fn only_what_may_move_packets_is_a_hint() {
        let id = ContainerId::parse(&"ab".repeat(32)).expect("an id");
        assert_eq!(hint(&event("container", "start")), Some(Hint::Started(id)));
        assert_eq!(hint(&event("container", "rename")), Some(Hint::Something));
        assert_eq!(hint(&event("network", "connect")), Some(Hint::Something));
        assert_eq!(hint(&event("container", "exec_start: /bin/true")), None);
        for nonsense in [&b""[..], b"{", b"7", b"\xff", b"[[[[", br#"{"Action":7}"#] {
            assert_eq!(hint(nonsense), None);
        }
        assert_eq!(hint(br#"{"Type":"container","Action":"start","id":"../x"}"#), Some(Hint::Something));
    }

    #[test]
    fn lines_come_in_any_pieces_and_none_grows_without_end() {
        let mut lines = Lines::default();
        let mut told: Vec<Option<Vec<u8>>> = Vec::new();
        for piece in [&b"o"[..], b"ne\ntw", b"o\n\n"] {
            lines.take(piece, |line| told.push(line.map(<[u8]>::to_vec)));
        }
        assert_eq!(told, [Some(b"one".to_vec()), Some(b"two".to_vec()), Some(Vec::new())]);
        told.clear();
        for _ in 0..100 {
            lines.take(&[b'x'; 4096], |line| told.push(line.map(<[u8]>::to_vec)));
            assert!(lines.begun.len() <= LONGEST_LINE);
        }
        lines.take(b"\nnext\n", |line| told.push(line.map(<[u8]>::to_vec)));
        assert_eq!(told, [None, Some(b"next".to_vec())]);
    }
}
