//! What cannot be done, why, and the way out.

use std::fmt;

use crate::text::Label;

/// Longest text of either half, in characters. Wireshark keeps about 1 KiB of what a capture
/// source says, and both halves must be in it.
const LONGEST: usize = 400;

/// A failure as people read it: what was tried on what and why it failed, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    what: Label,
    remedy: Label,
}

impl Trouble {
    /// `what`: "cannot open interface veth12 of container web: no permission to capture".
    /// `remedy`: "run as root, or: sudo containerdump-install install".
    pub fn new(what: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self {
            what: Label::with_limit(what.as_ref(), LONGEST),
            remedy: Label::with_limit(remedy.as_ref(), LONGEST),
        }
    }

    /// What was tried, on what, and why it failed.
    pub fn what(&self) -> &Label {
        &self.what
    }

    /// What to do about it.
    pub fn remedy(&self) -> &Label {
        &self.remedy
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.\nRemedy: {}.", self.what, self.remedy)
    }
}

impl std::error::Error for Trouble {}
