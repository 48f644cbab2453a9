//! Slow readers: packets are kept in bounded memory, and counted if dropped.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, eventually, folder, signal, start};
use crate::support::recording::{Statistics, statistics_of};
use crate::support::traffic::flood;

pub(crate) const TESTS: &[Test] = tests![
    packets_dropped_for_a_stalled_reader_are_counted,
    packets_dropped_for_a_stalled_reader_are_counted_for_added_containers,
    packets_dropped_for_a_stalled_reader_are_counted_through_an_engine,
    a_burst_within_the_memory_limit_is_not_dropped,
    packets_unwritten_at_the_end_are_counted,
    a_slow_reader_gets_a_complete_stream,
];

/// Longer than it takes to fill the rings.
const STALL: Duration = Duration::from_secs(4);
/// Longer than the timeout of a silent peer stream.
const LONG_STALL: Duration = Duration::from_secs(12);
/// Longer than the time between two reads.
const SETTLED: Duration = Duration::from_millis(400);
/// The limit for the memory of a capture besides its rings: code, stacks, buffers.
const BESIDES_KB: u64 = 24 * 1024;

/// A capture, and its reader that stalls.
struct Stalled {
    child: Child,
    reader: ChildStdout,
    path: PathBuf,
    file: File,
    /// The last bytes read.
    tail: Vec<u8>,
    _folder: TempDir,
}

impl Stalled {
    fn begin(lab: &Lab, options: &[&str]) -> Self {
        let mut command = lab.program();
        command.args(["capture", "-f", "udp port 9", "-w", "-"]).args(options);
        let mut child = start(&mut command);
        let reader = child.stdout.take().expect("its output");
        let folder = folder();
        let path = folder.path().join("out.pcapng");
        let file = File::create(&path).expect("a file");
        Self { child, reader, path, file, tail: Vec::new(), _folder: folder }
    }

    /// Reads until `container` is in the stream.
    fn read_until(&mut self, container: &Container) {
        let interface = format!("{}:eth0", container.name);
        while !self.tail.windows(interface.len()).any(|window| window == interface.as_bytes()) {
            let mut some = [0; 4096];
            let count = self.reader.read(&mut some).expect("more of the stream");
            assert_ne!(count, 0, "it captures");
            self.file.write_all(&some[..count]).expect("room");
            self.tail.extend_from_slice(&some[..count]);
        }
    }

    /// Asserts that the memory of its processes is bounded by rings of `rings_mib`.
    fn assert_bounded(&self, lab: &Lab, containers: &[&Container], rings_mib: u64) {
        let mut processes = descendants(self.child.id());
        for container in containers {
            let its = format!("label=org.containerdump.target={}", container.id);
            let tap = lab.docker(&["ps", "--quiet", "--filter", &its]);
            if !tap.is_empty() {
                let process = lab.docker(&["inspect", "--format", "{{.State.Pid}}", &tap]);
                processes.push(process.parse().expect("a pid"));
            }
        }
        let used: u64 = processes.iter().map(|pid| memory_of(*pid)).sum();
        let most = rings_mib * 1024 + BESIDES_KB * processes.len() as u64;
        assert!(used < most, "{used} kB of {most} in {processes:?}");
    }

    /// Continues reading until `read` holds for the length; then each container sends `more` packets and the capture ends.
    /// Returns its standard error.
    fn resume(&mut self, containers: &[&Container], more: u64, read: impl Fn(u64) -> bool) -> String {
        let (mut from, mut to) = (self.reader.by_ref(), self.file.try_clone().expect("a descriptor"));
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || io::copy(&mut from, &mut to));
            eventually("it is read", || read(length(&self.path)));
            for container in containers {
                flood(container, more);
            }
            signal(&self.child, "INT");
            reading.join().expect("a thread").expect("all of it");
        });
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("what it says");
        stderr.read_to_string(&mut said).expect("text");
        assert!(self.child.wait().expect("a child").success(), "{said}");
        said
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().expect("the file").len()
}

/// A process and its descendants.
fn descendants(pid: u32) -> Vec<u32> {
    let listed = Command::new("pgrep").args(["--parent", &pid.to_string()]).output().expect("pgrep");
    let listed = String::from_utf8(listed.stdout).expect("pids");
    let children = listed.lines().flat_map(|child| descendants(child.parse().expect("a pid")));
    [pid].into_iter().chain(children).collect()
}

