//! All processes, grouped by network namespace.
//!
//! The files read here are readable by every user, unless `/proc` is mounted with `hidepid` (proc(5)). A pid may be
//! reused between two reads: inconsistent results are dropped.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use super::runtime_id::RuntimeId;
use crate::link::{NETNS_DIR, network_identity};
use crate::proc_file;

/// `USER_HZ`, the unit of times in `/proc`: 100 on all supported platforms (include/asm-generic/param.h).
const TICKS_PER_SECOND: u64 = 100;
/// Limit of a file read from `/proc`: command lines can be this long (`MAX_ARG_STRLEN`, linux/binfmts.h).
const MAX_PROC_FILE_LEN: u64 = 128 * 1024;

/// The pids of this host, and when the folder of named namespaces was changed last: a fraction of the cost of a scan.
#[derive(Default, PartialEq, Eq)]
pub(in crate::engine) struct ProcessInventory {
    pids: Vec<i32>,
    names_changed_at: Option<SystemTime>,
}

/// The processes of this host at one moment.
pub(super) struct ProcessScan {
    /// Processes in other network namespaces than ours, by namespace.
    pub(super) groups: Vec<NamespaceProcesses>,
    /// Whether some processes are hidden from this user.
    pub(super) is_partial: bool,
}

/// The processes in one network namespace.
pub(super) struct NamespaceProcesses {
    /// The inode of their `/proc/PID/net/dev`.
    pub(super) namespace: u64,
    /// The processes in order of their start; never empty.
    pub(super) processes: Vec<ProcessInfo>,
}

/// A process.
pub(super) struct ProcessInfo {
    pub(super) pid: i32,
    parent: i32,
    /// Start time in ticks since boot.
    start_time: u64,
    command: String,
    /// The container whose control group it is in.
    runtime_id: Option<RuntimeId>,
}

/// The first process of a container in a network namespace.
pub(super) struct ContainerProcess {
    pub(super) runtime_id: RuntimeId,
    /// Its pid; `None` if only the command line of its parent names the container, which any user can imitate, or if its engine
    /// runs in a pid namespace of its own, as in another container.
    pub(super) pid: Option<i32>,
    /// In ticks since boot.
    pub(super) start_time: u64,
}

