//! All processes there are, by the network namespace they are in.
//!
//! What is read here everybody may read, unless `/proc` is mounted with `hidepid` (proc(5)). A
//! process may end, and its pid be another's, between two looks at it: what no longer fits together
//! is left out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;

use super::mark::Mark;
use crate::link::network_identity;

/// Ticks of a second in `/proc`: `USER_HZ`, which is 100 wherever this is built for
/// (include/asm-generic/param.h).
const TICKS: u64 = 100;
/// Most files of `/proc` are smaller.
const PAGE: usize = 4096;
/// Bytes of a file there: command lines can be long (`MAX_ARG_STRLEN`, linux/binfmts.h), and are others'.
const MOST: u64 = 128 * 1024;

/// What a look at all processes showed.
pub(super) struct Scan {
    /// Processes in other network namespaces than ours, by namespace.
    pub(super) groups: Vec<Group>,
    /// Whether there are processes that may not be looked at.
    pub(super) is_partial: bool,
}

/// The processes in one network namespace.
pub(super) struct Group {
    /// The inode of their `/proc/PID/net/dev`.
    pub(super) namespace: u64,
    /// In the order they started.
    pub(super) processes: Vec<One>,
}

/// A process.
pub(super) struct One {
    pub(super) pid: i32,
    parent: i32,
    /// Ticks since the system started.
    started: u64,
    command: String,
    /// The container whose control group it is in.
    mark: Option<Mark>,
}

impl Scan {
    /// Looks at all processes.
    pub(super) fn now() -> Self {
        let mut groups: BTreeMap<u64, Vec<One>> = BTreeMap::new();
        let own = network_identity("self");
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
            let shown = pid.to_string();
            let Some(namespace) = network_identity(&shown).filter(|_| own.is_some()) else { continue };
            if Some(namespace) != own
                && let Some(one) = One::read(pid)
                && network_identity(&shown) == Some(namespace)
            {
                groups.entry(namespace).or_default().push(one);
            }
        }
        let groups = groups.into_iter().map(|(namespace, mut processes)| {
            processes.sort_by_key(|one| (one.started, one.pid));
            Group { namespace, processes }
        });
        // There is always a first process.
        Self { groups: groups.collect(), is_partial: network_identity("1").is_none() }
    }
}

impl Group {
    /// The first process.
    pub(super) fn first(&self) -> &One {
        // A group is made for a process.
        &self.processes[0]
    }

    /// What its first process is called; one that started itself anew (`/proc/self/exe`, as
    /// `RootlessKit` does) is called exe, and its parent as it should be.
    pub(super) fn command(&self) -> String {
        let first = self.first();
        let of_parent = || stat_of(first.parent).map(|(command, ..)| command);
        Some("exe")
            .filter(|exe| first.command == *exe)
            .and_then(|_| of_parent())
            .unwrap_or_else(|| first.command.clone())
    }

    /// The containers whose network namespace this is, that of the first process first. That of a
    /// container is the one its first process is in, whose parent is none of the container's.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        for one in &self.processes {
            let mark = one.mark.as_ref();
            let is_home = |mark: &&Mark| one.parent == 0 || self.mark_of(one.parent).as_ref() != Some(*mark);
            let command = || of_process(one.parent, "cmdline");
            let of_monitor = || Mark::in_command(&command()?);
            let told = match mark.filter(is_home) {
                // Its monitor may know a name.
                Some(mark) if mark.runner == "podman" => {
                    let named = of_monitor().filter(|told| told.key == mark.key);
                    Some(named.unwrap_or_else(|| mark.clone()))
                }
                Some(mark) => Some(mark.clone()),
                None if self.has(one.parent) => None,
                None => of_monitor(),
            };
            marks.extend(told.filter(|told| !marks.iter().any(|mark| mark.key == told.key)));
        }
        marks
    }

    fn has(&self, pid: i32) -> bool {
        self.processes.iter().any(|one| one.pid == pid)
    }

    fn mark_of(&self, pid: i32) -> Option<Mark> {
        match self.processes.iter().find(|one| one.pid == pid) {
            Some(one) => one.mark.clone(),
            None => mark_of(pid),
        }
    }

    /// Whether any of its processes still lives.
    pub(super) fn is_there(&self) -> bool {
        self.processes.iter().any(|one| network_identity(&one.pid.to_string()) == Some(self.namespace))
    }

    /// Whether its first process started less than `seconds` ago.
    pub(super) fn is_younger_than(&self, seconds: u64) -> bool {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let now = uptime.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
        now.is_some_and(|now| now.saturating_sub(self.first().started / TICKS) < seconds)
    }
}

impl One {
    fn read(pid: i32) -> Option<Self> {
        let (command, parent, started) = stat_of(pid)?;
        Some(Self { pid, parent, started, command, mark: mark_of(pid) })
    }
}

/// A file of `/proc/PID`, in as few calls of the kernel as it takes: there is one for each process of the host.
/// `fs::read` asks for the length, which is 0 there, and then begins with 32 bytes.
fn of_process(pid: i32, file: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PAGE);
    File::open(format!("/proc/{pid}/{file}")).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn mark_of(pid: i32) -> Option<Mark> {
    Mark::in_control_groups(&String::from_utf8(of_process(pid, "cgroup")?).ok()?)
}

/// When process `pid` was started, in ticks since the system was: with that, it is told from any later one
/// of its number. `None` where there is no such process.
pub(in crate::engine) fn started(pid: i32) -> Option<u64> {
    stat_of(pid).map(|(_, _, started)| started)
}

fn stat_of(pid: i32) -> Option<(String, i32, u64)> {
    stat(&String::from_utf8_lossy(&of_process(pid, "stat")?))
}

/// Command, parent and start of a process by its `/proc/PID/stat`. The command stands in parentheses
/// and may hold any character, parentheses too (proc(5)).
fn stat(text: &str) -> Option<(String, i32, u64)> {
    let (command, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The third field of the line is the first one here.
    Some((command.to_owned(), fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_hold_anything() {
        let rest = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 4096 100";
        let expected = |command: &str| Some((command.to_owned(), 7, 123_456));
        assert_eq!(stat(&format!("42 (sh) {rest}")), expected("sh"));
        assert_eq!(stat(&format!("42 (a) S 1 (}}{{\n) {rest}")), expected("a) S 1 (}{\n"));
        assert_eq!(stat("42 (sh) S 7"), None);
        assert_eq!(stat(""), None);
    }
}
