//! Lines of the extcap grammar: `keyword {key=value}{key=value}`.
//!
//! The grammar has no escapes: [`SafeText`] replaces every character that would end a value.

use std::fmt::{self, Write as _};

use containerdump::safe_text::SafeText;

/// Characters of a value.
const MAX_VALUE_LEN: usize = 500;

/// A line for Wireshark.
pub(super) struct ExtcapLine(String);

impl ExtcapLine {
    pub(super) fn new(keyword: &'static str) -> Self {
        Self(format!("{keyword} "))
    }

    /// Appends a key with its value.
    pub(super) fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        let value = SafeText::with_limit(&value.to_string(), MAX_VALUE_LEN);
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
