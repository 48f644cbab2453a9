//! Output files and signals.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
