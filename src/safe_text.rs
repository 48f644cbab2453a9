//! Foreign text made safe to show.
//!
//! Names, labels and messages of engines, containers and other hosts reach a sentence for
//! Wireshark, a terminal, a dialog or a file's description through [`SafeText`] and no other way.

use std::fmt;

/// Longest label, in characters. Wireshark refuses to start when the display text of a saved
/// option is longer than 80; a list of interfaces is unreadable well before that.
pub(crate) const MAX_LABEL_LEN: usize = 80;
/// Longest name that is kept whole, in characters: engines set no limit, and people select containers, projects and
/// networks by it. Where it is shown it may be shortened.
pub const MAX_NAME_LEN: usize = 500;

/// A single line of printable text that cannot end or open a sentence of the extcap grammar,
/// move a terminal's cursor or turn the direction of writing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeText(String);

impl SafeText {
    /// Makes `text` safe and cuts it to 80 characters.
    pub fn new(text: &str) -> Self {
        Self::with_limit(text, MAX_LABEL_LEN)
    }

    /// Makes `text` safe and keeps it whole, as what it is selected by.
    pub fn from_name(text: &str) -> Self {
        Self::with_limit(text, MAX_NAME_LEN)
    }

    /// The same cut to 80 characters, where it is shown among others.
    #[must_use]
    pub fn shortened(&self) -> Self {
        Self::new(&self.0)
    }

    /// Makes `text` safe and cuts it to `longest` characters, for sentences rather than names.
    pub fn with_limit(text: &str, longest: usize) -> Self {
        let mut shown = String::with_capacity(text.len().min(longest));
        for (count, character) in text.trim().chars().enumerate() {
            if count == longest {
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

    /// Whether nothing is left to show.
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

/// What stands for `character`: itself unless it could do more than be read.
fn replacement(character: char) -> char {
    match character {
        // The extcap grammar has no escape: a brace would end a value or begin one.
        '{' => '(',
        '}' => ')',
        // Tabs and line ends are what people meant as a blank.
        '\t' | '\n' | '\r' => ' ',
        _ if character.is_control() || is_invisible(character) => '\u{FFFD}',
        _ => character,
    }
}

/// Characters that are not seen but change how the others are: joiners, marks and overrides of
/// direction, line and paragraph separators, tags (Unicode 16, general categories Cf, Zl, Zp).
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
    fn plain_names_stay_as_they_are() {
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
    fn long_text_is_cut_by_characters_and_says_so() {
        let label = SafeText::new(&"é".repeat(200));
        assert_eq!(label.as_str().chars().count(), 80);
        assert!(label.as_str().ends_with('…'));
    }
}
