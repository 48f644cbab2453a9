//! Requests that `containerdump serve` refuses, as another host could send them.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use containerdump::request::{CaptureRequest, ListFormat, ListRequest, PeerRequest};
use serde_json::{Value, json};

use crate::support::program::{NO_ENGINE, Running, program};

/// A request that is served.
fn capture() -> Value {
    let request = CaptureRequest { names: vec!["web".to_owned()], ..CaptureRequest::default() };
    let line = PeerRequest::Capture(request).to_line().expect("a line");
    serde_json::from_str(&line).expect("JSON")
}

/// The request with another value of a field.
fn with(field: &str, value: Value) -> Value {
    let mut request = capture();
    request["capture"][field] = value;
    request
}

/// What `serve` prints on standard error for a request.
fn refusal(request: &str) -> String {
    // As from ssh, standard input stays open.
    let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
    let mut command = program(NO_ENGINE);
    let running = Running::start(command.arg("serve").stdin(OwnedFd::from(theirs)));
    // It may have ended before it has read all.
    let _ = ours.write_all(format!("{request}\n").as_bytes());
    drop(command);
    let ended = running.ended();
    assert_eq!(ended.status.code(), Some(1), "{request}");
    assert!(ended.stdout.starts_with("containerdump-peer ") && ended.stdout.lines().count() == 1);
    ended.stderr
}

#[test]
fn a_request_with_an_unknown_field_is_refused_by_its_name() {
    for field in ["write", "host", "log_file", "leaves_out"] {
        let error = refusal(&with(field, json!("/tmp/x")).to_string());
        assert!(error.contains(&format!("unknown field `{field}`")), "{error}");
    }
    let list = json!({"list": {"names": [], "format": "json", "host": ["build2"]}});
    assert!(refusal(&list.to_string()).contains("unknown field `host`"));
    assert!(refusal(&json!({"arguments": ["list"]}).to_string()).contains("unknown variant `arguments`"));
}

#[test]
fn a_request_with_a_value_out_of_range_is_refused_by_the_name_of_its_field() {
    let many = vec!["x"; 1001];
    for (field, value) in [
        ("snap_length", json!(0)),
        ("snap_length", json!(262_145)),
        ("buffer_mib", json!(2047)),
        ("names", json!(many)),
        ("networks", json!(["x".repeat(5000)])),
        ("filter", json!("x".repeat(20_000))),
    ] {
        let error = refusal(&with(field, value).to_string());
        assert!(error.contains(&format!("invalid request on standard input: {field} ")), "{error}");
    }
    for (field, value) in [("tap", "window"), ("duplicates", "both"), ("compress", "gzip")] {
        let error = refusal(&with(field, json!(value)).to_string());
        assert!(error.contains(&format!("unknown variant `{value}`")), "{error}");
    }
    for (field, value) in [("snap_length", json!(-1)), ("names", json!("web")), ("labels", json!([""]))] {
        let error = refusal(&with(field, value).to_string());
        assert!(error.contains("invalid request on standard input: "), "{field}: {error}");
    }
}

#[test]
fn a_request_that_is_too_long_or_not_json_is_refused() {
    assert!(refusal(&"x".repeat(100_000)).contains("it is longer than 64 KiB"));
    for wrong in ["", "x", "[]", "{}", "null"] {
        assert!(refusal(wrong).contains("invalid request on standard input: "), "{wrong}");
    }
}

#[test]
fn a_request_that_does_not_arrive_times_out() {
    let (mut ours, theirs) = UnixStream::pair().expect("two sockets");
    let mut command = program(NO_ENGINE);
    let running = Running::start(command.arg("serve").stdin(OwnedFd::from(theirs)));
    drop(command);
    let writer = std::thread::spawn(move || {
        // A byte now and then does not extend the time.
        while ours.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let ended = running.ended();
    writer.join().expect("it ends");
    assert!(ended.stderr.contains("none within 20 seconds"), "{}", ended.stderr);
}

#[test]
fn a_valid_request_is_served() {
    // Without an engine, a valid request fails at the engine.
    let list = PeerRequest::List(ListRequest { names: Vec::new(), format: ListFormat::Json });
    for request in [capture().to_string(), list.to_line().expect("a line").trim().to_owned()] {
        let error = refusal(&request);
        assert!(!error.contains("invalid request"), "{error}");
    }
}