impl ProcessInventory {
    pub(in crate::engine) fn now() -> Self {
        let folder = fs::metadata(NETNS_DIR).and_then(|about| about.modified());
        Self { pids: pids().collect(), names_changed_at: folder.ok() }
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

impl ProcessScan {
    /// Scans all processes.
    pub(super) fn now() -> Self {
        let mut groups: BTreeMap<u64, Vec<ProcessInfo>> = BTreeMap::new();
        let own = network_identity("self");
        for pid in pids() {
            let pid_text = pid.to_string();
            let Some(namespace) = network_identity(&pid_text).filter(|_| own.is_some()) else { continue };
            if Some(namespace) != own
                && let Some(process) = ProcessInfo::read(pid)
                && network_identity(&pid_text) == Some(namespace)
            {
                groups.entry(namespace).or_default().push(process);
            }
        }
        let groups = groups.into_iter().map(|(namespace, mut processes)| {
            processes.sort_by_key(|process| (process.start_time, process.pid));
            NamespaceProcesses { namespace, processes }
        });
        // Pid 1 always exists.
        Self { groups: groups.collect(), is_partial: network_identity("1").is_none() }
    }
}

impl NamespaceProcesses {
    /// The first process.
    pub(super) fn first(&self) -> &ProcessInfo {
        // A group is created with its first process.
        &self.processes[0]
    }

    /// The command name of its first process. One that executed `/proc/self/exe`, such as `RootlessKit`, is named `exe`;
    /// then its parent has the real name.
    pub(super) fn command(&self) -> String {
        let first = self.first();
        let parent_command = || read_stat(first.parent).map(|(command, ..)| command);
        Some("exe")
            .filter(|exe| first.command == *exe)
            .and_then(|_| parent_command())
            .unwrap_or_else(|| first.command.clone())
    }

    /// The containers in this network namespace and their first processes, in order of their start. A container belongs to
    /// the namespace of its first process, whose parent is outside the container.
    pub(super) fn containers(&self) -> Vec<ContainerProcess> {
        let mut found: Vec<ContainerProcess> = Vec::new();
        for process in &self.processes {
            let own = process.runtime_id.as_ref();
            let is_first = |own: &&RuntimeId| {
                process.parent == 0 || self.runtime_id_of(process.parent).as_ref() != Some(*own)
            };
            let from_monitor =
                || RuntimeId::from_monitor_command(&read_proc_file(process.parent, "cmdline")?);
            let runtime_id = match own.filter(is_first) {
                // The command line of conmon also has the name.
                Some(own) if own.runtime == "podman" => {
                    let named = from_monitor().filter(|named| named.key == own.key);
                    Some(named.unwrap_or_else(|| own.clone()))
                }
                Some(own) => Some(own.clone()),
                None if self.has(process.parent) => None,
                None => from_monitor(),
            };
            let runtime_id =
                runtime_id.filter(|new| !found.iter().any(|known| known.runtime_id.key == new.key));
            found.extend(runtime_id.map(|runtime_id| {
                let is_in_control_group = own.is_some_and(|own| own.key == runtime_id.key);
                ContainerProcess {
                    runtime_id,
                    pid: Some(process.pid).filter(|pid| is_in_control_group && is_pid_of_engine(*pid)),
                    start_time: process.start_time,
                }
            }));
        }
        found
    }

    fn has(&self, pid: i32) -> bool {
        self.processes.iter().any(|process| process.pid == pid)
    }

    fn runtime_id_of(&self, pid: i32) -> Option<RuntimeId> {
        match self.processes.iter().find(|process| process.pid == pid) {
            Some(process) => process.runtime_id.clone(),
            None => read_runtime_id(pid),
        }
    }

    /// Whether any of its processes still exists.
    pub(super) fn is_alive(&self) -> bool {
        self.processes
            .iter()
            .any(|process| network_identity(&process.pid.to_string()) == Some(self.namespace))
    }

    /// Whether its first process started less than `seconds` ago.
    pub(super) fn is_younger_than(&self, seconds: u64) -> bool {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let now = uptime.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
        now.is_some_and(|now| now.saturating_sub(self.first().start_time / TICKS_PER_SECOND) < seconds)
    }
}

impl ProcessInfo {
    fn read(pid: i32) -> Option<Self> {
        let (command, parent, start_time) = read_stat(pid)?;
        Some(Self { pid, parent, start_time, command, runtime_id: read_runtime_id(pid) })
    }
}

/// Whether the engine knows a container's first process by this pid: there is no pid namespace between this one and that of
/// the container (proc(5), `NSpid`).
fn is_pid_of_engine(pid: i32) -> bool {
    let status = read_proc_file(pid, "status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let pids: Vec<&str> = pids.unwrap_or_default().split_whitespace().collect();
    matches!(pids[..], [_] | [_, "1"])
}

fn read_proc_file(pid: i32, file: &str) -> Option<Vec<u8>> {
    proc_file::read(&format!("/proc/{pid}/{file}"), MAX_PROC_FILE_LEN)
}

fn read_runtime_id(pid: i32) -> Option<RuntimeId> {
    RuntimeId::from_cgroup(&String::from_utf8(read_proc_file(pid, "cgroup")?).ok()?)
}

/// The start time of a process in ticks since boot, which distinguishes it from a later one with the same pid. `None`
/// where there is no such process.
pub(in crate::engine) fn process_start_time(pid: i32) -> Option<u64> {
    read_stat(pid).map(|(_, _, start_time)| start_time)
}

fn read_stat(pid: i32) -> Option<(String, i32, u64)> {
    parse_stat(&String::from_utf8_lossy(&read_proc_file(pid, "stat")?))
}

/// Command, parent and start time from `/proc/PID/stat`. The command is in parentheses and may contain any character,
/// parentheses included (proc(5)).
fn parse_stat(text: &str) -> Option<(String, i32, u64)> {
    let (command, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // `fields` starts with the third field of the line.
    Some((command.to_owned(), fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inventory_contains_processes_while_they_run() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = child.id().cast_signed();
        assert!(ProcessInventory::now().pids.contains(&pid));
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert!(!ProcessInventory::now().pids.contains(&pid));
    }

    #[test]
    fn a_command_may_contain_parentheses_and_line_ends() {
        let rest = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 4096 100";
        let expected = |command: &str| Some((command.to_owned(), 7, 123_456));
        assert_eq!(parse_stat(&format!("42 (sh) {rest}")), expected("sh"));
        assert_eq!(parse_stat(&format!("42 (a) S 1 (}}{{\n) {rest}")), expected("a) S 1 (}{\n"));
        assert_eq!(parse_stat("42 (sh) S 7"), None);
        assert_eq!(parse_stat(""), None);
    }
}
