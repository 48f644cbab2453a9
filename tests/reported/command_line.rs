//! The command line: suggestions, names, tables.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
