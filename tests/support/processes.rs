//! Processes of a capture, as the kernel lists them.

use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use super::lab::eventually;

/// The child processes of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let listed = Command::new("pgrep").args(["--parent", &pid.to_string()]).output().expect("pgrep");
    let listed = String::from_utf8(listed.stdout).expect("pids");
    listed.lines().map(|pid| pid.parse().expect("a pid")).collect()
}

/// The taps of a session that read packets. Taps in the broker's pool still have a capability.
pub(crate) fn taps(session: u32) -> Vec<u32> {
    let has_none = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("CapPrm:\t0000000000000000") && !status.contains("State:\tZ")
    };
    let brokers = children(session).into_iter();
    brokers.flat_map(children).filter(has_none).collect()
}

/// The capability lines in the status of every thread.
pub(crate) fn rights(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let status =
        tasks.flatten().map(|task| fs::read_to_string(task.path().join("status")).expect("its status"));
    let wanted = |line: &&str| {
        ["CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"].iter().any(|key| line.starts_with(key))
    };
    status.flat_map(|status| status.lines().filter(wanted).map(str::to_owned).collect::<Vec<_>>()).collect()
}

pub(crate) fn assert_no_capabilities(pid: u32) {
    let rights = rights(pid);
    assert!(rights.len() >= 5, "{rights:?}");
    for line in rights {
        let value = line.split_whitespace().nth(1).expect("a value");
        assert_eq!(value, if line.starts_with("NoNewPrivs") { "1" } else { "0000000000000000" }, "{line}");
    }
}

/// Waits until every thread of a tap has both filters of system calls.
pub(crate) fn assert_system_calls_are_restricted(pid: u32) {
    let is_restricted =
        |status: std::io::Result<String>| status.is_ok_and(|text| text.contains("Seccomp_filters:\t2\n"));
    eventually("system calls are restricted", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
        tasks.map(|task| fs::read_to_string(task.path().join("status"))).all(is_restricted)
    });
}

/// The limits of core files of a process, soft and hard.
pub(crate) fn core_limits(pid: u32) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).expect("a limit");
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("the soft limit"), words.next().expect("the hard limit"))
}

/// The most resident memory that a running process has had, in KiB.
pub(crate) fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Waits until a process has ended. Returns the most resident memory it has had, in KiB, as far as it was seen.
pub(crate) fn peak_memory_to_the_end(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().expect("a child").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        // A process that is ending has none.
        let seen = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = seen.map_or(peak, |seen| seen.trim().trim_end_matches(" kB").parse().expect("a number"));
        thread::sleep(Duration::from_millis(1));
    }
    peak
}

/// The resident memory of a process, with its share of what others also use, and of its rings (mapped sockets), in KiB.
pub(crate) fn memory(pid: u32) -> (u64, u64) {
    let table = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("its memory");
    let (mut own, mut rings, mut is_ring) = (0, 0, false);
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kib = || words[1].parse::<u64>().expect("a number");
        match words[0] {
            "Size:" if is_ring => rings += kib(),
            "Pss:" if !is_ring => own += kib(),
            word if !word.ends_with(':') => is_ring = line.contains("socket:"),
            _ => {}
        }
    }
    (own, rings)
}
