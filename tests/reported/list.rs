//! The interface list and the profile.

use std::fs::{self, File};
use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Test;
use crate::lab::{Lab, end_of, eventually, fifo, folder, output, signal, start};
use crate::window::{Desk, Version, WindowTest};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_container_that_ended_since_the_list_is_reported_in_words_of_the_window",
        a_container_that_ended_since_the_list_is_reported_in_words_of_the_window,
    ),
    (
        "a_tap_that_is_impossible_is_reported_with_the_words_of_the_dialog",
        a_tap_that_is_impossible_is_reported_with_the_words_of_the_dialog,
    ),
];

/// How long Wireshark may take to pass on a click, before another is tried.
const UNTIL_HEARD: Duration = Duration::from_secs(5);

/// Background of a selected row in Qt's default style.
const SELECTED: &str = "#308CC6";

/// The name of a Compose project that is before all other entries.
const FIRST: &str = "com.docker.compose.project=0first";

fn the_profile_lists_containers_first_and_selects_one(lab: &Lab, version: Version) {
    // At the first start, 22 interfaces of the host (veth…, br-…) stood before the first container.
    let _container = lab.container(&["--label", FIRST]);
    let desk = Desk::with(lab, version);
    let folder = desk.path("config/wireshark/profiles/Containers");
    fs::create_dir_all(&folder).expect("a folder");
    let ours = include_str!("../../installer/profile/preferences");
    let quiet = "\ngui.update.enabled: FALSE\ngui.ask_unsaved: FALSE\n";
    fs::write(folder.join("preferences"), [ours, quiet].concat()).expect("preferences");
    let window = start(desk.wireshark().args(["-C", "Containers"]));
    let asked = |question: &str| desk.lines("asked").into_iter().find(|line| line.starts_with(question));
    let picture = desk.path("picture.png");
    let selected = || {
        output(desk.runs("import").args(["-window", "root", "-depth", "8"]).arg(&picture));
        let mut convert = Command::new("convert");
        convert.arg(&picture).args([
            "-fill",
            "black",
            "+opaque",
            SELECTED,
            "-trim",
            "-format",
            "%X %Y %w %h",
            "info:",
        ]);
        let numbers: Vec<i32> = output(&mut convert).split(' ').filter_map(|one| one.parse().ok()).collect();
        // The list is as wide as the window.
        (numbers.len() == 4 && numbers[2] > 400).then(|| (numbers[0] + 200, numbers[1] + numbers[3] / 2))
    };
    eventually("a row of the list is selected", || selected().is_some());
    // Wireshark selects the first interface that it shows.
    let (x, y) = selected().expect("a row");
    eventually("the first entry is captured", || {
        let click =
            ["mousemove", &x.to_string(), &y.to_string(), "click", "--repeat", "2", "--delay", "50", "1"];
        end_of(start(desk.runs("xdotool").args(click)));
        let clicked = Instant::now();
        while asked("--capture ").is_none() && clicked.elapsed() < UNTIL_HEARD {
            std::thread::sleep(Duration::from_millis(20));
        }
        asked("--capture ").is_some()
    });
    let captured = asked("--capture ").expect("a capture");
    assert!(captured.contains(" compose-0first "), "{captured}");
    signal(&window, "TERM");
    end_of(window);
}

/// Those that run in the window of each version of Wireshark.
pub(crate) const WINDOW_TESTS: &[WindowTest] = &[(
    "the_profile_lists_containers_first_and_selects_one",
    the_profile_lists_containers_first_and_selects_one,
)];

/// What a capture that Wireshark starts writes to standard error, which Wireshark shows in a dialog.
fn reported(lab: &Lab, interface: &str, options: &[&str]) -> String {
    let folder = folder();
    let fifo = fifo(&folder);
    let mut capture = lab.program();
    capture.args(["--capture", "--extcap-interface", interface]).args(options).arg("--fifo").arg(&fifo);
    let capture = start(&mut capture);
    let mut packets = Vec::new();
    File::open(&fifo).and_then(|mut fifo| fifo.read_to_end(&mut packets)).expect("the FIFO can be read");
    String::from_utf8(end_of(capture).stderr).expect("text")
}

fn a_container_that_ended_since_the_list_is_reported_in_words_of_the_window(lab: &Lab) {
    // The window showed the remedy of the command line: `containerdump list`.
    let container = lab.container(&[]);
    lab.docker(&["rm", "--force", &container.name]);
    let expected =
        format!("container {} no longer runs.\nRemedy: press F5 and choose again.\n", container.name);
    assert_eq!(reported(lab, &container.interface(), &[]), expected);
    let expected =
        "no container of Compose project nosuch is running any more.\nRemedy: press F5 and choose again.\n";
    assert_eq!(reported(lab, "compose-nosuch", &[]), expected);
    let on_command_line = end_of(start(lab.program().args(["capture", &container.name, "-w", "-"])));
    let expected = format!(
        "containerdump: no running container is called \"{}\".\nRemedy: see which there are: containerdump list.\n",
        container.name
    );
    assert_eq!(String::from_utf8_lossy(&on_command_line.stderr), expected);
}

fn a_tap_that_is_impossible_is_reported_with_the_words_of_the_dialog(lab: &Lab) {
    // The window's remedy named an option of the command line: `leave --tap out`.
    let container = lab.container(&["--network", "none"]);
    let dialog =
        output(lab.program().args(["--extcap-config", "--extcap-interface", &container.interface()]));
    let said = reported(lab, &container.interface(), &["--tap", "host"]);
    assert!(said.contains("at the host veth: its packets do not pass there"), "{said}");
    for label in ["Automatic", "Where to capture"] {
        assert!(said.contains(label) && dialog.contains(&format!("{{display={label}}}")), "{said}\n{dialog}");
    }
    assert!(!said.contains("--"), "{said}");
}
