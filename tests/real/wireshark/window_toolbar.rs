//! The toolbar in Wireshark's window, used by mouse and keys.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::desktop::{Desktop, apart};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, output, start};
use crate::support::recording::{fields_of, packets_so_far, requests_so_far, statistics_of};

pub(crate) const TESTS: &[Test] = tests![the_window_pauses_resumes_and_filters_a_capture];

/// Positions in a maximized window.
const FILTER: (&str, &str) = ("880", "125");
const PAUSE: (&str, &str) = ("1060", "125");
const LOG: (&str, &str) = ("1146", "125");

/// How long to wait for the effect of a click before it is repeated.
const UNTIL_HEARD: Duration = Duration::from_secs(5);

fn act(desk: &Desktop, words: &[&str]) {
    end_of(start(desk.runs("xdotool").args(words)));
}

/// Clicks until the log has another `line`.
fn click(desk: &Desktop, (x, y): (&str, &str), then: &[&str], line: &str) {
    let said = || desk.lines("log").iter().filter(|said| said.ends_with(line)).count();
    let before = said();
    eventually(line, || {
        act(desk, &["mousemove", x, y, "click", "1"]);
        if !then.is_empty() {
            act(desk, then);
        }
        let clicked = Instant::now();
        while said() == before && clicked.elapsed() < UNTIL_HEARD {
            std::thread::sleep(Duration::from_millis(20));
        }
        said() > before
    });
}

fn the_window_pauses_resumes_and_filters_a_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let desk = Desktop::new(lab);
    let window = begin(&desk, &container);
    let so_far = || requests_so_far(&desk.file());
    container.fetch(3);
    eventually("they are there", || so_far() == 3);

    click(&desk, PAUSE, &[], "paused");
    container.fetch(5);
    eventually("the window shows what came before", || {
        desk.lines("shown").len() == packets_so_far(&desk.file(), "ip")
    });
    let shown = desk.lines("shown").len();
    container.fetch(5);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((desk.lines("shown").len(), so_far()), (shown, 3));

    click(&desk, PAUSE, &[], "resumed");
    container.fetch(4);
    eventually("it goes on", || so_far() == 7);
    eventually("the window does", || desk.lines("shown").len() > shown);

    let write = ["key", "ctrl+a", "type", "udp port 9"];
    act(&desk, &["mousemove", FILTER.0, FILTER.1, "click", "1"]);
    act(&desk, &write);
    click(&desk, FILTER, &["key", "Return"], ": udp port 9");
    container.fetch(5);
    output(Command::new("bash").args(["-c", &format!("echo >/dev/udp/{}/9", container.address())]));
    eventually("what passes the filter is there", || packets_so_far(&desk.file(), "udp") == 1);

    act(&desk, &["mousemove", LOG.0, LOG.1, "click", "1"]);
    let titled = format!("{} Log", container.interface());
    eventually("the log is opened", || {
        desk.runs("xdotool")
            .args(["search", "--onlyvisible", "--name", &titled])
            .output()
            .is_ok_and(|out| out.status.success())
    });
    act(&desk, &["key", "Escape"]);
    assert!(desk.close(window).status.success());
    assert_eq!(fields_of(&desk.file(), "http.request", &["frame.number"]).len(), 7);
    let statistics = statistics_of(&desk.file())[&0];
    assert_eq!((statistics.received, statistics.lost), (statistics.packets, 0));
}

fn begin(desk: &Desktop, container: &Container) -> Child {
    let filter = format!("ip host {}", container.address());
    let window = desk.open_by(apart(desk), container, &["-f", &filter]);
    eventually("the toolbar is open", || {
        desk.lines("log").iter().any(|line| line.ends_with("toolbar opened"))
    });
    window
}
