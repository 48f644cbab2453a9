//! Lines for Wireshark with any text: Wireshark reads exactly the keys and values that were written, and no second line.

#![no_main]
#![allow(dead_code, unused_imports, reason = "modules of the program and of its tests")]
#![allow(clippy::pedantic)]

use containerdump::safe_text::SafeText;
use containerdump_fuzz::{assert_safe, parameters};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/program/extcap_parser/mod.rs"]
mod extcap_parser;
#[path = "../../extcap/wireshark/line.rs"]
mod line;

fuzz_target!(|data: &[u8]| {
    let Some(([split, limit], data)) = parameters(data) else { return };
    let (value, display) = data.split_at(usize::from(split).min(data.len()));
    let [value, display] = [value, display].map(String::from_utf8_lossy);
    let limit = 1 + usize::from(limit);
    for text in [&value, &display] {
        let safe = SafeText::with_limit(text, limit);
        assert_safe(&safe, limit);
        assert_eq!(SafeText::with_limit(safe.as_str(), limit), safe);
    }
    let line = line::ExtcapLine::new("interface").with("value", &value).with("display", &display);
    let printed = format!("{line}\n");
    let sentences = extcap_parser::sentences(printed.as_bytes());
    assert_eq!(sentences.len(), 1, "{printed:?}");
    let expected = [("value", &value), ("display", &display)]
        .map(|(key, text)| (key.to_owned(), SafeText::with_limit(text, 500).to_string()));
    assert_eq!((sentences[0].keyword.as_str(), &sentences[0].parameters[..]), ("interface", &expected[..]));
});
