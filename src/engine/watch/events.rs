//! The event stream of an engine: JSON lines without end.
//!
//! An event is only a hint that something may have changed, so events may be wrong, incomplete or out of order. Docker
//! 20.10 and Podman 4.3 send the response head with the first event: the start of the stream is not visible.

use std::future::poll_fn;
use std::pin::Pin;

use bollard::errors::Error as BollardError;
use hyper::body::Body as _;
use serde::Deserialize;
use serde_json::json;

use crate::container::ContainerId;
use crate::container::endpoint::Endpoint;
use crate::engine::client::error::RequestError;
use crate::engine::client::lenient::{JsonText, LenientObject, lenient};
use crate::engine::client::request::{self, percent_encoded};

/// An event has all labels of its container, of any size. A longer line counts as an event without details.
const MAX_EVENT_LEN: usize = 64 * 1024;

/// Actions that may change where a container's packets pass; `died` and `remove` are Podman's. Others, such as those of
/// health checks, occur many times a second.
const RELEVANT_ACTIONS: [&str; 9] =
    ["start", "restart", "die", "died", "rename", "destroy", "remove", "connect", "disconnect"];

/// The meaning of an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EventHint {
    /// This container may have a new process.
    Started(ContainerId),
    /// Any container may have changed.
    Changed,
}

/// Reads the events of an engine and passes each hint to `on_hint` until the connection breaks. Returns why it broke.
pub(super) async fn read(endpoint: &Endpoint, mut on_hint: impl FnMut(EventHint)) -> RequestError {
    let filters = json!({ "type": ["container", "network"] }).to_string();
    let path = format!("/events?filters={}", percent_encoded(&filters));
    let mut body = match request::open_stream(endpoint, &path).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let mut lines = LineSplitter::default();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame {
            Ok(frame) => {
                let Ok(data) = frame.into_data() else { continue };
                lines.push(&data, |line| {
                    if let Some(hint) = line.map_or(Some(EventHint::Changed), hint) {
                        on_hint(hint);
                    }
                });
                // A flood of events must not block other tasks of this thread.
                tokio::task::yield_now().await;
            }
            Err(error) => return BollardError::from(error).into(),
        }
    }
    RequestError::Other("the event stream ended".to_owned())
}

/// A word of an event: an action, a kind or an id.
type EventWord = JsonText<128>;

/// The fields that are read of an event; `status` and `id` are older names.
#[derive(Default, Deserialize)]
#[serde(default)]
struct EventJson {
    #[serde(rename = "Action", deserialize_with = "lenient")]
    action: EventWord,
    #[serde(deserialize_with = "lenient")]
    status: EventWord,
    #[serde(rename = "Type", deserialize_with = "lenient")]
    kind: EventWord,
    #[serde(rename = "Actor", deserialize_with = "lenient")]
    actor: ActorJson,
    #[serde(deserialize_with = "lenient")]
    id: EventWord,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ActorJson {
    #[serde(rename = "ID", deserialize_with = "lenient")]
    id: EventWord,
}

impl LenientObject for ActorJson {}

pub(crate) fn hint(line: &[u8]) -> Option<EventHint> {
    let event: EventJson = serde_json::from_slice(line).ok()?;
    let first = |one: EventWord, other: EventWord| if one.0.is_empty() { other.0 } else { one.0 };
    let action = first(event.action, event.status);
    if !RELEVANT_ACTIONS.contains(&action.as_str()) {
        return None;
    }
    let id = ContainerId::parse(&first(event.actor.id, event.id));
    let is_start = ["start", "restart"].contains(&action.as_str()) && event.kind.0 == "container";
    Some(id.filter(|_| is_start).map_or(EventHint::Changed, EventHint::Started))
}

/// Splits a stream into lines and keeps at most one line of the maximum length.
#[derive(Default)]
pub(crate) struct LineSplitter {
    partial: Vec<u8>,
    is_too_long: bool,
}

impl LineSplitter {
    /// Passes each line that ends within `bytes` to `on_line`; `None` for one that was too long.
    pub(crate) fn push(&mut self, bytes: &[u8], mut on_line: impl FnMut(Option<&[u8]>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |part| (part, true));
            if self.partial.len() + part.len() > MAX_EVENT_LEN {
                self.is_too_long = true;
                self.partial.clear();
            }
            if !self.is_too_long {
                self.partial.extend_from_slice(part);
            }
            if ends {
                on_line(Some(self.partial.as_slice()).filter(|_| !self.is_too_long));
                self.partial.clear();
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
    fn only_relevant_events_are_hints() {
        let id = ContainerId::parse(&"ab".repeat(32)).expect("an id");
        assert_eq!(hint(&event("container", "start")), Some(EventHint::Started(id)));
        assert_eq!(hint(&event("container", "rename")), Some(EventHint::Changed));
        assert_eq!(hint(&event("network", "connect")), Some(EventHint::Changed));
        assert_eq!(hint(&event("container", "exec_start: /bin/true")), None);
        for invalid in [&b""[..], b"{", b"7", b"\xff", b"[[[[", br#"{"Action":7}"#] {
            assert_eq!(hint(invalid), None);
        }
        assert_eq!(hint(br#"{"Type":"container","Action":"start","id":"../x"}"#), Some(EventHint::Changed));
    }

    #[test]
    fn lines_are_split_across_reads_and_limited_in_length() {
        let mut lines = LineSplitter::default();
        let mut received: Vec<Option<Vec<u8>>> = Vec::new();
        for piece in [&b"o"[..], b"ne\ntw", b"o\n\n"] {
            lines.push(piece, |line| received.push(line.map(<[u8]>::to_vec)));
        }
        assert_eq!(received, [Some(b"one".to_vec()), Some(b"two".to_vec()), Some(Vec::new())]);
        received.clear();
        for _ in 0..100 {
            lines.push(&[b'x'; 4096], |line| received.push(line.map(<[u8]>::to_vec)));
            assert!(lines.partial.len() <= MAX_EVENT_LEN);
        }
        lines.push(b"\nnext\n", |line| received.push(line.map(<[u8]>::to_vec)));
        assert_eq!(received, [None, Some(b"next".to_vec())]);
    }
}
