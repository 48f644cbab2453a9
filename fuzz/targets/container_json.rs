//! The JSON of engines: whatever it contains, names can be shown, interface values are unique and sizes limited.

#![no_main]

use std::collections::HashSet;

use containerdump::container::{
    Container, ContainerMatch, Network, assign_values, find_container, preference_key,
};
use containerdump::fuzzing;
use containerdump_fuzz::assert_safe;
use libfuzzer_sys::fuzz_target;

const MAX_NAME_LEN: usize = 500;
/// Engine, name, and the short id for the second of the same name.
const MAX_VALUE_LEN: usize = "podman-".len() + 128 + 2 * 13;

fuzz_target!(|data: &[u8]| {
    let Ok(json) = std::str::from_utf8(data) else { return };
    if let Some((Some(inspection), _)) = fuzzing::container_inspection(json) {
        assert!(inspection.pid > 0);
        assert_safe(&inspection.started_at, 80);
        inspection.networks.iter().for_each(check_network);
    }
    let Some((mut containers, _)) = fuzzing::container_list(json) else { return };
    let mut ids = HashSet::new();
    // An engine that lists an id twice means one container.
    containers.retain(|container| ids.insert(container.id.clone()));
    assign_values(&mut containers);
    let mut keys = HashSet::new();
    for container in &containers {
        check(container);
        assert!(keys.insert(preference_key(&container.value)), "two are the same to Wireshark");
        assert_eq!(find_container(&containers, &container.value, true), ContainerMatch::Unique(container));
    }
});

fn check(container: &Container) {
    let Container { name, image, project, service, labels, networks, value, .. } = container;
    assert_safe(name, MAX_NAME_LEN);
    assert_safe(image, MAX_NAME_LEN);
    project.iter().chain(service).for_each(|label| assert_safe(label, MAX_NAME_LEN));
    assert!(labels.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= 16 * 1024);
    networks.iter().for_each(check_network);
    assert!(value.len() <= MAX_VALUE_LEN && value.starts_with("docker-"));
    assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)));
}

fn check_network(network: &Network) {
    assert_safe(&network.name, MAX_NAME_LEN);
    assert_safe(&network.mac, 80);
    network.aliases.iter().for_each(|alias| assert_safe(alias, 80));
    assert!(network.aliases.len() <= 16 && network.addresses.len() <= 2 && network.gateways.len() <= 2);
}
