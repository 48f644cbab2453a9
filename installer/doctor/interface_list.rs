//! Whether Wireshark lists our interfaces.

use std::time::Duration;

use containerdump::container::EngineKind;
use containerdump::engine::{EngineListing, EngineStatus};
use containerdump::error::Error;
use containerdump::safe_text::SafeText;

use super::report::DoctorReport;
use crate::command::{self, Environment};
use crate::layout;
use crate::wireshark::Wireshark;

const CHECK: &str = "listed";
/// tshark -D starts each extcap program of the machine; this is ample where none hangs.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Prefixes of our interface values.
const VALUE_PREFIXES: [&str; 5] = ["docker-", "podman-", "netns-", "compose-", "containerdump-"];

/// Compares Wireshark's list with those of the engines.
pub(super) fn check(report: &mut DoctorReport, wireshark: &Wireshark, listings: &[EngineListing]) {
    let Some(tshark) = &wireshark.tshark else {
        if wireshark.version.is_some() {
            let what = "cannot check Wireshark's interface list: tshark is not installed";
            report.warning(CHECK, &Error::new(what, "install tshark, or check the list in Wireshark"));
        }
        return;
    };
    let answer = match command::run(tshark, &["-D"], Environment::User, TIMEOUT) {
        Ok(answer) if answer.success => answer,
        Ok(answer) => {
            let why = answer.stderr.lines().last().unwrap_or("no reason given").to_owned();
            let what = format!("tshark -D lists no interfaces: {why}");
            return report.failed(CHECK, &Error::new(what, "run tshark -D and follow its message"));
        }
        Err(error) => return report.failed(CHECK, &error),
    };
    let listed: Vec<&str> = answer.stdout.lines().filter_map(value).filter(|value| is_ours(value)).collect();
    judge(report, &listed, listings);
}

/// Compares `listed`, our interfaces in Wireshark's list, with the containers of the engines.
fn judge(report: &mut DoctorReport, listed: &[&str], listings: &[EngineListing]) {
    // Names of network namespaces depend on the user's permissions.
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
        let remedy = "they may have started or stopped just now: run doctor again";
        return report.warning(CHECK, &Error::new(what, remedy));
    }
    if !unread.is_empty() {
        let what = format!(
            "Wireshark lists {}; the containers of {} are unknown",
            some(listed),
            unread.join(" and ")
        );
        return report.warning(CHECK, &Error::new(what, "fix the failed check \"engine\" first"));
    }
    let none = if running.is_empty() { "; no container is running" } else { "" };
    report.ok(CHECK, format!("Wireshark lists {}{none}", some(listed)));
}

fn remedy() -> String {
    format!("fix what failed above; if nothing did, {} list shows the reason", layout::command())
}

/// The interface's value in a line of `tshark -D`: `12. docker-web (web · nginx:1.27)`.
fn value(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(". ")?;
    number.parse::<u32>().ok()?;
    rest.split(" (").next()
}

fn is_ours(value: &str) -> bool {
    VALUE_PREFIXES.iter().any(|first| value.starts_with(first))
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
        let mut report = DoctorReport::default();
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
        assert!(said.contains("the containers of docker are unknown"), "{said}");
        let said = judged(&[], unread());
        assert!(
            said.contains("lists no interface of containerdump") && !said.contains("no container is running")
        );
    }

    #[test]
    fn an_engine_without_containers_is_no_failure() {
        let none = EngineStatus::Available { containers: Vec::new(), unreadable: 0 };
        assert_eq!(
            judged(&["containerdump-ssh"], none),
            "Ok: Wireshark lists containerdump-ssh; no container is running"
        );
    }
}
