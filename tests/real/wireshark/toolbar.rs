//! The toolbar: statistics, pause, filter and log.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, eventually, output};
use crate::support::recording::{capinfos, fields_of, packets_so_far, requests_so_far, statistics_of};
use crate::support::tcpdump::Tcpdump;
use crate::support::toolbar_pipes::{
    ATTACHMENT, FILTER, LOG, PAUSE, STATISTICS, Toolbar, ToolbarCapture, ToolbarPipes,
};
use crate::support::traffic::flood;

pub(crate) const TESTS: &[Test] = tests![
    a_capture_is_paused_and_resumed,
    a_paused_capture_ends_normally,
    the_toolbar_shows_statistics_and_interfaces,
    the_toolbar_shows_dropped_packets_by_interface,
    the_capture_filter_is_changed_during_a_capture,
    containers_started_later_get_the_current_capture_filter,
    an_applied_filter_is_not_kept_for_the_next_capture,
    a_filter_entered_before_the_capture_is_applied,
];

/// Tests that need the static program.
pub(crate) const THROUGH_ENGINE: &[Test] =
    tests![a_tap_container_applies_a_changed_filter_or_reports_why_not];

fn block(container: &Container) -> String {
    format!("{}:eth0", container.name)
}

fn requests(path: &Path) -> usize {
    fields_of(path, "http.request", &["frame.number"]).len()
}

/// Sends a datagram to a closed port.
fn send(container: &Container) {
    output(Command::new("bash").args(["-c", &format!("echo >/dev/udp/{}/9", container.address())]));
}

/// The interfaces of the datagrams of [`send`].
fn datagrams(path: &Path) -> Vec<String> {
    fields_of(path, "udp.dstport == 9", &["frame.interface_name"]).concat()
}

/// A capture of a container's datagrams, with its toolbar.
fn begin(lab: &Lab, container: &Container) -> (ToolbarCapture, Toolbar) {
    let filter = format!("tcp and host {}", container.address());
    let interface = container.interface();
    let options = ["--extcap-interface", &interface, "--extcap-capture-filter", &filter];
    let capture = ToolbarCapture::begin(lab.program(), &options, ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    toolbar.shows("who is there", |toolbar| toolbar.list.iter().any(|(name, _)| *name == block(container)));
    assert_eq!((toolbar.field(FILTER), toolbar.field(PAUSE)), (filter.as_str(), "Pause"));
    (capture, toolbar)
}

fn a_capture_is_paused_and_resumed(lab: &Lab) {
    let container = lab.container(&[]);
    let (capture, mut toolbar) = begin(lab, &container);
    container.fetch(3);
    toolbar.set(PAUSE, "");
    toolbar.shows("it is paused", |toolbar| toolbar.field(PAUSE) == "Resume");
    let witness =
        Tcpdump::begin(&container.host_veth("eth0"), &format!("tcp and host {}", container.address()));
    container.fetch(20);
    witness.settle();
    toolbar.shows("it says so", |toolbar| toolbar.field(STATISTICS) == "paused, 0 dropped");
    let (witness, _witness_folder) = witness.stop();
    toolbar.set(PAUSE, "");
    toolbar.shows("it goes on", |toolbar| toolbar.field(PAUSE) == "Pause");
    container.fetch(4);
    let missed = format!("{} packets discarded while paused", capinfos(&witness, "Number of packets"));
    toolbar.shows("what was left out is told", |toolbar| toolbar.log.contains(&missed));
    eventually("the last requests are there", || requests_so_far(&capture.path) == 7);
    let (path, _folder) = capture.stop();
    assert_eq!(requests(&path), 7);
    let statistics = statistics_of(&path)[&0];
    assert_eq!(statistics.written, statistics.packets);
    assert_eq!((statistics.received, statistics.lost), (statistics.packets, 0));
    assert_eq!(capinfos(&path, "Strict time order"), "True");
}

fn a_paused_capture_ends_normally(lab: &Lab) {
    let project = format!("p{}", std::process::id());
    let label = format!("com.docker.compose.project={project}");
    let first = lab.container(&["--label", &label]);
    let group = format!("compose-{project}");
    let capture = ToolbarCapture::begin(lab.program(), &["--extcap-interface", &group], ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    toolbar.shows("who is there", |toolbar| toolbar.list.iter().any(|(name, _)| *name == block(&first)));
    toolbar.set(PAUSE, "");
    toolbar.shows("it is paused", |toolbar| toolbar.field(PAUSE) == "Resume");
    let late = lab.container(&["--label", &label]);
    toolbar.shows("who joins", |toolbar| toolbar.list.iter().any(|(name, _)| *name == block(&late)));
    late.fetch(3);
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).expect("a thread");
    let tasks = fs::read_dir(format!("/proc/{}/task", capture.child.id())).expect("threads");
    for status in tasks.flatten().map(status) {
        assert!(status.contains("CapPrm:\t0000000000000000"), "{status}");
    }
    let (path, _folder) = capture.stop();
    assert_eq!(requests(&path), 0);
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost, one.written), (one.packets, 0, one.packets), "{number}");
    }
    // Its interface block is written anyway.
    let names = String::from_utf8_lossy(&fs::read(&path).expect("the file")).into_owned();
    assert!(names.contains(&block(&late)));
}

