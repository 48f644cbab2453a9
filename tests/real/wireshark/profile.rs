//! The installed Wireshark profile, in tshark and the window.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::desktop::Desktop;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, eventually, output, start};
use crate::support::recording::{Recorded, Recording};
use crate::support::wireshark::WiresharkUser;

pub(crate) const TESTS: &[Test] = tests![
    the_profile_shows_names_container_and_direction,
    the_profile_colours_directions_and_keeps_error_colours,
    the_window_shows_the_profile,
];

/// Background colours of inbound and outbound packets.
const COLOURS: [&str; 2] = ["#DCEBFF", "#FFF1D6"];

/// Installs the profile for this user.
fn install(user: &WiresharkUser) {
    let installer = user.home.path().join("containerdump-install");
    fs::copy(env!("CARGO_BIN_EXE_containerdump-install"), &installer).expect("a copy");
    let mut install = user.runs(installer.to_str().expect("a path"));
    let said = output(install.args(["install", "--user", "--program"]).arg(&user.program));
    assert!(said.contains("/wireshark/profiles/Containers/preferences"), "{said}");
}

/// A capture of a container with requests from another.
struct ProfileCapture {
    visited: Container,
    visitor: Container,
    recorded: Recorded,
}

impl ProfileCapture {
    fn new(lab: &Lab) -> Self {
        let (visited, visitor) = (lab.container(&[]), lab.container(&[]));
        let recording =
            Recording::begin(lab, &[&visited], &["--filter", &format!("host {}", visitor.address())]);
        for port in [80, 81] {
            let url = format!("http://{}:{port}/", visited.address());
            // The second port has no listener: the reply is a reset.
            let _ = visitor.enter(&["curl", "-s", "-o", "/dev/null", &url]).output();
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        let recorded = recording.stop();
        fs::set_permissions(&recorded.path, fs::Permissions::from_mode(0o644)).expect("its mode");
        Self { visited, visitor, recorded }
    }
}

/// tshark's output for a file with the profile.
fn with_profile(user: &WiresharkUser, path: &Path, options: &[&str]) -> Vec<String> {
    let mut tshark = user.runs("tshark");
    tshark.args(["-C", "Containers"]).args(options).arg("-r").arg(path).env("COLORTERM", "truecolor");
    let ended = tshark.output().expect("tshark");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    String::from_utf8_lossy(&ended.stdout).lines().map(str::to_owned).collect()
}

fn the_profile_shows_names_container_and_direction(lab: &Lab) {
    let (user, visit) = (WiresharkUser::new(lab), ProfileCapture::new(lab));
    install(&user);
    let lines = with_profile(&user, &visit.recorded.path, &["-Y", "tcp"]);
    let (visited, visitor) = (&visit.visited.name, &visit.visitor.name);
    for (direction, source, destination) in [("Inbound", visitor, visited), ("Outbound", visited, visitor)] {
        let is_shown = |line: &String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[2..6] == [&format!("{visited}:eth0"), direction, source, "→"] && words[6] == destination
        };
        assert!(lines.iter().any(is_shown), "no {direction} from {source} in {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains(&visit.visitor.address())), "{lines:#?}");
}

fn the_profile_colours_directions_and_keeps_error_colours(lab: &Lab) {
    let (user, visit) = (WiresharkUser::new(lab), ProfileCapture::new(lab));
    install(&user);
    let fields = ["frame.packet_flags_direction", "tcp.flags.reset", "frame.coloring_rule.name"];
    let mut options = vec!["--color", "-Y", "tcp && !tcp.analysis.flags", "-T", "fields"];
    options.extend(fields.iter().flat_map(|field| ["-e", field]));
    let rows = with_profile(&user, &visit.recorded.path, &options);
    let rule = |row: &String| match row.split('\t').collect::<Vec<_>>()[..] {
        [_, "1", rule] => rule == "TCP RST",
        ["0x00000001", "0", rule] => rule == "Into the container",
        ["0x00000002", "0", rule] => rule == "Out of the container",
        _ => false,
    };
    assert!(rows.len() > 8 && rows.iter().all(rule), "{rows:#?}");
    for rule in ["TCP RST", "Into the container", "Out of the container"] {
        assert!(rows.iter().any(|row| row.ends_with(rule)), "no {rule} in {rows:#?}");
    }
}

fn the_window_shows_the_profile(lab: &Lab) {
    let (desk, visit) = (Desktop::new(lab), ProfileCapture::new(lab));
    install(&desk.user);
    let window = start(
        desk.runs("wireshark")
            .args(["-C", "Containers", "-r"])
            .arg(&visit.recorded.path)
            .env("LC_ALL", "C.UTF-8"),
    );
    let picture = desk.user.home.path().join("picture.png");
    let has = |colour: &str| {
        output(desk.runs("import").args(["-window", "root", "-depth", "8"]).arg(&picture));
        let colours =
            output(Command::new("convert").arg(&picture).args(["-format", "%c", "histogram:info:"]));
        colours.contains(colour)
    };
    for colour in COLOURS {
        eventually("the window shows both directions in their colours", || has(colour));
    }
    let said = desk.close(window);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.contains("olor filter") && !said.contains("references"), "{said}");
    let profile = desk.user.home.path().join("config/wireshark/profiles/Containers");
    let kept = fs::read_to_string(profile.join("preferences")).expect("preferences");
    assert_eq!(kept, include_str!("../../../installer/profile/preferences"));
}
