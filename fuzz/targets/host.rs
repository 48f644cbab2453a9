//! Addresses of hosts: no part becomes an option or is special to a shell, and an address is parsed as it was written.

#![no_main]

use containerdump::ssh::Host;
use containerdump_fuzz::assert_safe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(host) = text.parse::<Host>() else { return };
    for part in host.user().into_iter().chain([host.name()]) {
        assert!(!part.is_empty() && !part.starts_with('-') && part.len() <= 253);
        assert!(part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@:%".contains(&byte)));
    }
    assert_ne!(host.port(), Some(0));
    assert_safe(&host.label(), 80);
    assert_eq!(host.address().parse().as_ref(), Ok(&host));
    let again = host.clone().with_login(host.user(), host.port().map(|port| port.to_string()).as_deref());
    assert_eq!(again, Ok(host));
});
