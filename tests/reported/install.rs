//! Installing from the README on a bare Debian; the doctor.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
