//! Dropped packets in Wireshark's statistics, capinfos and the status bar.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