fn the_toolbar_shows_statistics_and_interfaces(lab: &Lab) {
    let container = lab.container(&[]);
    let (capture, mut toolbar) = begin(lab, &container);
    let runs = |now: &str| !now.starts_with("0 pkt/s") && now.contains("kB/s, 0 dropped");
    for name in ["all", &block(&container)] {
        toolbar.set(ATTACHMENT, name);
        toolbar.shows("figures", |toolbar| {
            container.fetch(10);
            toolbar.field(ATTACHMENT) == name && runs(toolbar.field(STATISTICS))
        });
    }
    toolbar.set(ATTACHMENT, "nobody:eth0");
    toolbar.shows("that there is no such one", |toolbar| {
        toolbar.list.contains(&("nobody:eth0".to_owned(), "nobody:eth0 (not in this capture)".to_owned()))
            && toolbar.field(STATISTICS) == "0 pkt/s, 0 bytes/s, 0 dropped"
    });
    toolbar.set(STATISTICS, "nonsense");
    toolbar.say(STATISTICS, 1, "");
    toolbar.say(200, 77, "of a later Wireshark");
    toolbar.set(LOG, "");
    toolbar.shows("the figures again", |toolbar| toolbar.field(STATISTICS).ends_with("0 dropped"));
    assert!(toolbar.log.contains(&format!("  capturing {}\n", block(&container))), "{}", toolbar.log);
    assert_eq!(toolbar.warnings, [""; 0]);
    capture.stop();
}

fn the_toolbar_shows_dropped_packets_by_interface(lab: &Lab) {
    let container = lab.container(&[]);
    let interface = container.interface();
    let options =
        ["--extcap-interface", &interface, "--extcap-capture-filter", "udp port 9", "--buffer-size", "2"];
    let capture = ToolbarCapture::begin(lab.program(), &options, ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    let name = block(&container);
    toolbar.shows("that nothing is dropped", |toolbar| toolbar.list.contains(&(name.clone(), name.clone())));
    capture.nobody_reads(|| flood(&container, 60_000));
    toolbar.shows("that nothing comes any more", |toolbar| {
        toolbar.field(STATISTICS).starts_with("0 pkt/s") && toolbar.log.contains(" dropped (")
    });
    let dropped = toolbar.field(STATISTICS).rsplit(' ').nth(1).expect("a number").to_owned();
    toolbar.shows("where", |toolbar| {
        toolbar.list.contains(&(name.clone(), format!("{name} · {dropped} dropped")))
    });
    assert!(toolbar.log.contains(&format!(", {dropped} in total")), "{}", toolbar.log);
    let (path, _folder) = capture.stop();
    let statistics = statistics_of(&path)[&0];
    assert_eq!(dropped, statistics.lost_in_kernel.to_string());
    assert_eq!(statistics.packets + statistics.lost_in_kernel, 60_000);
}

fn the_capture_filter_is_changed_during_a_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let (capture, mut toolbar) = begin(lab, &container);
    container.fetch(2);
    send(&container);
    toolbar.set(FILTER, "udp port 9 and inbound");
    toolbar.shows("the new filter", |toolbar| {
        toolbar.field(FILTER) == "udp port 9 and inbound"
            && toolbar.log.contains("capture filter set: udp port 9 and inbound")
    });
    container.fetch(3);
    send(&container);
    toolbar.set(FILTER, "tcp prt 80");
    toolbar.shows("why it is no filter", |toolbar| toolbar.warnings.len() == 1);
    assert!(toolbar.warnings[0].contains("syntax error") && toolbar.warnings[0].contains("\nRemedy: "));
    toolbar.shows("what is to be corrected", |toolbar| {
        toolbar.field(FILTER) == "tcp prt 80" && toolbar.log.contains("capture filter not changed")
    });
    container.fetch(3);
    send(&container);
    // The kernel stores VLAN tags separately: such filters run in the program.
    toolbar.set(FILTER, "tcp and not vlan 7");
    toolbar.shows("another filter", |toolbar| toolbar.field(FILTER) == "tcp and not vlan 7");
    container.fetch(1);
    eventually("the last request is there", || requests_so_far(&capture.path) == 3);
    let (path, _folder) = capture.stop();
    assert_eq!((requests(&path), datagrams(&path).len()), (3, 2));
    let statistics = statistics_of(&path)[&0];
    assert_eq!((statistics.received, statistics.lost), (statistics.packets, 0));
}

