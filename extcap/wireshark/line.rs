//! Sentences of the extcap grammar: `keyword {key=value}{key=value}`.
//!
//! The grammar has no escape. Text that comes from elsewhere enters as a [`SafeText`], which cannot
//! end a value; the keys and words of our own are literals.

use std::fmt::{self, Write as _};

use containerdump::safe_text::SafeText;

/// One line for Wireshark.
pub(super) struct ExtcapLine(String);

impl ExtcapLine {
    pub(super) fn new(keyword: &'static str) -> Self {
        Self(format!("{keyword} "))
    }

    /// Adds a value made by this program.
    pub(super) fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        let value = SafeText::with_limit(&value.to_string(), 500);
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{{{key}={value}}}");
        self
    }
}

impl fmt::Display for ExtcapLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
