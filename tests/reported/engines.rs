//! Addresses and settings of engines.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
