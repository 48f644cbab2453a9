//! The options dialog: kept values, defaults, unknown options.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
