//! The attach stream of a tap container: the result does not depend on how it is split, and memory does not grow.

#![no_main]

use containerdump::fuzzing::AttachStream;
use containerdump_fuzz::{assert_safe, parameters};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([size], data)) = parameters(data) else { return };
    let whole = decode(data, data.len());
    let parts = decode(data, 1 + usize::from(size));
    assert_eq!(whole.is_some(), parts.is_some());
    if whole.is_some() {
        assert_eq!(whole, parts);
    }
});

/// What goes to stdout and the end of stderr; `None` if a frame is invalid.
fn decode(data: &[u8], piece: usize) -> Option<(Vec<u8>, String)> {
    let (mut stream, mut stdout) = (AttachStream::default(), Vec::new());
    for piece in data.chunks(piece.max(1)) {
        let mut piece = piece.to_vec();
        let kept = stream.decode(&mut piece).ok()?;
        stdout.extend_from_slice(&piece[..kept]);
    }
    assert!(stdout.len() <= data.len());
    assert_safe(&stream.stderr(), 4096);
    Some((stdout, stream.stderr().to_string()))
}
