//! A request to the broker: one that is accepted has valid names and limits, and is the same when it is sent again.

#![no_main]

use std::path::Path;

use containerdump::broker::TapLocation;
use containerdump::capture::MAX_SNAP_LEN;
use containerdump::container::endpoint::NamespaceRef;
use containerdump::fuzzing;
use containerdump::link::NETNS_DIR;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = fuzzing::tap_request(data) else { return };
    let (names, holder) = match &request.place {
        TapLocation::HostVeth { name, expected_holder, .. } => {
            (std::slice::from_ref(name), expected_holder.as_ref())
        }
        TapLocation::Inside { holder, interfaces } => (interfaces.as_slice(), Some(holder)),
    };
    assert!((1..=64).contains(&names.len()));
    for name in names {
        assert!((1..16).contains(&name.len()) && !name.contains(['/', '\0', ' ', ':']), "{name:?}");
    }
    if let Some(NamespaceRef::File(file)) = holder {
        let below = file.path.strip_prefix(Path::new(NETNS_DIR)).expect("a file of the folder");
        assert_eq!(below.components().count(), 1);
        assert!(below.file_name().is_some() && !file.path.ends_with(".."));
    }
    assert!((1..=MAX_SNAP_LEN).contains(&request.snap_length) && request.ring_kib <= 2046 * 1024);
    assert!(!request.filter.as_deref().unwrap_or_default().contains('\0'));
    assert_eq!(request.settings().snap_length, request.snap_length);
    let again = serde_json::to_vec(&request).expect("JSON");
    assert_eq!(fuzzing::tap_request(&again), Ok(request));
});
