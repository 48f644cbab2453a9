//! The options dialog: kept values, defaults, unknown options.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::real::wireshark::window::WindowTest;
use crate::support::desktop::{Desktop, WiresharkVersion};
use crate::support::extcap_capture::ExtcapCapture;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, folder, output, signal, start};
use crate::support::recording::{Recording, capinfos, fields_of, fields_so_far, requests_so_far};
use crate::support::toolbar_pipes::{Toolbar, ToolbarCapture, ToolbarPipes};
use crate::support::wireshark::WiresharkUser;

pub(crate) const TESTS: &[Test] = tests![
    unknown_extcap_options_are_reported_and_others_applied,
    options_have_the_names_of_tcpdump_and_dumpcap,
    tshark_continues_when_the_container_restarts,
    a_capture_ends_with_its_container_on_request,
    dialog_options_are_kept_until_changed,
    some_containers_of_a_group_are_captured_in_one_file,
    only_the_wireshark_window_reuses_the_last_options,
];

pub(crate) const WINDOW_TESTS: &[WindowTest] = tests![a_restarted_capture_keeps_its_options];

/// What Wireshark 4.0 and 4.6 send from a dialog in which nothing was changed.
const UNCHANGED: [&str; 8] =
    ["--duplicates", "drop", "--network", "all", "--tap", "auto", "--log-level", "message"];
/// The same with a few things changed.
const CHANGED: [&str; 6] = ["--snap-length", "96", "--filter", "tcp port 80", "--no-promiscuous", "true"];

/// The length of the longest packet in a file, as captured.
fn longest(path: &Path) -> u32 {
    let lengths = fields_of(path, "frame", &["frame.cap_len"]).concat();
    lengths.iter().map(|length| length.parse().expect("a number")).max().expect("packets")
}

fn unknown_extcap_options_are_reported_and_others_applied(lab: &Lab) {
    // `--capture … --snaplen 96` took whole packets without a word.
    let container = lab.container(&[]);
    let options = ["--bogus", "--snap-length", "96", "--gone=5", "-x", "7"];
    let capture = ExtcapCapture::begin(lab, &container.interface(), &options);
    container.fetch(1);
    eventually("its packets are there", || requests_so_far(&capture.path) == 1);
    let (path, _folder, said) = capture.stop();
    assert_eq!(
        said,
        "warning: unknown options --bogus, --gone, -x are ignored.\n\
         Remedy: see the options of a capture: containerdump capture --help.\n"
    );
    assert_eq!(longest(&path), 96, "an unknown option does not take the next one with it");
}

fn options_have_the_names_of_tcpdump_and_dumpcap(lab: &Lab) {
    // `--capture … --snaplen 96` took whole packets without a word.
    let container = lab.container(&[]);
    for options in [
        &["--snaplen", "96", "-f", "tcp port 80", "-p", "-B", "4"][..],
        &["-s", "96", "--no-promiscuous-mode", "--buffer-size", "4", "--interface", "eth0"],
    ] {
        let capture = ExtcapCapture::begin(lab, &container.interface(), options);
        container.fetch(1);
        eventually("its packets are there", || requests_so_far(&capture.path) == 1);
        let (path, _folder, said) = capture.stop();
        assert_eq!((longest(&path), said.as_str()), (96, ""), "{options:?}");
        let recording = Recording::begin(lab, &[&container], options);
        container.fetch(1);
        assert_eq!(longest(&recording.stop().path), 96, "{options:?}");
    }
    let recording = Recording::begin(lab, &[&container], &["-s", "0", "-f", "tcp"]);
    container.fetch(1);
    assert_eq!(capinfos(&recording.stop().path, "Packet size limit"), "file hdr: (not set)");
}

fn tshark_continues_when_the_container_restarts(lab: &Lab) {
    // `docker restart` ended the capture without a word.
    let container = lab.container(&[]);
    let user = WiresharkUser::new(lab);
    let file = user.home.path().join("out.pcapng");
    let mut tshark = user.runs("tshark");
    let tshark = start(tshark.args(["-q", "-i", &container.interface(), "-w"]).arg(&file));
    eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
    container.fetch(1);
    eventually("its packets are there", || requests_so_far(&file) == 1);
    lab.docker(&["restart", "--time", "0", &container.name]);
    let container = lab.restarted(container);
    eventually("packets after the restart are there", || {
        container.fetch(1);
        requests_so_far(&file) >= 2
    });
    signal(&tshark, "INT");
    assert!(end_of(tshark).status.success());
}

