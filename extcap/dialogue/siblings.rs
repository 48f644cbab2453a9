//! Other captures of this program that the same Wireshark runs: it starts one for each interface that is selected, and a
//! packet between two of them is captured by both.
//!
//! All of them run before the first FIFO is opened, so each sees the others.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use containerdump::text::Label;

use super::arguments::Arguments;

/// Interfaces that are named.
const MAX_NAMED: usize = 4;

/// The interfaces that other captures with the same parent process are of.
pub(super) fn interfaces() -> Vec<String> {
    let own = std::process::id();
    let Some(parent) = parent(Path::new("/proc/self")) else { return Vec::new() };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = processes.filter(|entry| {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        number.is_some_and(|number| number != own)
    });
    others.filter_map(|entry| interface(&entry.path(), parent)).collect()
}

/// The interface that the process with this folder captures, where it is one of this program with that parent.
fn interface(process: &Path, wanted: u32) -> Option<String> {
    let name = |process: &Path| fs::read_to_string(process.join("comm")).ok();
    if parent(process)? != wanted || name(process)? != name(Path::new("/proc/self"))? {
        return None;
    }
    let line = fs::read(process.join("cmdline")).ok()?;
    let words: Vec<OsString> =
        line.split(|byte| *byte == 0).skip(1).map(|word| OsString::from_vec(word.to_vec())).collect();
    let arguments = Arguments::read(&words);
    arguments.has("--capture").then(|| arguments.text("--extcap-interface"))?
}

/// The parent of a process, as `/proc/PID/status` names it.
fn parent(process: &Path) -> Option<u32> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// What to tell where `own` is captured beside `others`.
pub(super) fn advice(own: &str, mut others: Vec<String>) -> Option<String> {
    others.retain(|other| other != own);
    others.sort();
    others.dedup();
    if others.is_empty() {
        return None;
    }
    let (named, more) = others.split_at(others.len().min(MAX_NAMED));
    let list = named.iter().map(|other| Label::new(other).to_string()).collect::<Vec<_>>().join(", ");
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    Some(format!(
        "{own} is captured beside {list}{more}, each on its own: a packet between them appears twice. To have it once, capture \
         all containers, and name these in its options (Containers)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_are_captured_separately_are_named() {
        let others = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(advice("docker-web", others(&["docker-web"])), None);
        let advised =
            advice("docker-web", others(&["docker-db", "docker-app", "docker-db"])).expect("advice");
        assert!(
            advised.starts_with("docker-web is captured beside docker-app, docker-db, each"),
            "{advised}"
        );
        let many = advice("x", others(&["a", "b", "c", "d", "e", "f"])).expect("advice");
        assert!(many.contains("beside a, b, c, d and 2 more,"), "{many}");
    }

    #[test]
    fn a_process_that_captures_nothing_is_none() {
        assert_eq!(interfaces(), Vec::<String>::new());
    }
}
