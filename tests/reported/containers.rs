//! Which containers are found and captured.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
