//! Names of addresses: repeated, kept, shared by several containers.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
