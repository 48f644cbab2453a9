//! Docker, Podman, and containers without either.

use crate::support::harness::Test;

pub(crate) mod container_list;
pub(crate) mod engine_watch;
pub(crate) mod hostile_events;
pub(crate) mod podman_containers;
pub(crate) mod remote_engines;
pub(crate) mod remote_host;
pub(crate) mod rootless_containers;
pub(crate) mod without_engine;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[
    container_list::TESTS,
    engine_watch::TESTS,
    remote_host::TESTS,
    podman_containers::TESTS,
    remote_engines::TESTS,
    rootless_containers::TESTS,
    without_engine::TESTS,
];
