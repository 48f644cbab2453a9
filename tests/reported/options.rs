//! The options dialog: kept values, defaults, unknown options.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::Test;
use crate::lab::{Lab, end_of, eventually, fifo, folder, output, signal, start};
use crate::recording::{Recording, capinfos, fields_of, requests_so_far};
use crate::wireshark::User;
use tempfile::TempDir;

pub(crate) const TESTS: &[Test] = &[
    ("an_unknown_option_of_an_extcap_call_is_named_and_the_others_hold", unknown_option_is_named),
    ("options_have_the_names_that_tcpdump_and_dumpcap_use", names_of_tcpdump_and_dumpcap),
    ("tshark_goes_on_when_the_container_restarts", tshark_goes_on_when_the_container_restarts),
    ("a_capture_ends_with_its_container_where_that_is_chosen", ends_with_container_where_chosen),
];

/// A capture as Wireshark starts it, whose packets go to a file.
struct Extcap {
    child: Child,
    copy: Child,
    path: PathBuf,
    folder: TempDir,
}

impl Extcap {
    fn begin(lab: &Lab, interface: &str, options: &[&str]) -> Self {
        let folder = folder();
        let (fifo, path) = (fifo(&folder), folder.path().join("out.pcapng"));
        let mut program = lab.program();
        program.args(["--capture", "--extcap-interface", interface, "--fifo"]).arg(&fifo).args(options);
        let child = start(&mut program);
        let copy = start(Command::new("cp").arg(&fifo).arg(&path));
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 300));
        Self { child, copy, path, folder }
    }

    /// Ends it as Wireshark does; what it said on stderr.
    fn stop(self) -> (PathBuf, TempDir, String) {
        signal(&self.child, "TERM");
        let ended = end_of(self.child);
        assert!(ended.status.success());
        end_of(self.copy);
        (self.path, self.folder, String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}

/// The length of the longest packet in a file, as captured.
fn longest(path: &Path) -> u32 {
    let lengths = fields_of(path, "frame", &["frame.cap_len"]).concat();
    lengths.iter().map(|length| length.parse().expect("a number")).max().expect("packets")
}

fn unknown_option_is_named(lab: &Lab) {
    // `--capture … --snaplen 96` took whole packets without a word.
    let container = lab.container(&[]);
    let options = ["--bogus", "--snap-length", "96", "--gone=5", "-x", "7"];
    let capture = Extcap::begin(lab, &container.interface(), &options);
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

fn names_of_tcpdump_and_dumpcap(lab: &Lab) {
    // `--capture … --snaplen 96` took whole packets without a word.
    let container = lab.container(&[]);
    for options in [
        &["--snaplen", "96", "-f", "tcp port 80", "-p", "-B", "4"][..],
        &["-s", "96", "--no-promiscuous-mode", "--buffer-size", "4", "--interface", "eth0"],
    ] {
        let capture = Extcap::begin(lab, &container.interface(), options);
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

fn tshark_goes_on_when_the_container_restarts(lab: &Lab) {
    // `docker restart` ended the capture without a word.
    let container = lab.container(&[]);
    let user = User::new(lab);
    let file = user.home.path().join("out.pcapng");
    let mut tshark = user.runs("tshark");
    let tshark = start(tshark.args(["-q", "-i", &container.interface(), "-w"]).arg(&file));
    eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
    container.fetch(1);
    eventually("its packets are there", || requests_so_far(&file) == 1);
    lab.docker(&["restart", "--time", "0", &container.name]);
    let container = lab.found_again(container);
    eventually("packets after the restart are there", || {
        container.fetch(1);
        requests_so_far(&file) >= 2
    });
    signal(&tshark, "INT");
    assert!(end_of(tshark).status.success());
}

fn ends_with_container_where_chosen(lab: &Lab) {
    // `docker restart` ended the capture without a word: now only where that was chosen.
    let container = lab.container(&[]);
    let options =
        |interface: &str| output(lab.program().args(["--extcap-config", "--extcap-interface", interface]));
    assert!(options(&container.interface()).contains("{call=--stop-with-container}"));
    for group in ["docker-all", "podman-all", "compose-shop"] {
        assert!(!options(group).contains("--stop-with-container"), "a group does not stop with a container");
    }
    let capture = Extcap::begin(lab, &container.interface(), &["--stop-with-container"]);
    lab.docker(&["restart", "--time", "0", &container.name]);
    let Extcap { child, copy, .. } = capture;
    let ended = end_of(child);
    end_of(copy);
    assert!(ended.status.success() && ended.stderr.is_empty());
}
