//! What doctor found, as a table or as JSON.

use std::io::IsTerminal;

use serde::Serialize;

use containerdump::error::Error;
use containerdump::safe_text::SafeText;

use crate::say;

/// Longest finding, in characters.
const LONGEST: usize = 400;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
}

/// One line.
#[derive(Serialize)]
struct Finding {
    state: State,
    check: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// All lines.
#[derive(Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Something is as it should be.
    pub(crate) fn ok(&mut self, check: &'static str, found: impl AsRef<str>) {
        let found = SafeText::with_limit(found.as_ref(), LONGEST).to_string();
        self.findings.push(Finding { state: State::Ok, check, found, remedy: None });
    }

    /// Something works, but not well, or cannot be told.
    pub(crate) fn warning(&mut self, check: &'static str, trouble: &Error) {
        self.add(State::Warning, check, trouble);
    }

    /// Something does not work.
    pub(crate) fn failed(&mut self, check: &'static str, trouble: &Error) {
        self.add(State::Failed, check, trouble);
    }

    fn add(&mut self, state: State, check: &'static str, trouble: &Error) {
        let (found, remedy) = (trouble.message().to_string(), Some(trouble.remedy().to_string()));
        self.findings.push(Finding { state, check, found, remedy });
    }

    #[cfg(test)]
    pub(super) fn last(&self) -> String {
        self.findings.last().map(|last| format!("{:?}: {}", last.state, last.found)).unwrap_or_default()
    }

    /// Whether any check failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.count(State::Failed) > 0
    }

    fn count(&self, state: State) -> usize {
        self.findings.iter().filter(|finding| finding.state == state).count()
    }

    /// Prints a table: state, check, finding, and below it the remedy.
    pub(crate) fn print_table(&self) {
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        for finding in &self.findings {
            let (word, colour) = match finding.state {
                State::Ok => ("ok", "32"),
                State::Warning => ("warning", "33"),
                State::Failed => ("failed", "31"),
            };
            let word = format!("{word:<7}");
            let word = if coloured { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word };
            say(format_args!("{word}  {:<width$}  {}", finding.check, finding.found));
            if let Some(remedy) = &finding.remedy {
                say(format_args!("{:7}  {:width$}  remedy: {remedy}", "", ""));
            }
        }
        let (failed, warnings) = (self.count(State::Failed), self.count(State::Warning));
        say(match (failed, warnings) {
            (0, 0) => "Everything is as it should be.".to_owned(),
            (0, _) => format!("Nothing failed; {}.", counted(warnings, "warning")),
            (_, 0) => format!("{} failed.", counted(failed, "check")),
            _ => format!("{} failed; {}.", counted(failed, "check"), counted(warnings, "warning")),
        });
    }

    /// Prints one JSON object: version, checks, and how many failed or warn.
    pub(crate) fn print_json(&self) {
        say(serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "checks": self.findings,
            "failed": self.count(State::Failed),
            "warnings": self.count(State::Warning),
        }));
    }
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
