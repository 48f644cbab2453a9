//! Notifications of rtnetlink: every datagram is read to its end.

#![no_main]

use containerdump::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let links = fuzzing::links(data);
    assert!(links.len() <= data.len() / 16);
    for (name, address) in links {
        assert!(name.len() <= 3 * data.len() && address.len() <= data.len());
    }
});
