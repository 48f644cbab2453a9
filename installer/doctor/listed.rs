//! Does Wireshark really find us? It is asked.

use std::time::Duration;

use containerdump::container::EngineKind;
use containerdump::engine::{Listing, Outcome};
use containerdump::text::Label;
use containerdump::trouble::Trouble;

use super::report::Report;
use crate::command::{self, Environment};
use crate::places::Wireshark;

const CHECK: &str = "listed";
/// With every capture source of the machine; far more than it takes where none hangs.
const LONGEST: Duration = Duration::from_secs(30);
/// First words of our interface values.
const OURS: [&str; 5] = ["docker-", "podman-", "netns-", "compose-", "containerdump-"];

/// Compares Wireshark's list with the engines'.
pub(super) fn check(report: &mut Report, wireshark: &Wireshark, listings: &[Listing]) {
    let Some(tshark) = &wireshark.tshark else {
        if wireshark.version.is_some() {
            let what = "cannot ask Wireshark for its list of interfaces: there is no tshark";
            report.warning(
                CHECK,
                &Trouble::new(what, "install tshark, or look into Wireshark's list yourself"),
            );
        }
        return;
    };
    let answer = match command::run(tshark, &["-D"], Environment::OfUser, LONGEST) {
        Ok(answer) if answer.success => answer,
        Ok(answer) => {
            let why = answer.stderr.lines().last().unwrap_or("it does not say why").to_owned();
            let what = format!("tshark -D lists no interfaces: {why}");
            return report.failed(CHECK, &Trouble::new(what, "run tshark -D and see to what it says"));
        }
        Err(trouble) => return report.failed(CHECK, &trouble),
    };
    let listed: Vec<&str> = answer.stdout.lines().filter_map(value).filter(|value| is_ours(value)).collect();
    let running: Vec<&str> = listings
        .iter()
        // Which names the kernel's have depends on who looks.
        .filter(|listing| listing.engine != EngineKind::Kernel)
        .filter_map(|listing| match &listing.outcome {
            Outcome::Containers { containers, .. } => Some(containers),
            _ => None,
        })
        .flatten()
        .map(|container| container.value.as_str())
        .collect();
    let missing: Vec<&str> = running.iter().copied().filter(|value| !listed.contains(value)).collect();
    if listed.is_empty() && running.is_empty() {
        let what = "Wireshark lists nothing of containerdump, but no container runs that it could list";
        report.warning(CHECK, &Trouble::new(what, "start a container, then run doctor again"));
    } else if missing.is_empty() {
        report.ok(CHECK, format!("Wireshark lists {}", some(&listed)));
    } else if listed.is_empty() {
        let what = format!("Wireshark does not list {}", some(&missing));
        let remedy = "first what failed above; if nothing did, containerdump --extcap-interfaces should list them \
                      and end with status 0";
        report.failed(CHECK, &Trouble::new(what, remedy));
    } else {
        let what = format!("Wireshark lists {}, but not {}", some(&listed), some(&missing));
        report
            .warning(CHECK, &Trouble::new(what, "they may have started or ended just now: run doctor again"));
    }
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
    let shown: Vec<String> = values.iter().take(5).map(|value| Label::new(value).to_string()).collect();
    match values.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
