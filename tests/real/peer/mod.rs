//! Streams of other containerdump processes.

use crate::support::harness::Test;

pub(crate) mod peer_faults;
pub(crate) mod peer_session;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] = &[peer_faults::TESTS, peer_session::TESTS];
