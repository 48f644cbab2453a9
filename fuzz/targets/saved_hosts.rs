//! The files of saved hosts: what is read is written so that it is read again, and text of another host can be shown.

#![no_main]

use containerdump::fuzzing;
use containerdump::saved_hosts::{SavedHost, is_local_interface};
use containerdump::ssh::{Elevation, Host};
use containerdump_fuzz::{assert_safe, parameters};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(([mode], data)) = parameters(data) else { return };
    if mode % 2 == 0 { check_hosts(data) } else { check_cache(data) }
});

fn check_hosts(data: &[u8]) {
    let Ok(hosts) = fuzzing::saved_hosts(data) else { return };
    let again = fuzzing::saved_hosts(fuzzing::saved_hosts_json(&hosts).as_bytes()).expect("what was written");
    assert!(hosts.iter().eq(again.iter()));
    for (name, saved) in hosts.iter() {
        let text = name.as_str();
        assert!((1..=32).contains(&text.len()) && !is_local_interface(text));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)));
        assert!(hosts.get(text).is_ok_and(|(_, found)| found == saved));
        let interface = format!("{text}-docker-web");
        let (found, ..) = hosts.find_by_interface(&interface).expect("an interface of the host");
        assert!(interface.starts_with(found.as_str()));
        if let Ok(host) = saved.to_host(name) {
            assert_safe(&host.label(), 80);
        }
    }
}

fn check_cache(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let host: Host = "ann@192.0.2.7".parse().expect("a host");
    let Some(cached) = fuzzing::cached_host(text, &SavedHost { host, elevation: Elevation::None, key: None })
    else {
        return;
    };
    assert!(text.ends_with(&cached.containers));
    cached.error.iter().for_each(|error| assert_safe(error, 200));
    cached.is_stale();
}
