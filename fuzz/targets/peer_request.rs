//! A request of another host: not a byte behind its line is read, and one that is accepted is the same when it is sent again.

#![no_main]

use containerdump::capture::MAX_SNAP_LEN;
use containerdump::request::{BUFFER_MIB, CaptureRequest, PeerRequest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let Ok(request) = PeerRequest::read(&mut rest) else { return };
    let line = data.iter().position(|byte| *byte == b'\n').expect("a line");
    assert_eq!(rest, &data[line + 1..]);
    match &request {
        PeerRequest::List(list) => check_texts(&list.names),
        PeerRequest::Capture(capture) => check(capture),
    }
    let again = request.to_line().expect("a request that was accepted");
    assert_eq!(PeerRequest::read(again.as_bytes()).as_ref(), Ok(&request));
});

fn check(capture: &CaptureRequest) {
    check_texts(&capture.names);
    check_texts(&capture.projects);
    check_texts(&capture.networks);
    assert!((1..=MAX_SNAP_LEN).contains(&capture.snap_length));
    assert!(capture.buffer_mib.is_none_or(|size| BUFFER_MIB.contains(&size)));
    let selection = capture.selection();
    assert_eq!(selection.names, capture.names);
    assert_eq!(selection.criteria.len(), usize::from(capture.has_criteria()));
}

fn check_texts(texts: &[String]) {
    assert!(texts.len() <= 1000 && texts.iter().all(|text| text.len() <= 4096));
}