/// Its proportional set size in kB, including rings.
fn memory_of(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("its memory");
    let part = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("its part");
    part.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

const MANY: u64 = 30_000;
const MORE: u64 = 50;
/// Packets that fit into the default kernel buffer, 112 MiB, and not into half of it.
const BURST: u64 = 60_000;

/// Floods `containers` while nothing is read, the n-th n times, and asserts that all packets are written or counted and
/// reported.
fn assert_counted(
    lab: &Lab,
    mut capture: Stalled,
    containers: &[&Container],
    stall: Duration,
    rings_mib: u64,
) {
    for (container, times) in containers.iter().zip(1..) {
        flood(container, MANY * times);
    }
    std::thread::sleep(stall);
    capture.assert_bounded(lab, containers, rings_mib);
    let path = capture.path.clone();
    let said = capture.resume(containers, MORE, |before| {
        std::thread::sleep(SETTLED);
        length(&path) == before
    });
    let statistics = statistics_of(&capture.path);
    let mut told = Vec::new();
    for (container, times) in containers.iter().zip(1..) {
        let sent = MANY * times + MORE;
        let one = statistics
            .values()
            .find(|one| one.packets + one.lost == sent)
            .unwrap_or_else(|| panic!("{} of {sent}: {statistics:?}", container.name));
        assert!(one.lost_in_kernel > 0 && one.packets > MORE, "{statistics:?}");
        assert_eq!((one.received, one.written), (sent, one.packets), "{statistics:?}");
        told.push((one.lost, format!("{} of {}:eth0", one.lost, container.name)));
    }
    told.sort_by_key(|(lost, _)| std::cmp::Reverse(*lost));
    let told: Vec<&str> = told.iter().map(|(_, words)| words.as_str()).collect();
    assert!(said.contains(&format!("dropped: {}. For longer bursts", told.join(", "))), "{told:?} in {said}");
}

fn packets_dropped_for_a_stalled_reader_are_counted(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let mut capture = Stalled::begin(lab, &["-B", "2", &one.name, &other.name]);
    capture.read_until(&one);
    capture.read_until(&other);
    assert_counted(lab, capture, &[&one, &other], STALL, 4);
}

fn packets_dropped_for_a_stalled_reader_are_counted_for_added_containers(lab: &Lab) {
    let label = format!("stalls={}", std::process::id());
    let first = lab.container(&["--label", &label]);
    let mut capture = Stalled::begin(lab, &["-B", "2", "--label", &label]);
    capture.read_until(&first);
    let late = lab.container(&["--label", &label]);
    capture.read_until(&late);
    assert_counted(lab, capture, &[&first, &late], LONG_STALL, 4);
}

fn packets_dropped_for_a_stalled_reader_are_counted_through_an_engine(lab: &Lab) {
    let container = lab.container(&[]);
    let mut capture = Stalled::begin(lab, &["-B", "2", "--tap", "engine", &container.name]);
    capture.read_until(&container);
    assert_counted(lab, capture, &[&container], LONG_STALL, 2);
}

/// Floods `container` with default settings while nothing is read, and ends after `until` bytes were read. Returns the
/// number of sent packets, statistics and standard error.
fn burst(lab: &Lab, container: &Container, tap: &str, until: u64) -> (u64, Statistics, String) {
    let mut capture = Stalled::begin(lab, &["--tap", tap, &container.name]);
    capture.read_until(container);
    flood(container, BURST);
    std::thread::sleep(STALL);
    capture.assert_bounded(lab, &[container], 112);
    let said = capture.resume(&[container], MORE, |read| read > until);
    (BURST + MORE, statistics_of(&capture.path)[&0], said)
}

fn a_burst_within_the_memory_limit_is_not_dropped(lab: &Lab) {
    let container = lab.container(&[]);
    for tap in ["auto", "engine"] {
        let (sent, one, said) = burst(lab, &container, tap, BURST * 1000);
        assert_eq!((one.packets, one.received, one.lost), (sent, sent, 0), "{tap}: {one:?}");
        assert!(!said.contains("dropped"), "{said}");
    }
}

fn packets_unwritten_at_the_end_are_counted(lab: &Lab) {
    let container = lab.container(&[]);
    for tap in ["auto", "engine"] {
        let (sent, one, said) = burst(lab, &container, tap, 1_000_000);
        assert_eq!(
            (one.packets + one.lost, one.received, one.lost_in_kernel),
            (sent, sent, 0),
            "{tap}: {one:?}"
        );
        assert_eq!(said.contains(&format!("dropped: {} of {}:eth0", one.lost, container.name)), one.lost > 0);
    }
}

/// Slower than packets arrive, but never stopped.
fn a_slow_reader_gets_a_complete_stream(lab: &Lab) {
    let container = lab.container(&[]);
    let mut capture = Stalled::begin(lab, &[&container.name]);
    capture.read_until(&container);
    flood(&container, 2 * MANY);
    signal(&capture.child, "INT");
    let mut some = vec![0; 64 * 1024];
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let count = capture.reader.read(&mut some).expect("more of the stream");
        if count == 0 {
            break;
        }
        capture.file.write_all(&some[..count]).expect("room");
    }
    assert!(capture.child.wait().expect("a child").success());
    let one = statistics_of(&capture.path)[&0];
    assert_eq!((one.packets + one.lost, one.received), (2 * MANY, 2 * MANY), "{one:?}");
}
