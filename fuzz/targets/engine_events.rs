//! The event stream of an engine: lines are those of the stream however it is split, and only these are hints.

#![no_main]

use containerdump::fuzzing;
use containerdump_fuzz::parameters;
use libfuzzer_sys::fuzz_target;

const MAX_EVENT_LEN: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some(([size, long], data)) = parameters(data) else { return };
    // The first line is too long in some runs.
    let stream =
        [vec![b'x'; if long < 192 { 0 } else { MAX_EVENT_LEN - 192 + usize::from(long) }], data.to_vec()]
            .concat();
    let lines = fuzzing::event_lines(stream.chunks(1 + usize::from(size) * 16));
    let mut expected: Vec<&[u8]> = stream.split(|byte| *byte == b'\n').collect();
    // The last one has no end yet.
    expected.pop();
    assert_eq!(lines.len(), expected.len());
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line.as_deref(), Some(expected).filter(|line| line.len() <= MAX_EVENT_LEN));
        let (is_hint, started) = line.as_deref().map(fuzzing::event_hint).unwrap_or_default();
        if let Some(id) = started {
            assert!(is_hint && id.as_str().len() == 64);
        }
    }
});
