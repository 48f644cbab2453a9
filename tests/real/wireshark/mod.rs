//! The real Wireshark: tshark, the toolbar's pipes, and the window.

use crate::support::harness::Test;

pub(crate) mod hostile_lists;
pub(crate) mod joined_packets;
pub(crate) mod profile;
pub(crate) mod toolbar;
pub(crate) mod toolbar_faults;
pub(crate) mod tshark;
pub(crate) mod window;
pub(crate) mod window_toolbar;

/// The tests of every file here.
pub(crate) const TESTS: &[&[Test]] =
    &[profile::TESTS, toolbar::TESTS, toolbar_faults::TESTS, tshark::TESTS, window_toolbar::TESTS];
