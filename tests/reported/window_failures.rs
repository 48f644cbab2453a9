//! Captures that fail early, in Wireshark's window.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
