//! `--log-file`: who can read the log.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, fifo, folder, start};

pub(crate) const TESTS: &[Test] =
    tests![an_existing_log_file_becomes_private, log_files_that_others_can_read_are_refused];

/// Lists containers on the way to a capture, which ends at once. Returns its exit status and messages.
fn log_to(lab: &Lab, path: &Path) -> (Option<i32>, String) {
    let container = lab.container(&[]);
    let mut program = lab.program();
    program.args(["capture", &container.name, "-a", "duration:0.1", "-w", "-"]);
    let ended = end_of(start(program.args(["--log-level", "info", "--log-file"]).arg(path)));
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

fn an_existing_log_file_becomes_private(lab: &Lab) {
    let folder = folder();
    let log = folder.path().join("log");
    fs::write(&log, "an earlier line\n").expect("a file");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).expect("its mode");
    let (status, said) = log_to(lab, &log);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(log.metadata().expect("the log").mode() & 0o777, 0o600);
    let text = fs::read_to_string(&log).expect("the log");
    assert!(text.starts_with("an earlier line\n") && text.lines().count() > 1, "{text}");
    assert_eq!(log_to(lab, Path::new("/dev/null")).0, Some(0));
}

fn log_files_that_others_can_read_are_refused(lab: &Lab) {
    let folder = folder();
    let refused = |log: &Path, why: &str| {
        let (status, said) = log_to(lab, log);
        assert_eq!(status, Some(1), "{said}");
        let expected = format!("cannot open log file {}: {why}", log.display());
        assert!(said.contains(&expected) && said.contains("Remedy: "), "{said}");
    };
    let foreign = folder.path().join("foreign");
    fs::write(&foreign, "").expect("a file");
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o666)).expect("its mode");
    chown(&foreign, Some(65534), None).expect("its owner");
    refused(&foreign, "it belongs to another user");
    let (linked, other) = (folder.path().join("linked"), folder.path().join("other"));
    fs::write(&linked, "").expect("a file");
    fs::hard_link(&linked, &other).expect("a second name");
    refused(&linked, "it is also linked at another path");
    for log in [&foreign, &linked] {
        assert_eq!(log.metadata().expect("a file").len(), 0, "{}", log.display());
    }
    let fifo = fifo(&folder);
    chown(&fifo, Some(65534), None).expect("its owner");
    fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).expect("its mode");
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&fifo).expect("a reader");
    refused(&fifo, "it belongs to another user");
}