fn a_capture_ends_with_its_container_on_request(lab: &Lab) {
    // `docker restart` ended the capture without a word: now only where that was chosen.
    let container = lab.container(&[]);
    let options =
        |interface: &str| output(lab.program().args(["--extcap-config", "--extcap-interface", interface]));
    assert!(options(&container.interface()).contains("{call=--stop-with-container}"));
    for group in ["docker-all", "podman-all", "compose-shop"] {
        assert!(!options(group).contains("--stop-with-container"), "a group does not stop with a container");
    }
    let capture = ExtcapCapture::begin(lab, &container.interface(), &["--stop-with-container"]);
    lab.docker(&["restart", "--time", "0", &container.name]);
    let (_path, _folder, stderr) = capture.end();
    assert_eq!(stderr, "");

    let options = ["--extcap-interface", &container.interface(), "--stop-with-container"];
    let capture = ToolbarCapture::begin(lab.program(), &options, ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    toolbar.shows("the capture is in the list", |toolbar| toolbar.list.len() == 2);
    lab.docker(&["restart", "--time", "0", &container.name]);
    let reason = "the capture has ended: every captured container has stopped";
    toolbar.shows("the status bar says why it ended", |toolbar| {
        toolbar.status.iter().any(|line| line.contains(reason))
    });
    toolbar.shows("the log does, too", |toolbar| toolbar.log.contains(reason));
    assert!(end_of(capture.comes_to_its_end().0).status.success());
}

/// The last capture in the window, with the options that Wireshark sent: the line of its status bar, and its file.
fn in_window(program: Command, container: &Container, options: &[&str]) -> (String, PathBuf, TempDir) {
    let interface = container.interface();
    let options = [&["--extcap-interface", &interface][..], options].concat();
    let capture = ToolbarCapture::begin(program, &options, ToolbarPipes::make());
    let mut toolbar = Toolbar::open(&capture.pipes);
    toolbar.shows("the capture is in the list", |toolbar| toolbar.list.len() == 2);
    container.fetch(1);
    eventually("its packets are there", || requests_so_far(&capture.path) == 1);
    toolbar.read();
    let status = toolbar.status.concat();
    let (path, folder) = capture.stop();
    (status, path, folder)
}

/// The program of a user whose cache is in `folder`.
fn with_cache(lab: &Lab, folder: &TempDir) -> Command {
    let mut program = lab.program();
    program.env("XDG_CACHE_HOME", folder.path());
    program
}

/// How many interfaces in a file, which may still be written, have that capture filter.
fn filters(path: &Path) -> usize {
    let shown = Command::new("capinfos").arg(path).output().expect("capinfos").stdout;
    String::from_utf8_lossy(&shown).matches("Filter string = tcp port 80").count()
}

fn dialog_options_are_kept_until_changed(lab: &Lab) {
    // Restart (Ctrl-R) silently dropped the options of the dialog; "Save parameter(s)" did nothing.
    let (container, cache) = (lab.container(&[]), folder());
    let program = || with_cache(lab, &cache);
    let dialog = || {
        let interface = container.interface();
        output(program().args(["--extcap-config", "--extcap-interface", &interface]))
    };
    let file = cache.path().join(format!("containerdump/options/{}.json", container.interface()));
    assert!(!dialog().contains("--last-filter") && !dialog().contains("--reset-options"));

    let (status, path, _folder) = in_window(program(), &container, &[&UNCHANGED[..], &CHANGED].concat());
    assert!(!status.contains("options"), "{status}");
    assert_eq!((longest(&path), filters(&path)), (96, 1));
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);

    // Restarted, or started by a double-click.
    let last =
        "using the options of the last capture: --filter tcp port 80, --snap-length 96, --no-promiscuous";
    let (status, path, _folder) = in_window(program(), &container, &[]);
    assert!(status.starts_with(last), "{status}");
    assert_eq!((longest(&path), filters(&path)), (96, 1));

    // They are the defaults of the dialog, and what equals its default is not sent.
    let shown = dialog();
    for part in ["{default=96}{range", "{value=tcp port 80}{display=tcp port 80}{default=true}"] {
        assert!(shown.contains(part), "{shown}");
    }
    let promiscuous = shown.lines().find(|line| line.contains("{call=--no-promiscuous}")).expect("an option");
    assert!(
        promiscuous.contains("{type=boolean}") && promiscuous.ends_with("{default=true}"),
        "{promiscuous}"
    );
    let kept = [&UNCHANGED[..], &["--last-filter", "tcp port 80", "--no-promiscuous", "false"]].concat();
    let (_, path, _folder) = in_window(program(), &container, &kept);
    assert_eq!((longest(&path), filters(&path)), (96, 1));
    // "No capture filter" is sent as nothing at all.
    let (_, path, _folder) = in_window(program(), &container, &UNCHANGED);
    assert_eq!((longest(&path), filters(&path)), (96, 0));
    let (status, path, _folder) = in_window(program(), &container, &[]);
    assert!(status.starts_with("using the options of the last capture: --snap-length 96"), "{status}");
    assert_eq!(filters(&path), 0);

    let reset = [&UNCHANGED[..], &["--snap-length", "128", "--reset-options", "true"]].concat();
    let (status, path, _folder) = in_window(program(), &container, &reset);
    assert!(status.starts_with("the options were reset to their defaults"), "{status}");
    assert!(longest(&path) > 128 && !file.exists());
}

