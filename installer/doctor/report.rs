//! The report of doctor, as a table or as JSON.

use std::io::IsTerminal;

use serde::Serialize;

use containerdump::error::Error;
use containerdump::safe_text::SafeText;

use crate::print_line;

/// Length of a finding, in characters.
const MAX_FINDING_LEN: usize = 400;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CheckState {
    Ok,
    Warning,
    Failed,
}

/// One check.
#[derive(Serialize)]
struct Finding {
    state: CheckState,
    check: &'static str,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// All checks.
#[derive(Default)]
pub(crate) struct DoctorReport {
    findings: Vec<Finding>,
}

impl DoctorReport {
    /// Adds a check that passed.
    pub(crate) fn ok(&mut self, check: &'static str, found: impl AsRef<str>) {
        let found = SafeText::with_limit(found.as_ref(), MAX_FINDING_LEN).to_string();
        self.findings.push(Finding { state: CheckState::Ok, check, found, remedy: None });
    }

    /// Adds a check that found a limitation, or could not be made.
    pub(crate) fn warning(&mut self, check: &'static str, error: &Error) {
        self.add(CheckState::Warning, check, error);
    }

    /// Adds a check that failed.
    pub(crate) fn failed(&mut self, check: &'static str, error: &Error) {
        self.add(CheckState::Failed, check, error);
    }

    fn add(&mut self, state: CheckState, check: &'static str, error: &Error) {
        let (found, remedy) = (error.message().to_string(), Some(error.remedy().to_string()));
        self.findings.push(Finding { state, check, found, remedy });
    }

    #[cfg(test)]
    pub(super) fn last(&self) -> String {
        self.findings.last().map(|last| format!("{:?}: {}", last.state, last.found)).unwrap_or_default()
    }

    /// Whether any check failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.count(CheckState::Failed) > 0
    }

    fn count(&self, state: CheckState) -> usize {
        self.findings.iter().filter(|finding| finding.state == state).count()
    }

    /// Prints a table: state, check, finding, and below it the remedy.
    pub(crate) fn print_table(&self) {
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        for finding in &self.findings {
            let (word, colour) = match finding.state {
                CheckState::Ok => ("ok", "32"),
                CheckState::Warning => ("warning", "33"),
                CheckState::Failed => ("failed", "31"),
            };
            let word = format!("{word:<7}");
            let word = if coloured { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word };
            print_line(format_args!("{word}  {:<width$}  {}", finding.check, finding.found));
            if let Some(remedy) = &finding.remedy {
                print_line(format_args!("{:7}  {:width$}  remedy: {remedy}", "", ""));
            }
        }
        let (failed, warnings) = (self.count(CheckState::Failed), self.count(CheckState::Warning));
        print_line(match (failed, warnings) {
            (0, 0) => "No problems found.".to_owned(),
            (0, _) => format!("Nothing failed; {}.", counted(warnings, "warning")),
            (_, 0) => format!("{} failed.", counted(failed, "check")),
            _ => format!("{} failed; {}.", counted(failed, "check"), counted(warnings, "warning")),
        });
    }

    /// Prints one JSON object: version, checks, and how many failed or warn.
    pub(crate) fn print_json(&self) {
        print_line(serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "checks": self.findings,
            "failed": self.count(CheckState::Failed),
            "warnings": self.count(CheckState::Warning),
        }));
    }
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
