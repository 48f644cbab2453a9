//! What a reader of a capture gets, byte for byte, however it reads and whatever is sent.

use crate::support::harness::Test;

pub(crate) mod container_pairs;
pub(crate) mod cooked_links;
pub(crate) mod ends;
pub(crate) mod frame_kinds;
pub(crate) mod link_changes;
pub(crate) mod peers;
pub(crate) mod programs;
pub(crate) mod readers;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[
    container_pairs::TESTS,
    cooked_links::TESTS,
    ends::TESTS,
    frame_kinds::TESTS,
    link_changes::TESTS,
    peers::TESTS,
    programs::TESTS,
    readers::TESTS,
];
