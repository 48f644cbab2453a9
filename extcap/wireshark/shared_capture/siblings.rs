//! Sibling captures: processes of this program that the same Wireshark has started, one for each selected interface.
//!
//! Wireshark starts all of them before dumpcap opens the first FIFO, so each finds the others once its own FIFO is open.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use containerdump::safe_text::SafeText;
use containerdump::saved_hosts;

use crate::wireshark::arguments::ExtcapArgs;

/// Interfaces named in a notice.
const MAX_NAMED_SIBLINGS: usize = 4;
/// Bytes read of a command line.
const MAX_COMMAND_LINE_LEN: u64 = 64 * 1024;
/// How long a new process may have no command line, before it has executed its program.
const EXEC_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two reads of the command line of such a process.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A capture with the same parent process and the same user.
#[derive(Clone, Debug)]
pub(in crate::wireshark) struct SiblingCapture {
    pub(in crate::wireshark) pid: i32,
    pub(in crate::wireshark) interface: String,
    pub(super) arguments: ExtcapArgs,
}

/// All sibling captures. None if the parent is not Wireshark or tshark: a script may run captures in parallel that
/// have nothing to do with each other.
pub(in crate::wireshark) fn find() -> Vec<SiblingCapture> {
    let Some(own) = ProcessStatus::read(Path::new("/proc/self")) else { return Vec::new() };
    let parent = fs::read_to_string(format!("/proc/{}/comm", own.parent)).unwrap_or_default();
    if !parent.to_ascii_lowercase().contains("shark") {
        return Vec::new();
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let others = pids.filter(|pid| u32::try_from(*pid) != Ok(std::process::id()));
    others.filter_map(|pid| sibling_capture(pid, &own)).collect()
}

fn sibling_capture(pid: i32, own: &ProcessStatus) -> Option<SiblingCapture> {
    let process = Path::new("/proc").join(pid.to_string());
    let until = Instant::now() + EXEC_TIMEOUT;
    let command_line = loop {
        let status = ProcessStatus::read(&process)?;
        if (status.parent, status.user) != (own.parent, own.user) || status.has_ended {
            return None;
        }
        match read_command_line(&process)? {
            line if line.is_empty() && Instant::now() < until => std::thread::sleep(POLL_INTERVAL),
            line => break line,
        }
    };
    let words = command_line.split(|byte| *byte == 0).skip(1);
    let words: Vec<OsString> = words.map(|word| OsString::from_vec(word.to_vec())).collect();
    let arguments = ExtcapArgs::parse(&words);
    let interface = arguments.text("--extcap-interface").filter(|_| arguments.has("--capture"))?;
    Some(SiblingCapture { pid, interface, arguments })
}

/// The command line of a process; empty while it executes its program.
fn read_command_line(process: &Path) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    File::open(process.join("cmdline")).ok()?.take(MAX_COMMAND_LINE_LEN).read_to_end(&mut line).ok()?;
    Some(line)
}

/// Fields of `/proc/PID/status`.
#[derive(Debug)]
struct ProcessStatus {
    parent: u32,
    /// The real user id; the owner of the files is root where the program has capabilities.
    user: u32,
    has_ended: bool,
}

impl ProcessStatus {
    fn read(process: &Path) -> Option<Self> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let value =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        let has_ended = matches!(value("State:")?, "Z" | "X");
        Some(Self { parent: value("PPid:")?.parse().ok()?, user: value("Uid:")?.parse().ok()?, has_ended })
    }
}

/// Whether `interface` is a container or a group of this host.
pub(super) fn is_local(interface: &str) -> bool {
    !interface.starts_with("containerdump-") && saved_hosts::is_local_interface(interface)
}

/// The notice that `own` and `others` are captured separately; `None` if there are no others.
pub(in crate::wireshark) fn separate_notice(own: &str, mut others: Vec<String>) -> Option<String> {
    others.retain(|other| other != own);
    others.sort();
    others.dedup();
    if others.is_empty() {
        return None;
    }
    Some(format!(
        "{own} is captured separately from {}: packets between them appear twice. To capture them once, capture all \
         containers and enter their names in the option Containers",
        list(&others)
    ))
}

/// `docker-app, docker-db and 2 more`.
pub(in crate::wireshark) fn list(interfaces: &[String]) -> String {
    let (named, more) = interfaces.split_at(interfaces.len().min(MAX_NAMED_SIBLINGS));
    let list = named.iter().map(|other| SafeText::new(other).to_string()).collect::<Vec<_>>().join(", ");
    if more.is_empty() { list } else { format!("{list} and {} more", more.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_are_captured_separately_are_named() {
        let others = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(separate_notice("docker-web", others(&["docker-web"])), None);
        let notice = separate_notice("docker-web", others(&["docker-db", "docker-app", "docker-db"]));
        let notice = notice.expect("a notice");
        assert!(
            notice.starts_with("docker-web is captured separately from docker-app, docker-db: "),
            "{notice}"
        );
        let notice = separate_notice("x", others(&["a", "b", "c", "d", "e", "f"])).expect("a notice");
        assert!(notice.contains("from a, b, c, d and 2 more:"), "{notice}");
    }

    #[test]
    fn process_that_is_not_started_by_wireshark_has_no_siblings() {
        assert!(find().is_empty());
    }
}
