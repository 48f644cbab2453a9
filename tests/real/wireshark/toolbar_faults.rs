//! Toolbars that are absent, slow, hostile or closed do not stop the capture.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::fcntl::OFlag;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually};
use crate::support::recording::{capinfos, requests_so_far};
use crate::support::tcpdump::Tcpdump;
use crate::support::toolbar_pipes::{
    ATTACHMENT, FILTER, LOG, PAUSE, STATISTICS, Toolbar, ToolbarCapture, ToolbarPipes, message,
};

pub(crate) const TESTS: &[Test] = tests![
    a_missing_toolbar_does_not_stop_the_capture,
    a_toolbar_that_never_opens_its_pipes_does_not_stop_the_capture,
    a_control_path_that_is_not_a_fifo_is_left_unchanged,
    a_toolbar_that_reads_nothing_does_not_stop_the_capture,
    a_toolbar_that_reads_slowly_does_not_stop_the_capture,
    a_toolbar_that_sends_invalid_messages_does_not_stop_the_capture,
    a_toolbar_that_reconnects_does_not_stop_the_capture,
    a_second_toolbar_gets_statistics_after_the_first_closed,
];

/// Captures the same packets as tcpdump while `host` uses the pipes until `stop`.
fn runs_on(lab: &Lab, pipes: ToolbarPipes, host: &(dyn Fn(&ToolbarPipes, &AtomicBool) + Sync)) {
    let container = lab.container(&[]);
    let filter = format!("tcp and host {}", container.address());
    let interface = container.interface();
    let options = ["--extcap-interface", &interface, "--extcap-capture-filter", &filter];
    let witness = Tcpdump::begin(&container.host_veth("eth0"), &filter);
    let capture = ToolbarCapture::begin(lab.program(), &options, pipes);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (pipes, stop) = (&capture.pipes, &stop);
        let host = scope.spawn(move || host(pipes, stop));
        capture.captures();
        for _ in 0..10 {
            container.fetch(5);
            std::thread::sleep(Duration::from_millis(200));
        }
        witness.settle();
        eventually("all requests are there", || requests_so_far(&capture.path) == 50);
        stop.store(true, Ordering::Relaxed);
        host.join().expect("the host");
    });
    let (path, _folder) = capture.stop();
    let (witness, _witness_folder) = witness.stop();
    for figure in ["Number of packets", "Data size"] {
        assert_eq!(capinfos(&path, figure), capinfos(&witness, figure), "{figure}");
    }
}

fn goes_on(stop: &AtomicBool) -> bool {
    !stop.load(Ordering::Relaxed)
}

fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn open(path: &std::path::Path, options: &mut OpenOptions) -> File {
    options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path).expect("the FIFO")
}

/// A full pipe of a toolbar that shows everything.
fn reads_nothing(pipes: &ToolbarPipes, stop: &AtomicBool) {
    let mut full = open(&pipes.from_capture, OpenOptions::new().read(true).write(true));
    while full.write(&[0; 4096]).is_ok() {}
    let mut toolbar = Toolbar::open(pipes);
    while goes_on(stop) {
        toolbar.set(ATTACHMENT, "all");
        toolbar.set(FILTER, "tcp prt 80");
        toolbar.say(0, 0, "");
        pause();
    }
}

fn reads_slowly(pipes: &ToolbarPipes, stop: &AtomicBool) {
    let mut slow = open(&pipes.from_capture, OpenOptions::new().read(true));
    let _toolbar = Toolbar::open(pipes);
    let (mut bytes, mut byte) = (0, [0]);
    while goes_on(stop) {
        bytes += slow.read(&mut byte).unwrap_or_default();
        pause();
    }
    assert!(bytes > 0, "it says something");
}

fn talks_nonsense(pipes: &ToolbarPipes, stop: &AtomicBool) {
    let _toolbar = Toolbar::open(pipes);
    let mut to_capture = open(&pipes.to_capture, OpenOptions::new().write(true));
    let nonsense = [
        message(255, 255, &[0xff; 1000]),
        message(FILTER, 1, &vec![0xff; 60_000]),
        message(FILTER, 1, "tcp".repeat(3000).as_bytes()),
        message(LOG, 1, b""),
        message(STATISTICS, 1, "\u{1b}[31m".as_bytes()),
        message(PAUSE, 9, b""),
        vec![b'T', 0, 0, 0, 0, b'T', 0, 0, 1],
        vec![b'T', 1, 0, 0, 0],
    ]
    .concat();
    while goes_on(stop) {
        // As much as fits, truncated anywhere.
        let _ = to_capture.write(&nonsense);
    }
}

/// Each time the capture must open its end, or the window would hang.
fn comes_and_goes(pipes: &ToolbarPipes, stop: &AtomicBool) {
    while goes_on(stop) {
        let mut toolbar = Toolbar::open(pipes);
        // An incomplete message.
        toolbar.write(b"T\0\0\x50\x04");
        pause();
    }
}

fn a_second_toolbar_gets_statistics_after_the_first_closed(lab: &Lab) {
    let container = lab.container(&[]);
    let interface = container.interface();
    let capture =
        ToolbarCapture::begin(lab.program(), &["--extcap-interface", &interface], ToolbarPipes::make());
    capture.captures();
    drop(Toolbar::open(&capture.pipes));
    let mut toolbar = Toolbar::open(&capture.pipes);
    toolbar.shows("figures", |toolbar| {
        toolbar.field(STATISTICS).ends_with("0 dropped") && toolbar.list.len() == 2
    });
    capture.stop();
}

fn a_control_path_that_is_not_a_fifo_is_left_unchanged(lab: &Lab) {
    let pipes = ToolbarPipes::none();
    fs::write(&pipes.to_capture, b"T\0\0\x02\x04\x01").expect("a file");
    let letter = pipes.folder.path().join("letter");
    fs::write(&letter, "dear reader").expect("a file");
    symlink(&letter, &pipes.from_capture).expect("a link");
    runs_on(lab, pipes, &|pipes, _| {
        assert_eq!(fs::read(&pipes.from_capture).expect("a file"), b"dear reader");
    });
}

fn a_missing_toolbar_does_not_stop_the_capture(lab: &Lab) {
    runs_on(lab, ToolbarPipes::none(), &|_, _| {});
}

fn a_toolbar_that_never_opens_its_pipes_does_not_stop_the_capture(lab: &Lab) {
    runs_on(lab, ToolbarPipes::make(), &|_, _| {});
}

fn a_toolbar_that_reads_nothing_does_not_stop_the_capture(lab: &Lab) {
    runs_on(lab, ToolbarPipes::make(), &reads_nothing);
}

fn a_toolbar_that_reads_slowly_does_not_stop_the_capture(lab: &Lab) {
    runs_on(lab, ToolbarPipes::make(), &reads_slowly);
}

fn a_toolbar_that_sends_invalid_messages_does_not_stop_the_capture(lab: &Lab) {
    runs_on(lab, ToolbarPipes::make(), &talks_nonsense);
}

fn a_toolbar_that_reconnects_does_not_stop_the_capture(lab: &Lab) {
    runs_on(lab, ToolbarPipes::make(), &comes_and_goes);
}
