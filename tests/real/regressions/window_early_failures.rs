//! Captures that fail early, in Wireshark's window.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::real::wireshark::window::WindowTest;
use crate::support::desktop::{Desktop, WiresharkVersion, apart};
use crate::support::harness::tests;
use crate::support::lab::{Container, Lab, end_of, eventually, output, start};

pub(crate) const TESTS: &[WindowTest] = tests![the_window_responds_after_captures_that_fail_early];

/// The button that starts a capture, in a window that fills the screen.
const START: [&str; 5] = ["mousemove", "20", "60", "click", "1"];

/// A capture that fails in the window.
struct EarlyFailure<'a> {
    interface: &'a str,
    options: &'a [&'a str],
    /// What the log says.
    says: &'a str,
    /// The container, which ends between the list and the capture.
    gone: Option<Container>,
}

/// Processes that keep the processors busy.
struct BusyProcesses(Vec<Child>);

impl BusyProcesses {
    fn begin() -> Self {
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
        Self((0..4).map(|_| busy()).collect())
    }
}

impl Drop for BusyProcesses {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn the_window_responds_after_captures_that_fail_early(lab: &Lab, version: WiresharkVersion) {
    // Wireshark freezes for good, as an empty grey window, when a capture fails at once.
    let container = lab.container(&[]);
    let nowhere = lab.container(&["--network", "none"]);
    let gone = lab.container(&[]);
    let (here, lo, of_gone) = (container.interface(), nowhere.interface(), gone.interface());
    let host = ["-o", "extcap.containerdump_ssh.remotehost:127.0.0.1"];
    let port = ["-o", "extcap.containerdump_ssh.remoteport:9"];
    let count = ["-o", "extcap.containerdump_ssh.remotecount:x"];
    let case = |interface, options, says| EarlyFailure { interface, options, says, gone: None };
    let (refused, wrong) = ([host, port].concat(), [host, count].concat());
    for case in [
        case(&here, &["-f", "tcp prot 80"], "tcp prot 80"),
        case(&lo, &[], "only root may enter it"),
        case("containerdump-docker", &[], "permission denied"),
        case("containerdump-ssh", &refused, "127.0.0.1"),
        case("containerdump-ssh", &wrong, "invalid value for --remote-count"),
        EarlyFailure { gone: Some(gone), ..case(&of_gone, &[], "no longer runs") },
    ] {
        fails_in_window(lab, version, case);
    }
}

fn fails_in_window(lab: &Lab, version: WiresharkVersion, case: EarlyFailure) {
    let desk = Desktop::with(lab, version);
    let mut wireshark = apart(&desk);
    let socket = desk.path("denied.sock");
    let _denied = (case.interface == "containerdump-docker").then(|| {
        let listener = UnixListener::bind(&socket).expect("a socket");
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).expect("its mode");
        wireshark.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        listener
    });
    let hold = desk.path("hold");
    fs::write(&hold, "").expect("a file");
    let mut window = start(wireshark.args(["-k", "-i", case.interface]).args(case.options));
    if let Some(container) = case.gone {
        let started = format!("--capture --extcap-interface {} ", case.interface);
        let is_started = || output(Command::new("ps").args(["-e", "-o", "args="])).contains(&started);
        eventually("the capture is started", is_started);
        drop(container);
    }
    fs::remove_file(&hold).expect("the file");
    let failures = || desk.lines("log").iter().filter(|line| line.contains(case.says)).count();
    let xdotool = |words: &[&str]| end_of(start(desk.runs("xdotool").args(words)));
    let shows_dialog = || {
        let titles =
            xdotool(&["search", "--onlyvisible", "--class", "ireshark", "getwindowname", "%@"]).stdout;
        String::from_utf8_lossy(&titles).lines().any(|title| title == "Wireshark")
    };
    let main = ["search", "--onlyvisible", "--name", "^The Wireshark Network Analyzer"];
    let answers = || {
        xdotool(&["key", "Return"]);
        thread::sleep(Duration::from_millis(200));
        xdotool(&main).status.success() && !shows_dialog()
    };
    eventually(&format!("the window shows the error: {}", case.says), || failures() > 0 && shows_dialog());
    for number in 1..=window_starts() {
        let _load = (number > 1).then(BusyProcesses::begin);
        eventually("the capture fails, and the window answers to keys", || {
            let is_idle = answers();
            if is_idle && failures() < number {
                xdotool(&START);
                let pressed = Instant::now();
                while failures() < number && pressed.elapsed() < Duration::from_secs(3) {
                    thread::sleep(Duration::from_millis(20));
                }
            }
            is_idle && failures() >= number
        });
    }
    eventually("the window closes", || {
        answers();
        xdotool(&[&main[..], &["windowactivate", "key", "ctrl+q"]].concat());
        thread::sleep(Duration::from_millis(200));
        window.try_wait().expect("a child").is_some()
    });
    assert!(end_of(window).status.success());
}

/// How often each capture is started in the window: `CONTAINERDUMP_STARTS`, or twice.
fn window_starts() -> usize {
    std::env::var("CONTAINERDUMP_STARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}
