//! The interface list and the profile.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
