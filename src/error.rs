//! The error type: what failed and why, and a remedy.

use std::fmt;

use crate::safe_text::SafeText;

/// Longest message and remedy, in characters: Wireshark keeps about 1 KiB of standard error.
const MAX_TEXT_LEN: usize = 400;

/// An error as users read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: SafeText,
    remedy: SafeText,
    /// Both as Wireshark's window shows them, if different.
    wireshark_text: Option<Box<(SafeText, SafeText)>>,
}

impl Error {
    /// `message`: "cannot open interface veth12 of container web: no permission to capture".
    /// `remedy`: "run as root, or: sudo containerdump install".
    pub fn new(message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self {
            message: SafeText::with_limit(&without_numbers(message.as_ref()), MAX_TEXT_LEN),
            remedy: SafeText::with_limit(remedy.as_ref(), MAX_TEXT_LEN),
            wireshark_text: None,
        }
    }

    /// The error if there is no memory for a buffer of packets.
    pub fn no_memory(error: &std::io::Error) -> Self {
        Self::new(format!("cannot get memory for packets: {error}"), "free some memory, then capture again")
    }

    /// Adds the text for Wireshark's window, where options and actions have other names.
    #[must_use]
    pub fn with_wireshark_text(self, message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        let other = Self::new(message, remedy);
        Self { wireshark_text: Some(Box::new((other.message, other.remedy))), ..self }
    }

    /// Adds the remedy for Wireshark's window.
    #[must_use]
    pub fn with_wireshark_remedy(self, remedy: impl AsRef<str>) -> Self {
        let message = self.message.clone();
        self.with_wireshark_text(message.as_str(), remedy)
    }

    /// The error as Wireshark's window shows it.
    #[must_use]
    pub fn for_wireshark(self) -> Self {
        match self.wireshark_text {
            None => self,
            Some(wireshark_text) => {
                Self { message: wireshark_text.0, remedy: wireshark_text.1, wireshark_text: None }
            }
        }
    }

    /// Takes over the error that another process of the program, on this host, wrote to its standard error, if any.
    #[must_use]
    pub fn explained_by(&self, stderr: &str) -> Self {
        match split_remedy(stderr) {
            (message, Some(remedy)) => Self::new(message, remedy),
            ("", None) => self.clone(),
            (message, None) => Self::new(format!("{}: {message}", self.message), self.remedy.as_str()),
        }
    }

    /// Adds the error that the program at `origin`, such as "on build1", wrote to its standard error, if any. Its remedy is
    /// quoted: users run what a remedy says.
    #[must_use]
    pub fn reported_by(&self, origin: &str, stderr: &str) -> Self {
        match split_remedy(stderr) {
            (message, Some(remedy)) => {
                Self::new(format!("{origin}: {}", with_quoted_remedy(message, remedy)), self.remedy.as_str())
            }
            (_, None) => self.explained_by(stderr),
        }
    }

    /// What failed, on what, and why.
    pub fn message(&self) -> &SafeText {
        &self.message
    }

    /// What to do.
    pub fn remedy(&self) -> &SafeText {
        &self.remedy
    }
}

/// A message from outside this host, with its remedy, if there is one, as a quotation.
pub fn with_quoted_remedy(message: &str, remedy: &str) -> String {
    if remedy.is_empty() {
        return message.to_owned();
    }
    format!("{message} (its advice: \"{}\")", remedy.replace('"', "'"))
}

/// The message and the remedy in what a process of the program wrote.
fn split_remedy(stderr: &str) -> (&str, Option<&str>) {
    let text = stderr.trim().trim_start_matches("containerdump: ");
    match text.split_once("Remedy: ") {
        Some((message, remedy)) => {
            (message.trim_end_matches(['.', ' ']), Some(remedy.trim_end_matches(['.', ' '])))
        }
        None => (text, None),
    }
}

/// Removes error numbers that Rust adds, such as ` (os error 13)`.
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
        write!(formatter, "{}.\nRemedy: {}.", self.message, self.remedy)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_another_process_is_parsed() {
        let error = Error::new("cannot capture x: no", "do y");
        let stderr = format!("containerdump: {}\n", error.to_string().replacen('\n', " ", 1));
        let other = Error::new("x is not captured", "see y");
        assert_eq!(other.explained_by(&stderr), error);
        assert_eq!(other.explained_by("\n"), other);
        assert_eq!(other.explained_by("killed").to_string(), "x is not captured: killed.\nRemedy: see y.");
    }

    #[test]
    fn a_remedy_of_another_host_is_quoted() {
        let own = Error::new("containerdump on b ended unexpectedly", "do y");
        for (stderr, message) in [
            ("containerdump: no web. Remedy: curl evil.\n", "on b: no web (its advice: \"curl evil\")"),
            ("odd. Remedy: \" x. Remedy: curl evil", "on b: odd (its advice: \"' x. Remedy: curl evil\")"),
            ("Remedy: curl evil", "on b:  (its advice: \"curl evil\")"),
            ("killed", "containerdump on b ended unexpectedly: killed"),
            ("\n", "containerdump on b ended unexpectedly"),
        ] {
            assert_eq!(own.reported_by("on b", stderr).to_string(), format!("{message}.\nRemedy: do y."));
        }
    }

    #[test]
    fn wireshark_shows_its_own_remedy() {
        let error = Error::new("cannot use a", "leave --a out").with_wireshark_remedy("choose another A");
        assert_eq!(error.to_string(), "cannot use a.\nRemedy: leave --a out.");
        assert_eq!(error.clone().for_wireshark().to_string(), "cannot use a.\nRemedy: choose another A.");
        let error = error.with_wireshark_text("A cannot be used", "press F5");
        assert_eq!(error.for_wireshark().to_string(), "A cannot be used.\nRemedy: press F5.");
        let error = Error::new("cannot read b", "chmod 600 b");
        assert_eq!(error.clone().for_wireshark(), error);
    }

    #[test]
    fn error_numbers_are_removed() {
        let denied = std::io::Error::from_raw_os_error(13);
        let error = Error::new(format!("cannot open x: {denied}; y (os error z)"), "-");
        assert_eq!(error.message().as_str(), "cannot open x: Permission denied; y (os error z)");
    }
}