fn only_the_wireshark_window_reuses_the_last_options(lab: &Lab) {
    // Restart (Ctrl-R) silently dropped the options of the dialog; a script must not find them, though.
    let (container, cache) = (lab.container(&[]), folder());
    in_window(with_cache(lab, &cache), &container, &[&UNCHANGED[..], &CHANGED].concat());
    let capture = ExtcapCapture::begin_by(with_cache(lab, &cache), &container.interface(), &[]);
    container.fetch(1);
    eventually("its packets are there", || requests_so_far(&capture.path) == 1);
    let (path, _folder, said) = capture.stop();
    assert_eq!((filters(&path), said.as_str()), (0, ""));
    assert!(longest(&path) > 96);
}

/// A capture as Wireshark's dialog starts it, by the user of the window.
fn capture_with_dialog(desk: &Desktop, container: &Container, options: &[&str]) {
    let paths = ["data", "control-in", "control-out"].map(|name| desk.path(name));
    output(desk.runs("mkfifo").args(&paths));
    let program = desk.user.program.to_str().expect("a path");
    let mut capture = desk.runs(program);
    capture.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]).arg(&paths[0]);
    capture.arg("--extcap-control-in").arg(&paths[1]).arg("--extcap-control-out").arg(&paths[2]);
    let capture = start(capture.args(options));
    let copy = start(Command::new("cp").arg(&paths[0]).arg(desk.path("copy")));
    eventually("the capture begins", || desk.path("copy").metadata().is_ok_and(|about| about.len() > 300));
    signal(&capture, "TERM");
    assert!(end_of(capture).status.success());
    end_of(copy);
}

fn a_restarted_capture_keeps_its_options(lab: &Lab, version: WiresharkVersion) {
    // Restart (Ctrl-R) silently dropped the options of the dialog.
    let container = lab.container(&[]);
    let desk = Desktop::with(lab, version);
    capture_with_dialog(&desk, &container, &[&UNCHANGED[..], &CHANGED].concat());
    let window = desk.open(&container, &[]);
    let captures = || {
        let asked = desk.lines("asked");
        asked.iter().filter(|line| line.starts_with("--capture ")).count()
    };
    for round in 1..=2 {
        eventually("the capture begins with an empty file", || {
            captures() == round && filters(&desk.file()) == 1 && requests_so_far(&desk.file()) == 0
        });
        container.fetch(1);
        eventually("its packets are there", || requests_so_far(&desk.file()) == 1);
        let lengths = fields_so_far(&desk.file(), "http.request", &["frame.cap_len"]);
        assert_eq!(lengths, [["96"]], "{version:?}");
        if round == 1 {
            end_of(start(desk.runs("xdotool").args(["key", "ctrl+r"])));
        }
    }
    assert!(desk.close(window).status.success());
}

fn some_containers_of_a_group_are_captured_in_one_file(lab: &Lab) {
    // Two interfaces selected in the list: black "TCP Retransmission" rows and negative times, each packet twice.
    let (web, client, other) = (lab.container(&[]), lab.container(&[]), lab.container(&[]));
    let dialog = output(lab.program().args(["--extcap-config", "--extcap-interface", "docker-all"]));
    assert!(dialog.contains("{call=--containers}{display=Containers}{type=string}"), "{dialog}");
    let names = format!("{}, {}", web.name, client.interface());
    let capture = ExtcapCapture::begin(lab, "docker-all", &["--containers", &names]);
    let interfaces = || {
        let shown = Command::new("capinfos").arg(&capture.path).output().expect("capinfos").stdout;
        String::from_utf8_lossy(&shown).matches("  Name = ").count()
    };
    eventually("both are captured", || interfaces() == 2);
    other.fetch(1);
    lab.docker(&[
        "exec",
        &client.name,
        "wget",
        "-q",
        "-O",
        "/dev/null",
        &format!("http://{}/", web.address()),
    ]);
    eventually("the request is there", || requests_so_far(&capture.path) == 1);
    let (path, _folder, said) = capture.stop();
    assert_eq!(said, "");
    let sent = fields_of(&path, "http.request", &["frame.interface_name", "ip.src"]);
    assert_eq!(sent, [[format!("{}:eth0", client.name), client.address()]], "once, where it was sent");
    assert_eq!(fields_of(&path, "tcp.analysis.retransmission", &["frame.number"]).len(), 0);
    let early = fields_of(&path, "frame.time_delta < 0", &["frame.number"]);
    assert_eq!(early.len(), 0, "in one order of time");
}
