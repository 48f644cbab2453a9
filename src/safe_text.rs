//! Escapes text from outside.
//!
//! Names, labels and messages of engines, containers and other hosts reach Wireshark, a terminal, a dialog or a file only
//! as [`SafeText`].

use std::fmt;

/// Longest text, in characters: Wireshark does not start when the text of a saved option is longer.
pub(crate) const MAX_LABEL_LEN: usize = 80;
/// Longest name, in characters. Engines have no limit, and names select containers, projects and networks.
pub const MAX_NAME_LEN: usize = 500;

/// A line of printable text without the delimiters of extcap lines, terminal escapes and bidirectional marks.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeText(String);

impl SafeText {
    /// Escapes `text` and shortens it to 80 characters.
    pub fn new(text: &str) -> Self {
        Self::with_limit(text, MAX_LABEL_LEN)
    }

    /// Escapes a name that selects something, without shortening it for display.
    pub fn from_name(text: &str) -> Self {
        Self::with_limit(text, MAX_NAME_LEN)
    }

    /// Shortened to 80 characters.
    #[must_use]
    pub fn shortened(&self) -> Self {
        Self::new(&self.0)
    }

    /// Escapes `text` and shortens it to `limit` characters.
    pub fn with_limit(text: &str, limit: usize) -> Self {
        let mut shown = String::with_capacity(text.len().min(limit));
        for (count, character) in text.trim().chars().enumerate() {
            if count == limit {
                shown.pop();
                shown.push('…');
                break;
            }
            shown.push(replacement(character));
        }
        Self(shown.trim().to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl From<&str> for SafeText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// The replacement of a character, most often itself.
fn replacement(character: char) -> char {
    match character {
        // Extcap lines have no escape character: braces delimit values.
        '{' => '(',
        '}' => ')',
        '\t' | '\n' | '\r' => ' ',
        _ if character.is_control() || is_invisible(character) => '\u{FFFD}',
        _ => character,
    }
}

/// Format characters and separators (Unicode 16, general categories Cf, Zl, Zp).
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{00AD}' | '\u{0600}'..='\u{0605}' | '\u{061C}' | '\u{06DD}' | '\u{070F}'
        | '\u{0890}' | '\u{0891}' | '\u{08E2}' | '\u{180E}' | '\u{FEFF}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FFF9}'..='\u{FFFB}'
        | '\u{110BD}' | '\u{110CD}'
        | '\u{13430}'..='\u{1343F}'
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_unchanged() {
        assert_eq!(SafeText::new("web · nginx:1.27 (café)").as_str(), "web · nginx:1.27 (café)");
    }

    #[test]
    fn braces_line_ends_escapes_and_bidi_marks_are_replaced() {
        assert_eq!(
            SafeText::new("a}{b\ninterface \u{1b}[31m\u{202e}x").as_str(),
            "a)(b interface \u{FFFD}[31m\u{FFFD}x"
        );
    }

    #[test]
    fn long_text_is_shortened_with_an_ellipsis() {
        let text = SafeText::new(&"é".repeat(200));
        assert_eq!(text.as_str().chars().count(), 80);
        assert!(text.as_str().ends_with('…'));
    }
}
