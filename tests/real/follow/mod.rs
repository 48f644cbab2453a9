//! Containers that start and stop during a capture.

use crate::support::harness::Test;

pub(crate) mod engine_restarts;
pub(crate) mod first_packets;
pub(crate) mod join_without_veth;
pub(crate) mod restarts;
pub(crate) mod session_changes;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[
    engine_restarts::TESTS,
    first_packets::TESTS,
    join_without_veth::TESTS,
    restarts::TESTS,
    session_changes::TESTS,
];
