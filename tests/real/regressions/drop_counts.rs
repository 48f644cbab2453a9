//! Dropped packets in Wireshark's statistics, capinfos and the status bar.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pcap_parser::Block;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, folder, output, signal, start};
use crate::support::recording::{Recording, capinfos, each_block, packets_so_far, statistics_of};
use crate::support::toolbar_pipes::{STATISTICS, Toolbar, ToolbarCapture, ToolbarPipes};
use crate::support::traffic::flood;
use crate::support::wireshark::WiresharkUser;

pub(crate) const TESTS: &[Test] = tests![
    each_interface_has_exactly_one_statistics_block,
    each_ring_buffer_file_counts_its_own_drops,
    dropped_packets_are_shown_in_the_status_bar_and_the_toolbar,
    tshark_reports_dropped_packets_at_the_end,
    an_idle_capture_writes_nothing,
    an_idle_capture_ends_when_its_reader_exits,
];

/// More than two blocks of periodic statistics were apart.
const IDLE: Duration = Duration::from_secs(7);
/// Packets that the smallest ring has no room for.
const SENT: u64 = 60_000;

/// How many statistics blocks each interface of a file has.
fn blocks(path: &Path) -> BTreeMap<u32, usize> {
    let mut blocks = BTreeMap::new();
    let mut interfaces = 0;
    each_block(path, |block| match block {
        Block::InterfaceDescription(_) => {
            blocks.insert(interfaces, 0);
            interfaces += 1;
        }
        Block::InterfaceStatistics(statistics) => *blocks.entry(statistics.if_id).or_default() += 1,
        _ => {}
    });
    blocks
}

/// What capinfos says of the statistics of each interface.
fn entries(path: &Path) -> Vec<String> {
    let all = output(Command::new("capinfos").arg(path));
    let lines = all.lines().filter_map(|line| line.trim().strip_prefix("Number of stat entries = "));
    lines.map(str::to_owned).collect()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|one| one.expect("a file").path()).collect();
    files.sort();
    files
}

fn each_interface_has_exactly_one_statistics_block(lab: &Lab) {
    // 900,209 dropped packets, and Capture File Properties said "Unknown": Wireshark takes the drops of an
    // interface over only where it has exactly one statistics block.
    let label = format!("loss={}", std::process::id());
    let (stays, leaves) = (lab.container(&["--label", &label]), lab.container(&["--label", &label]));
    let options = ["--buffer-size", "2", "--extcap-capture-filter", "udp port 9"];
    let interface = stays.interface();
    let capture = ToolbarCapture::begin(
        lab.program(),
        &[&["--extcap-interface", &interface], &options[..]].concat(),
        ToolbarPipes::make(),
    );
    capture.captures();
    capture.nobody_reads(|| flood(&stays, SENT));
    std::thread::sleep(IDLE);
    let (path, _folder) = capture.stop();
    assert_eq!((blocks(&path), entries(&path)), (BTreeMap::from([(0, 1)]), vec!["1".to_owned()]));
    let statistics = statistics_of(&path)[&0];
    assert!(statistics.lost > 0, "{statistics:?}");
    assert_eq!(statistics.packets + statistics.lost, SENT);

    let recording = Recording::begin(lab, &[], &["--label", &label, "-f", "udp port 9"]);
    eventually("both are captured", || entries(&recording.path).len() == 2);
    flood(&leaves, 10);
    eventually("its packets are written", || packets_so_far(&recording.path, "udp") == 10);
    drop(leaves);
    eventually("it leaves", || blocks(&recording.path).values().sum::<usize>() == 1);
    let recorded = recording.stop();
    assert_eq!(
        (blocks(&recorded.path), entries(&recorded.path).concat()),
        (BTreeMap::from([(0, 1), (1, 1)]), "11".to_owned())
    );
}

fn each_ring_buffer_file_counts_its_own_drops(lab: &Lab) {
    // The same in a ring buffer of files: drops of before are not those of a file.
    let container = lab.container(&[]);
    let folder = folder();
    let files = ["-b", "packets:20", "-B", "2", "-f", "udp port 9", "-w"];
    let mut command = lab.program();
    command.args(["capture", &container.name]).args(files).arg(folder.path().join("web.pcapng"));
    let child = crate::support::lab::start(&mut command);
    eventually("it captures", || {
        files_in(folder.path()).iter().any(|path| path.metadata().is_ok_and(|about| about.len() > 200))
    });
    signal(&child, "STOP");
    flood(&container, SENT);
    signal(&child, "CONT");
    flood(&container, 41);
    eventually("all of it is read", || files_in(folder.path()).len() > 3);
    let settled = || files_in(folder.path()).len();
    eventually("the last file is begun", || {
        let before = settled();
        std::thread::sleep(Duration::from_millis(400));
        settled() == before
    });
    signal(&child, "INT");
    assert!(end_of(child).status.success());
    let all = files_in(folder.path());
    let statistics: Vec<_> = all.iter().map(|path| statistics_of(path)[&0]).collect();
    for (path, one) in all.iter().zip(&statistics) {
        assert_eq!((entries(path).concat().as_str(), one.written), ("1", one.packets), "{}", path.display());
        assert_eq!(capinfos(path, "Number of packets"), one.packets.to_string());
    }
    let sum = |of: fn(&crate::support::recording::Statistics) -> u64| statistics.iter().map(of).sum::<u64>();
    assert!(sum(|one| one.lost) > 0);
    assert_eq!(sum(|one| one.packets + one.lost), SENT + 41);
    assert_eq!(sum(|one| one.received), SENT + 41);
}

