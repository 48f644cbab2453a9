//! Control groups and command lines of processes, which any user chooses: a container has a name, and an id only if it is
//! one.

#![no_main]

use containerdump::fuzzing::{self, RuntimeContainer};
use containerdump_fuzz::parameters;
use libfuzzer_sys::fuzz_target;

const WITH_IDS: [&str; 5] = ["docker", "podman", "containerd", "cri-o", "container"];

fuzz_target!(|data: &[u8]| {
    let Some(([mode], data)) = parameters(data) else { return };
    let found = if mode % 2 == 0 {
        std::str::from_utf8(data).ok().and_then(fuzzing::container_of_cgroup)
    } else {
        fuzzing::container_of_monitor(data)
    };
    found.iter().for_each(check);
});

fn check((runtime, key, id, name): &RuntimeContainer) {
    assert!(!key.is_empty() && !name.is_empty(), "{runtime}: {key:?} {name:?}");
    if WITH_IDS.contains(runtime) {
        assert_eq!(id.as_ref().map(|id| id.as_str()), Some(key.as_str()));
    }
}
