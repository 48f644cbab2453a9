//! The interface list and the profile.

use std::fs::File;
use std::io::Read as _;

use crate::Test;
use crate::lab::{Lab, end_of, fifo, folder, output, start};

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
