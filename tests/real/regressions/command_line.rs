//! What the command line understands, and what it says where it does not.

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, output};
use crate::support::recording::Recording;

pub(crate) const TESTS: &[Test] = tests![
    capture_without_a_name_lists_running_containers,
    a_misspelled_name_suggests_the_right_one,
    an_attachment_can_be_named_as_shown_in_wireshark,
];

/// What a command that is refused says.
fn refusal(lab: &Lab, arguments: &[&str]) -> String {
    let ended = lab.program().args(arguments).output().expect("the program");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(1), 0), "{said}");
    said
}

fn capture_without_a_name_lists_running_containers(lab: &Lab) {
    // capture alone printed a usage line: no hint of what can be captured.
    let container = lab.container(&[]);
    let said = refusal(lab, &["capture"]);
    assert!(
        said.starts_with("containerdump: cannot capture: no container is named.\nRemedy: choose from "),
        "{said}"
    );
    let names = output(lab.program().args(["list", "--json"]));
    assert!(names.contains(&container.name) && said.contains(": containerdump capture "), "{said}");
}

fn a_misspelled_name_suggests_the_right_one(lab: &Lab) {
    // No "did you mean" for a near name.
    let container = lab.container(&[]);
    let slip = container.name.replace('-', "_");
    let said = refusal(lab, &["capture", &slip, "-w", "-"]);
    assert!(said.contains("Remedy: did you mean ") && said.contains(&container.name), "{said}");
}

fn an_attachment_can_be_named_as_shown_in_wireshark(lab: &Lab) {
    // web:eth0, as Wireshark shows it, was no name.
    let network = lab.network();
    let container = lab.container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let named = |attachment: &str| format!("{}:{attachment}", container.name);
    let name = named("eth1");
    let recording = Recording::begin_with(lab.program(), &[&name], &["-f", "tcp port 80"]);
    container.fetch(1);
    output(std::process::Command::new("curl").args([
        "-s",
        "-o",
        "/dev/null",
        &format!("http://{}/", container.address_on("eth1")),
    ]));
    let recorded = recording.stop();
    let interfaces = recorded.fields("http.request", &["frame.interface_name"]).concat();
    assert_eq!(interfaces, [name]);
    let said = refusal(lab, &["capture", &named("eth7"), "-w", "-"]);
    assert!(said.contains("is not connected to eth7"), "{said}");
}