fn dropped_packets_are_shown_in_the_status_bar_and_the_toolbar(lab: &Lab) {
    // "Dropped: 0 (0.0%)" in the status bar with 480,582 packets dropped; Now kept the figure of the last second.
    let container = lab.container(&[]);
    let interface = container.interface();
    let options =
        ["--extcap-interface", &interface, "--extcap-capture-filter", "udp port 9", "--buffer-size", "2"];
    let capture = ToolbarCapture::begin(lab.program(), &options, ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    capture.captures();
    capture.nobody_reads(|| flood(&container, SENT));
    let block = format!("{}:eth0: ", container.name);
    toolbar.shows("drops in the status bar", |toolbar| {
        toolbar.status.iter().any(|text| text.starts_with(&block) && text.ends_with(" packets dropped"))
    });
    eventually("all that was not dropped is written", || {
        let told = toolbar
            .log
            .rsplit_once(" in total")
            .map(|(log, _)| log.rsplit(' ').next().unwrap_or_default().to_owned());
        toolbar.read();
        let dropped: u64 = told.and_then(|count| count.parse().ok()).unwrap_or_default();
        packets_so_far(&capture.path, "udp") as u64 + dropped == SENT
    });
    let (path, _folder) = capture.stop();
    let statistics = statistics_of(&path)[&0];
    toolbar.read();
    let now = toolbar.field(STATISTICS);
    let (begin, end) =
        (format!("stopped, {} packets, ", statistics.packets), format!(", {} dropped", statistics.lost));
    assert!(now.starts_with(&begin) && now.ends_with(&end), "{now}");
}

fn tshark_reports_dropped_packets_at_the_end(lab: &Lab) {
    // tshark closes the pipe before it ends a capture: no statistics can be written then.
    let container = lab.container(&[]);
    let user = WiresharkUser::new(lab);
    let file = user.home.path().join("out.pcapng");
    let mut tshark = user.runs("tshark");
    tshark.args(["-q", "-f", "udp port 9", "-i", &container.interface(), "-w"]);
    let child = start(tshark.arg(&file));
    eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
    let program = user.program.to_str().expect("a path");
    let pid = output(Command::new("pgrep").args(["-f", &format!("^{program} --capture")]));
    output(Command::new("kill").args(["-STOP", &pid]));
    // More than the ring of 112 MiB has room for.
    flood(&container, 400_000);
    output(Command::new("kill").args(["-CONT", &pid]));
    eventually("what was not dropped is written", || packets_so_far(&file, "udp") > 1000);
    signal(&child, "INT");
    let ended = end_of(child);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        said.contains("dropped: ") && said.contains(&format!(" of {}:eth0. A capture", container.name)),
        "{said}"
    );
}

fn an_idle_capture_writes_nothing(lab: &Lab) {
    // A quiet capture of 200 containers wrote 580 MB a day: about 100 bytes for each attachment every 3 seconds.
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &["-f", "udp port 9"]);
    let length = || recording.path.metadata().expect("the file").len();
    let before = length();
    std::thread::sleep(IDLE);
    assert_eq!(length(), before);
    let recorded = recording.stop();
    assert_eq!(blocks(&recorded.path), BTreeMap::from([(0, 1)]));
}

fn an_idle_capture_ends_when_its_reader_exits(lab: &Lab) {
    // Nothing is written that would fail: the pipe itself has to be watched.
    let container = lab.container(&[]);
    let interface = container.interface();
    for arguments in [
        &["capture", &container.name, "-f", "udp port 9", "-w", "-"][..],
        &["--capture", "--extcap-interface", &interface, "--extcap-capture-filter", "udp port 9", "--fifo"],
    ] {
        let folder = folder();
        let fifo = crate::support::lab::fifo(&folder);
        let mut command = lab.program();
        command.args(arguments);
        let child = if arguments[0] == "--capture" {
            command.arg(&fifo);
            crate::support::lab::start(&mut command)
        } else {
            let script = "exec \"$@\" >\"$0\"";
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).arg(&fifo).arg(command.get_program()).args(command.get_args());
            for (name, value) in command.get_envs() {
                shell.env(name, value.expect("a value"));
            }
            crate::support::lab::start(&mut shell)
        };
        let mut reader = std::fs::File::open(&fifo).expect("the FIFO");
        let mut stream = Vec::new();
        while !stream.windows(4).any(|window| window == b"eth0") {
            let mut some = [0; 4096];
            let count = std::io::Read::read(&mut reader, &mut some).expect("the begin of the stream");
            assert_ne!(count, 0, "it captures");
            stream.extend_from_slice(&some[..count]);
        }
        drop(reader);
        assert!(end_of(child).status.success());
    }
}