fn containers_started_later_get_the_current_capture_filter(lab: &Lab) {
    let project = format!("q{}", std::process::id());
    let label = format!("com.docker.compose.project={project}");
    let first = lab.container(&["--label", &label]);
    let group = format!("compose-{project}");
    let capture = ToolbarCapture::begin(lab.program(), &["--extcap-interface", &group], ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    let is_there =
        |toolbar: &Toolbar, one: &Container| toolbar.list.iter().any(|(name, _)| *name == block(one));
    let second = lab.container(&["--label", &label]);
    toolbar.shows("who joins", |toolbar| is_there(toolbar, &first) && is_there(toolbar, &second));
    toolbar.set(FILTER, "udp port 9");
    toolbar.shows("that all have the filter", |toolbar| toolbar.log.contains("active at all taps"));
    let third = lab.container(&["--label", &label]);
    toolbar.shows("who joins", |toolbar| is_there(toolbar, &third));
    let all = [&first, &second, &third];
    for one in all {
        one.fetch(2);
        send(one);
    }
    assert!(toolbar.log.contains(&format!("{} was added to the capture", third.name)), "{}", toolbar.log);
    toolbar.set(FILTER, "");
    toolbar.shows("that there is no filter", |toolbar| {
        toolbar.log.contains("capture filter removed")
            && toolbar.log.matches("active at all taps").count() == 2
    });
    for one in all {
        one.fetch(1);
    }
    let sent_by_each = |path: &Path| {
        let names = |filter: &str| {
            let mut names = fields_of(path, filter, &["frame.interface_name"]).concat();
            names.sort();
            names
        };
        (names("http.request"), names("udp.dstport == 9"))
    };
    let mut expected: Vec<String> = all.iter().map(|one| block(one)).collect();
    expected.sort();
    eventually("the last requests are there", || requests_so_far(&capture.path) == 3);
    let (path, _folder) = capture.stop();
    assert_eq!(sent_by_each(&path), (expected.clone(), expected));
    let shown = output(Command::new("capinfos").arg(&path));
    assert_eq!(shown.matches("Filter string = udp port 9").count(), 1, "{shown}");
}

fn an_applied_filter_is_not_kept_for_the_next_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let (capture, mut toolbar) = begin(lab, &container);
    for filter in ["udp", ""] {
        toolbar.set(FILTER, filter);
        assert!(toolbar.remembers(FILTER));
        toolbar.shows("that it is in force", |toolbar| !toolbar.remembers(FILTER));
        assert_eq!(toolbar.field(FILTER), filter);
    }
    capture.stop();
}

fn a_filter_entered_before_the_capture_is_applied(lab: &Lab) {
    let container = lab.container(&[]);
    let interface = container.interface();
    let capture =
        ToolbarCapture::begin(lab.program(), &["--extcap-interface", &interface], ToolbarPipes::make());
    let mut toolbar = Toolbar::open_with(&capture.pipes, Some("udp port 9"));
    toolbar
        .shows("it", |toolbar| toolbar.log.contains("filter set: udp port 9") && !toolbar.remembers(FILTER));
    container.fetch(1);
    send(&container);
    let (path, _folder) = capture.stop();
    assert_eq!((requests(&path), datagrams(&path).len()), (0, 1));
}

fn a_tap_container_applies_a_changed_filter_or_reports_why_not(lab: &Lab) {
    let container = lab.container(&[]);
    let interface = container.interface();
    let options = ["--extcap-interface", &interface, "--tap", "engine"];
    let capture = ToolbarCapture::begin(lab.program(), &options, ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    toolbar.shows("who is there", |toolbar| toolbar.list.iter().any(|(name, _)| *name == block(&container)));
    toolbar.set(FILTER, "udp port 9");
    toolbar.shows("that it has the filter", |toolbar| toolbar.log.contains("active at all taps"));
    container.fetch(2);
    send(&container);
    // Names of ports are not resolved there.
    toolbar.set(FILTER, "port domain");
    let kept = format!("{} keeps its previous capture filter: ", block(&container));
    toolbar.shows("that it has no other", |toolbar| toolbar.log.contains(&kept));
    send(&container);
    eventually("both datagrams are there", || packets_so_far(&capture.path, "udp") == 2);
    let (path, _folder) = capture.stop();
    assert_eq!((requests(&path), datagrams(&path).len()), (0, 2));
}
