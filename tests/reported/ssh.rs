//! Hosts reached by ssh: shells, settings, messages, names.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
