//! Limits (`-c`, `-a`, `-b`) and output files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, folder};
use crate::support::recording::{Recording, capinfos, statistics_of};

pub(crate) const TESTS: &[Test] = tests![
    packet_count_limit_is_exact,
    duration_limit_ends_a_quiet_capture,
    file_size_limit_is_not_exceeded,
    ring_buffer_keeps_the_newest_files_complete,
    files_are_private_and_not_overwritten_by_default,
    a_failed_capture_leaves_no_file,
];

fn packet_count_limit_is_exact(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &["-c", "7"]);
    container.fetch(3);
    let recorded = recording.end();
    assert_eq!(capinfos(&recorded.path, "Number of packets"), "7");
    assert_eq!(recorded.statistics()[&0].written, 7);
}

fn duration_limit_ends_a_quiet_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &["-a", "duration:1", "-f", "udp port 9"]);
    assert_eq!(recording.end().statistics()[&0].packets, 0);
}

fn file_size_limit_is_not_exceeded(lab: &Lab) {
    let container = lab.container(&[]);
    // The next packet may be large or small.
    for most in [7, 8, 9, 10] {
        let recording = Recording::begin(lab, &[&container], &["-a", &format!("filesize:{most}")]);
        container.fetch(40);
        let recorded = recording.end();
        let packets = statistics_of(&recorded.path)[&0].packets;
        let size = recorded.path.metadata().expect("a file").len();
        // The last statistics come after the last packet.
        assert!(packets > 20 && size <= most * 1000 + 200, "{packets} packets in {size} bytes");
    }
}

fn ring_buffer_keeps_the_newest_files_complete(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("web.pcapng");
    let mut command = lab.program();
    command.args(["capture", &container.name, "-b", "packets:10", "-b", "files:3", "-a", "packets:95", "-w"]);
    let child = crate::support::lab::start(command.arg(&path));
    let mut child = child;
    while child.try_wait().expect("a child").is_none() {
        container.fetch(1);
    }
    assert!(crate::support::lab::end_of(child).status.success());
    let mut files: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|one| one.path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy()[..10].to_owned();
    assert_eq!(
        files.iter().map(|path| name(path)).collect::<Vec<_>>(),
        ["web_00008_", "web_00009_", "web_00010_"]
    );
    let counts: Vec<String> = files.iter().map(|path| capinfos(path, "Number of packets")).collect();
    assert_eq!(counts, ["10", "10", "5"]);
    assert!(files.iter().all(|path| statistics_of(path)[&0].packets <= 10), "each has its statistics");
}

fn files_are_private_and_not_overwritten_by_default(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("kept.pcapng");
    std::fs::write(&path, "precious").expect("a file");
    let run = |options: &[&str]| {
        let mut command = lab.program();
        command.args(["capture", &container.name, "-a", "duration:0.2"]).args(options).arg("-w").arg(&path);
        command.output().expect("a run")
    };
    let refused = run(&[]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--overwrite"));
    assert_eq!(std::fs::read(&path).expect("the file"), b"precious");
    assert!(run(&["--overwrite"]).status.success());
    assert!(capinfos(&path, "Number of packets").parse::<u64>().is_ok());
    std::fs::remove_file(&path).expect("it is there");
    assert!(run(&[]).status.success());
    assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
}

fn a_failed_capture_leaves_no_file(lab: &Lab) {
    let folder = folder();
    let path = folder.path().join("none.pcapng");
    let failed =
        lab.program().args(["capture", "no-such-container", "-w"]).arg(&path).output().expect("a run");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && said.contains("containerdump list"), "{said}");
    assert!(!path.exists());
}
