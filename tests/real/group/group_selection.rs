//! Selections of several containers, and groups in Wireshark.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, folder, output, start};
use crate::support::recording::{Recorded, Recording, capinfos};
use crate::support::wireshark::WiresharkUser;

pub(crate) const TESTS: &[Test] = tests![
    a_compose_project_is_captured_in_one_file,
    labels_and_names_select_containers,
    all_containers_are_captured_in_one_file,
    a_selection_without_a_match_is_refused_with_a_remedy,
    groups_are_interfaces_that_wireshark_captures,
];

/// A compose project unique to a test.
fn project(of: &str) -> String {
    format!("p{}-{of}", std::process::id())
}

fn label_of_project(project: &str) -> String {
    format!("com.docker.compose.project={project}")
}

/// The interface names in a file, by capinfos.
fn interfaces(recorded: &Recorded) -> BTreeSet<String> {
    let all = output(Command::new("capinfos").arg(&recorded.path));
    all.lines().filter_map(|line| line.trim().strip_prefix("Name = ")).map(str::to_owned).collect()
}

fn names(containers: &[&Container]) -> BTreeSet<String> {
    containers.iter().map(|container| format!("{}:eth0", container.name)).collect()
}

fn a_compose_project_is_captured_in_one_file(lab: &Lab) {
    let project = project("one");
    let label = label_of_project(&project);
    let members = [lab.container(&["--label", &label]), lab.container(&["--label", &label])];
    // Its packets would be those of the host.
    let of_host = lab.container(&["--label", &label, "--network", "host"]);
    let other = lab.container(&[]);
    let recording = Recording::begin_with(lab.program(), &[], &["--project", &project]);
    for container in members.iter().chain([&other]) {
        container.fetch(1);
    }
    let recorded = recording.stop();
    assert_eq!(interfaces(&recorded), names(&[&members[0], &members[1]]));
    let with_packets: BTreeSet<String> =
        recorded.fields("http.request", &["frame.interface_name"]).into_iter().flatten().collect();
    assert_eq!(with_packets, names(&[&members[0], &members[1]]));
    let left_out = format!("not captured: {} (", of_host.name);
    assert!(recorded.said.contains(&left_out), "{}", recorded.said);
    let value = format!("compose-{project}");
    let by_value = Recording::begin_with(lab.program(), &[&value], &[]).stop();
    assert_eq!(interfaces(&by_value), names(&[&members[0], &members[1]]));
    // By name it is captured.
    let named = Recording::begin_with(lab.program(), &[&value, &of_host.name], &[]).stop();
    assert!(interfaces(&named).len() > 2);
}

fn labels_and_names_select_containers(lab: &Lab) {
    let tier = project("tier");
    let label = |value: &str| format!("{tier}={value}");
    let (web, other) = (lab.container(&["--label", &label("web")]), lab.container(&[]));
    let both = lab.container(&["--label", &label("web"), "--label", "containerdump.test.two"]);
    let db = lab.container(&["--label", &label("db"), "--label", "containerdump.test.two=x=y"]);
    for (options, expected) in [
        (vec!["--label", &tier], vec![&web, &both, &db]),
        (vec!["--label", &label("web")], vec![&web, &both]),
        (vec!["--label", &label("web"), "--label", "containerdump.test.two"], vec![&both]),
        (vec!["--label", "containerdump.test.two=x=y"], vec![&db]),
        (vec!["--label", &label("db"), &other.name, &db.name], vec![&db, &other]),
    ] {
        let recorded = Recording::begin_with(lab.program(), &[], &options).stop();
        assert_eq!(interfaces(&recorded), names(&expected), "{options:?}");
    }
}

fn all_containers_are_captured_in_one_file(lab: &Lab) {
    let network = lab.network();
    let first = lab.container(&["--network", &network.name]);
    let later = lab.container(&["--network", &network.name]);
    let others = lab.container(&[]);
    // Containers of other tests are not on this network.
    for selected in ["--all", "docker-all", "DOCKER-ALL"] {
        let recording =
            Recording::begin_with(lab.program(), &[], &[selected, "-i", &network.name, "-f", "tcp"]);
        others.fetch(1);
        let recorded = recording.stop();
        assert_eq!(interfaces(&recorded), names(&[&first, &later]), "{selected}");
        assert_eq!(capinfos(&recorded.path, "Number of packets"), "0", "{selected}");
    }
}

fn a_selection_without_a_match_is_refused_with_a_remedy(lab: &Lab) {
    let container = lab.container(&[]);
    for (arguments, words) in [
        (vec!["--project", "nobodys"], "no container of project nobodys runs"),
        (vec!["--label", "nobodys=x"], "no container with label nobodys=x runs"),
        (
            vec!["--project", "a", "--project", "b", "--label", "c", "--label", "d=e"],
            "of project a or b with label c and d=e",
        ),
        (vec!["--project", "nobodys", &container.name], "no container of project nobodys runs"),
        (vec!["compose-nobodys"], "no running container is called"),
        (vec!["--all", "-i", "nowhere"], "none of the containers is connected to nowhere"),
        (vec!["--label", "=x"], "invalid label (expected for example tier"),
        (vec!["--all", "--project", "x"], "cannot be used with"),
        (vec![], "no container is named"),
    ] {
        let mut command = lab.program();
        let ended = end_of(start(command.arg("capture").args(&arguments).args(["-w", "-"])));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
}

fn groups_are_interfaces_that_wireshark_captures(lab: &Lab) {
    let project = project("listed");
    let label = label_of_project(&project);
    let members = [lab.container(&["--label", &label]), lab.container(&["--label", &label])];
    // No container can have the value of all containers.
    lab.docker(&["rename", &members[1].name, "all"]);
    let user = WiresharkUser::new(lab);
    let list = output(user.runs("tshark").arg("-D"));
    for expected in [
        " docker-all (All containers (Docker))".to_owned(),
        format!(" compose-{project} (Compose project {project} (2 containers))"),
    ] {
        assert_eq!(list.lines().filter(|line| line.ends_with(&expected)).count(), 1, "{expected}: {list}");
    }
    assert!(list.contains(&format!(" docker-all-{} ", &members[1].id[..12])), "{list}");
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    let mut tshark = user.runs("tshark");
    let capture = ["-i", &format!("compose-{project}"), "-f", "tcp port 80", "-a", "packets:2", "-w"];
    let mut captures = start(tshark.args(capture).arg(&path));
    crate::support::lab::eventually("tshark captures", || {
        members[1].fetch(1);
        captures.try_wait().expect("a child").is_some()
    });
    assert!(end_of(captures).status.success());
    let interfaces = crate::support::recording::fields_of(&path, "tcp", &["frame.interface_name"]);
    assert!(interfaces.iter().any(|row| row[0] == "all:eth0"), "{interfaces:?}");
    lab.docker(&["rename", "all", &members[1].name]);
}
