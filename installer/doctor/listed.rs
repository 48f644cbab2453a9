//! Does Wireshark really find us? It is asked.

use std::time::Duration;

use containerdump::container::EngineKind;
use containerdump::engine::{EngineListing, EngineStatus};
use containerdump::error::Error;
use containerdump::safe_text::SafeText;

use super::report::Report;
use crate::command::{self, Environment};
use crate::layout;
use crate::places::Wireshark;

const CHECK: &str = "listed";
/// With every capture source of the machine; far more than it takes where none hangs.
const LONGEST: Duration = Duration::from_secs(30);
/// First words of our interface values.
const OURS: [&str; 5] = ["docker-", "podman-", "netns-", "compose-", "containerdump-"];

/// Compares Wireshark's list with the engines'.
pub(super) fn check(report: &mut Report, wireshark: &Wireshark, listings: &[EngineListing]) {
    let Some(tshark) = &wireshark.tshark else {
        if wireshark.version.is_some() {
            let what = "cannot ask Wireshark for its list of interfaces: there is no tshark";
            report
                .warning(CHECK, &Error::new(what, "install tshark, or look into Wireshark's list yourself"));
        }
        return;
    };
    let answer = match command::run(tshark, &["-D"], Environment::OfUser, LONGEST) {
        Ok(answer) if answer.success => answer,
        Ok(answer) => {
            let why = answer.stderr.lines().last().unwrap_or("it gives no reason").to_owned();
            let what = format!("tshark -D lists no interfaces: {why}");
            return report.failed(CHECK, &Error::new(what, "run tshark -D and follow its message"));
        }
        Err(trouble) => return report.failed(CHECK, &trouble),
    };
    let listed: Vec<&str> = answer.stdout.lines().filter_map(value).filter(|value| is_ours(value)).collect();
    judge(report, &listed, listings);
}

/// Compares `listed`, what Wireshark lists of ours, with what the engines run.
fn judge(report: &mut Report, listed: &[&str], listings: &[EngineListing]) {
    // Which names the kernel's have depends on who looks.
    let of_engines = || listings.iter().filter(|listing| listing.engine != EngineKind::Kernel);
    let mut running = Vec::new();
    let mut unread = Vec::new();
    for listing in of_engines() {
        match &listing.status {
            EngineStatus::Available { containers, .. } => {
                running.extend(containers.iter().map(|container| container.value.as_str()));
            }
            EngineStatus::Unavailable(_) => unread.push(listing.engine.as_str()),
            EngineStatus::Absent => {}
        }
    }
    let missing: Vec<&str> = running.iter().copied().filter(|value| !listed.contains(value)).collect();
    if listed.is_empty() {
        // Containers of other hosts (SSH) are always listed.
        let what = "Wireshark lists no interface of containerdump";
        return report.failed(CHECK, &Error::new(what, remedy()));
    }
    if !missing.is_empty() {
        let what = format!("Wireshark lists {}, but not {}", some(listed), some(&missing));
        let remedy = "they may have started or ended just now: run doctor again";
        return report.warning(CHECK, &Error::new(what, remedy));
    }
    if !unread.is_empty() {
        let what = format!(
            "Wireshark lists {}; which containers {} runs is not known",
            some(listed),
            unread.join(" and ")
        );
        return report.warning(CHECK, &Error::new(what, "mend first what failed in the check engine"));
    }
    let none = if running.is_empty() { "; no container runs" } else { "" };
    report.ok(CHECK, format!("Wireshark lists {}{none}", some(listed)));
}

fn remedy() -> String {
    format!("mend first what failed above; if nothing did, {} list shows the reason", layout::command())
}

/// The interface's value in a line of `tshark -D`: `12. docker-web (web · nginx:1.27)`.
fn value(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(". ")?;
    number.parse::<u32>().ok()?;
    rest.split(" (").next()
}

fn is_ours(value: &str) -> bool {
    OURS.iter().any(|first| value.starts_with(first))
}

/// The first few, and how many more.
fn some(values: &[&str]) -> String {
    let shown: Vec<String> = values.iter().take(5).map(|value| SafeText::new(value).to_string()).collect();
    match values.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(listed: &[&str], outcome: EngineStatus) -> String {
        let mut report = Report::default();
        let endpoint = SafeText::new("unix:///run/docker.sock");
        judge(
            &mut report,
            listed,
            &[EngineListing { engine: EngineKind::Docker, endpoint, status: outcome }],
        );
        report.last()
    }

    #[test]
    fn an_engine_that_cannot_be_read_is_not_an_engine_without_containers() {
        let unread = || EngineStatus::Unavailable(Error::new("permission denied", "log in again"));
        let said = judged(&["containerdump-docker", "containerdump-ssh"], unread());
        assert!(said.contains("which containers docker runs is not known"), "{said}");
        let said = judged(&[], unread());
        assert!(said.contains("lists no interface of containerdump") && !said.contains("no container runs"));
    }

    #[test]
    fn an_engine_without_containers_is_no_failure() {
        let none = EngineStatus::Available { containers: Vec::new(), unreadable: 0 };
        assert_eq!(
            judged(&["containerdump-ssh"], none),
            "Ok: Wireshark lists containerdump-ssh; no container runs"
        );
    }
}
