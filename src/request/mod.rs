//! A request to containerdump on another host: one line of JSON, after its greeting.
//!
//! Everything that arrives is hostile: a request has exactly these fields, and each is checked before it is used.

mod capture;
mod limits;
mod list;

use std::io::Read;

use serde::{Deserialize, Serialize};

pub use capture::{BUFFER_MIB, CaptureRequest};
pub use list::{ListFormat, ListRequest};

use crate::error::Error;

/// Bytes of a request, without its line end.
const MAX_REQUEST_LEN: usize = 64 * 1024;

/// A request to the program on another host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerRequest {
    /// The containers of the host.
    List(ListRequest),
    /// The packets of containers of the host.
    Capture(CaptureRequest),
}

impl PeerRequest {
    /// Reads one line from `input`, and not a byte more.
    ///
    /// Fails when it is not a request, has an unknown field or a value out of range.
    pub fn read(mut input: impl Read) -> Result<Self, Error> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while line.len() <= MAX_REQUEST_LEN {
            match input.read(&mut byte) {
                Ok(1) if byte[0] == b'\n' => return Self::parse(&line).map_err(|reason| invalid(&reason)),
                Ok(1) => line.push(byte[0]),
                Ok(_) => return Err(invalid("unexpected end of input")),
                Err(error) => return Err(invalid(&error.to_string())),
            }
        }
        Err(invalid(&too_long()))
    }

    fn parse(line: &[u8]) -> Result<Self, String> {
        let request: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        request.validate()?;
        Ok(request)
    }

    /// The request as a line.
    ///
    /// Fails when the other side would refuse it.
    pub fn to_line(&self) -> Result<String, Error> {
        self.encode().map_err(|reason| {
            Error::new(
                format!("cannot send the request: {reason}"),
                "ask for fewer containers at once, or --all",
            )
        })
    }

    fn encode(&self) -> Result<String, String> {
        self.validate()?;
        let line = serde_json::to_string(self).map_err(|error| error.to_string())?;
        if line.len() > MAX_REQUEST_LEN { Err(too_long()) } else { Ok(line + "\n") }
    }

    fn validate(&self) -> Result<(), String> {
        match self {
            Self::List(request) => request.validate(),
            Self::Capture(request) => request.validate(),
        }
    }
}

fn too_long() -> String {
    format!("it is longer than {} KiB", MAX_REQUEST_LEN / 1024)
}

fn invalid(reason: &str) -> Error {
    Error::new(
        format!("invalid request on standard input: {reason}"),
        "install the same version of containerdump on both hosts; to list or capture by hand, use --host HOST",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> CaptureRequest {
        CaptureRequest { names: vec!["it's \\ \"x\"\n\u{1b}".to_owned()], ..CaptureRequest::default() }
    }

    /// The reason why `line` is refused.
    fn refusal(line: &str) -> String {
        PeerRequest::read(format!("{line}\n").as_bytes()).expect_err(line).message().to_string()
    }

    #[test]
    fn a_request_is_read_as_it_was_written_and_nothing_behind_it() {
        let list = ListRequest { names: vec!["web".to_owned()], format: ListFormat::Taps };
        for request in [PeerRequest::Capture(capture()), PeerRequest::List(list)] {
            let line = request.to_line().expect("a line") + "....";
            let mut rest = line.as_bytes();
            assert_eq!(PeerRequest::read(&mut rest).expect("a request"), request);
            assert_eq!(rest, b"....");
        }
    }

    #[test]
    fn a_request_with_an_unknown_or_missing_field_is_refused_by_its_name() {
        let line = PeerRequest::Capture(capture()).to_line().expect("a line");
        let with = line.replace("{\"names\"", "{\"write\":\"/etc/passwd\",\"names\"");
        assert!(refusal(with.trim()).contains("unknown field `write`"), "{}", refusal(with.trim()));
        let without = line.replace("\"follow\":false,", "");
        assert!(refusal(without.trim()).contains("missing field `follow`"), "{}", refusal(without.trim()));
        let list = r#"{"list":{"names":[],"format":"json","host":"build2"}}"#;
        assert!(refusal(list).contains("unknown field `host`"), "{}", refusal(list));
        assert!(refusal(r#"{"install":{}}"#).contains("unknown variant `install`"));
    }

    #[test]
    fn anything_but_a_request_is_refused() {
        for wrong in
            ["", "{}", "x", "[]", "null", "{\"arguments\":[\"list\"]}", &"x".repeat(2 * MAX_REQUEST_LEN)]
        {
            assert!(refusal(wrong).starts_with("invalid request on standard input: "), "{wrong}");
        }
        assert!(PeerRequest::read(&b"{\"list\""[..]).is_err());
    }

    #[test]
    fn a_request_that_the_other_side_would_refuse_is_not_sent() {
        let names = vec!["x".repeat(4000); 100];
        let request = PeerRequest::Capture(CaptureRequest { names, ..capture() });
        let error = request.to_line().expect_err("it is too long");
        assert!(error.to_string().contains("it is longer than 64 KiB"), "{error}");
    }
}
