//! What a reader of a capture gets, byte for byte, however it reads and whatever is sent.

use crate::support::harness::Test;

pub(crate) mod ends;
pub(crate) mod frame_kinds;
pub(crate) mod readers;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[ends::TESTS, frame_kinds::TESTS, readers::TESTS];
