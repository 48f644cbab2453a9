//! What cannot be done, why, and the way out.

use std::fmt;

use crate::safe_text::SafeText;

/// Longest text of either half, in characters. Wireshark keeps about 1 KiB of what a capture
/// source says, and both halves must be in it.
const LONGEST: usize = 400;

/// A failure as people read it: what was tried on what and why it failed, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    what: SafeText,
    remedy: SafeText,
    /// Both for Wireshark's window, where they differ.
    in_window: Option<Box<(SafeText, SafeText)>>,
}

impl Error {
    /// `what`: "cannot open interface veth12 of container web: no permission to capture".
    /// `remedy`: "run as root, or: sudo containerdump install".
    pub fn new(what: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self {
            what: SafeText::with_limit(&without_numbers(what.as_ref()), LONGEST),
            remedy: SafeText::with_limit(remedy.as_ref(), LONGEST),
            in_window: None,
        }
    }

    /// Adds the text that Wireshark's window shows instead: options and actions have other names there than on the
    /// command line.
    #[must_use]
    pub fn with_wireshark_text(self, what: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        let other = Self::new(what, remedy);
        Self { in_window: Some(Box::new((other.what, other.remedy))), ..self }
    }

    /// Adds the remedy that Wireshark's window shows instead.
    #[must_use]
    pub fn with_wireshark_remedy(self, remedy: impl AsRef<str>) -> Self {
        let what = self.what.clone();
        self.with_wireshark_text(what.as_str(), remedy)
    }

    /// The error as Wireshark's window shows it.
    #[must_use]
    pub fn for_wireshark(self) -> Self {
        match self.in_window {
            None => self,
            Some(in_window) => Self { what: in_window.0, remedy: in_window.1, in_window: None },
        }
    }

    /// The same, explained by what another copy of this program `said` when it failed, if it said
    /// anything.
    #[must_use]
    pub fn explained_by(&self, said: &str) -> Self {
        let words = said.trim().trim_start_matches("containerdump: ");
        match words.split_once("Remedy: ") {
            Some((what, remedy)) => {
                Self::new(what.trim_end_matches(['.', ' ']), remedy.trim_end_matches('.'))
            }
            None if words.is_empty() => self.clone(),
            None => Self::new(format!("{}: {words}", self.what), self.remedy.as_str()),
        }
    }

    /// What was tried, on what, and why it failed.
    pub fn message(&self) -> &SafeText {
        &self.what
    }

    /// What to do about it.
    pub fn remedy(&self) -> &SafeText {
        &self.remedy
    }
}

/// The text without what Rust adds to the system's words: ` (os error 13)`.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => kept.push_str(rest),
            _ => kept.extend([" (os error ", part]),
        }
    }
    kept
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.\nRemedy: {}.", self.what, self.remedy)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_copy_says_is_read_back() {
        let trouble = Error::new("cannot capture x: no", "do y");
        let said = format!("containerdump: {}\n", trouble.to_string().replacen('\n', " ", 1));
        let other = Error::new("x is not captured", "see y");
        assert_eq!(other.explained_by(&said), trouble);
        assert_eq!(other.explained_by("\n"), other);
        assert_eq!(other.explained_by("killed").to_string(), "x is not captured: killed.\nRemedy: see y.");
    }

    #[test]
    fn the_window_shows_its_own_remedy_and_the_command_line_the_other() {
        let error = Error::new("cannot use a", "leave --a out").with_wireshark_remedy("choose another A");
        assert_eq!(error.to_string(), "cannot use a.\nRemedy: leave --a out.");
        assert_eq!(error.clone().for_wireshark().to_string(), "cannot use a.\nRemedy: choose another A.");
        let error = error.with_wireshark_text("A cannot be used", "press F5");
        assert_eq!(error.for_wireshark().to_string(), "A cannot be used.\nRemedy: press F5.");
        let error = Error::new("cannot read b", "chmod 600 b");
        assert_eq!(error.clone().for_wireshark(), error);
    }

    #[test]
    fn numbers_of_the_system_are_left_out() {
        let denied = std::io::Error::from_raw_os_error(13);
        let trouble = Error::new(format!("cannot open x: {denied}; y (os error z)"), "-");
        assert_eq!(trouble.message().as_str(), "cannot open x: Permission denied; y (os error z)");
    }
}
