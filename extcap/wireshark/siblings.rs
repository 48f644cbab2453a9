//! Other captures of this program that the same Wireshark runs: it starts one for each interface that is marked.
//!
//! All of them are started before dumpcap opens the first FIFO, so each finds the others once its own FIFO is open.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use containerdump::safe_text::SafeText;
use containerdump::saved_hosts;

use super::arguments::Arguments;

/// Interfaces that are named in a notice.
const MAX_NAMED: usize = 4;
/// Bytes of a command line that are read.
const MAX_COMMAND_LEN: u64 = 64 * 1024;
/// How long a process may take to execute its program: meanwhile it has no command line.
const EXEC_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two looks at such a process.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A capture with the same parent process and the same user.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    pub(super) pid: i32,
    pub(super) interface: String,
    pub(super) arguments: Arguments,
}

/// All of them, this process excluded; none where the parent is not Wireshark or tshark: what a script starts side by
/// side are captures of their own.
pub(super) fn find() -> Vec<Sibling> {
    let Some(own) = Status::read(Path::new("/proc/self")) else { return Vec::new() };
    let parent = fs::read_to_string(format!("/proc/{}/comm", own.parent)).unwrap_or_default();
    if !parent.to_ascii_lowercase().contains("shark") {
        return Vec::new();
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let others = numbers.filter(|pid| u32::try_from(*pid) != Ok(std::process::id()));
    others.filter_map(|pid| sibling(pid, &own)).collect()
}

fn sibling(pid: i32, own: &Status) -> Option<Sibling> {
    let process = Path::new("/proc").join(pid.to_string());
    let until = Instant::now() + EXEC_TIMEOUT;
    let line = loop {
        let status = Status::read(&process)?;
        if (status.parent, status.user) != (own.parent, own.user) || status.has_ended {
            return None;
        }
        match command_line(&process)? {
            line if line.is_empty() && Instant::now() < until => std::thread::sleep(POLL_INTERVAL),
            line => break line,
        }
    };
    let words: Vec<OsString> =
        line.split(|byte| *byte == 0).skip(1).map(|word| OsString::from_vec(word.to_vec())).collect();
    let arguments = Arguments::read(&words);
    let interface = arguments.text("--extcap-interface").filter(|_| arguments.has("--capture"))?;
    Some(Sibling { pid, interface, arguments })
}

/// The command line of a process, which everybody may read; empty while it executes its program.
fn command_line(process: &Path) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    File::open(process.join("cmdline")).ok()?.take(MAX_COMMAND_LEN).read_to_end(&mut line).ok()?;
    Some(line)
}

/// What `/proc/PID/status` says of a process.
#[derive(Debug)]
struct Status {
    parent: u32,
    /// The real user id: files of a program with capabilities belong to root.
    user: u32,
    has_ended: bool,
}

impl Status {
    fn read(process: &Path) -> Option<Self> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let value =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        let has_ended = matches!(value("State:")?, "Z" | "X");
        Some(Self { parent: value("PPid:")?.parse().ok()?, user: value("Uid:")?.parse().ok()?, has_ended })
    }
}

/// Whether `interface` is a container or a group of this host.
pub(super) fn is_of_this_host(interface: &str) -> bool {
    !interface.starts_with("containerdump-") && saved_hosts::is_of_here(interface)
}

/// The notice where `own` is captured beside `others`, each separately.
pub(super) fn advice(own: &str, mut others: Vec<String>) -> Option<String> {
    others.retain(|other| other != own);
    others.sort();
    others.dedup();
    if others.is_empty() {
        return None;
    }
    Some(format!(
        "{own} is captured beside {}, each on its own: a packet between them appears twice. To have it once, capture \
         all containers, and name these in its options (Containers)",
        listed(&others)
    ))
}

/// `docker-app, docker-db and 2 more`.
pub(super) fn listed(interfaces: &[String]) -> String {
    let (named, more) = interfaces.split_at(interfaces.len().min(MAX_NAMED));
    let list = named.iter().map(|other| SafeText::new(other).to_string()).collect::<Vec<_>>().join(", ");
    if more.is_empty() { list } else { format!("{list} and {} more", more.len()) }
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
        assert!(find().is_empty());
    }
}
