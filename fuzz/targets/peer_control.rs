//! Control messages of the reader of a stream: they are the same however the input is split, and a filter is limited.

#![no_main]

use containerdump::peer::{ControlEvents, ControlParser};
use containerdump_fuzz::parameters;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([size, long], data)) = parameters(data) else { return };
    // A filter request without an end is in front of it in some runs.
    let begun =
        if long == 0 { Vec::new() } else { [b"\x021 ", &b"x".repeat(usize::from(long) * 32)[..]].concat() };
    let input = [begun, data.to_vec()].concat();
    let whole = parse(&input, input.len());
    assert_eq!(parse(&input, 1 + usize::from(size)), whole);
    if let Some((_, Some(filter))) = whole.filter {
        assert!((1..=4016).contains(&filter.len()) && filter.trim() == filter);
        assert!(!filter.contains(['\u{2}', '\u{3}', '\u{4}']));
    }
});

fn parse(input: &[u8], piece: usize) -> ControlEvents {
    let (mut parser, mut all) = (ControlParser::default(), ControlEvents::default());
    for piece in input.chunks(piece.max(1)) {
        let events = parser.parse(piece);
        all.finish |= events.finish;
        all.filter = events.filter.or(all.filter);
    }
    all
}
