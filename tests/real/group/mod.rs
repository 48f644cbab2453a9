//! Captures of several containers at once.

use crate::support::harness::Test;

pub(crate) mod deduplication;
pub(crate) mod deduplication_changes;
pub(crate) mod group_selection;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] =
    &[deduplication::TESTS, deduplication_changes::TESTS, group_selection::TESTS];
