//! Network namespaces without an engine: named ones, and those of processes.

use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, output, start};
use crate::support::list_output::{listed, only};
use crate::support::namespaces::{Namespace, Process, UserNamespaceProgram, ip};
use crate::support::recording::{Recording, capinfos, fields_of, named_fields_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    a_named_namespace_without_processes_is_captured_at_its_host_veth,
    named_namespaces_without_a_veth_are_captured_inside,
    a_named_namespace_with_processes_is_listed_once_by_its_name,
    deleting_a_named_namespace_ends_its_capture,
    a_user_captures_their_user_namespace_without_privileges,
    empty_namespaces_are_not_listed,
    unusual_process_names_are_listed_safely,
    processes_hidden_from_a_user_are_reported,
];

/// The unprivileged user of these tests.
const USER: u32 = 4343;

const FRAME: [&str; 4] = ["frame.len", "ip.src", "ip.dst", "icmp.seq"];

fn frames(path: &std::path::Path) -> Vec<Vec<String>> {
    let mut frames = fields_of(path, "icmp", &FRAME);
    frames.sort();
    frames
}

fn a_named_namespace_without_processes_is_captured_at_its_host_veth(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let veth = namespace.veth.clone().expect("its veth");
    let user = UserNamespaceProgram::new(USER);
    for (name, mut program) in
        [(namespace.interface(), user.capturing()), (namespace.name.clone(), lab.program())]
    {
        program.env("CONTAINERDUMP_ENGINES", "netns");
        let witness = Tcpdump::begin(&veth, "icmp");
        let recording = Recording::begin_with(program, &[&name], &["--filter", "icmp"]);
        output(&mut namespace.enter(&["busybox", "ping", "-c", "3", &namespace.address(1)]));
        witness.settle();
        let recorded = recording.stop();
        let (witness, _folder) = witness.stop();
        assert!(frames(&recorded.path).len() == 6 && frames(&recorded.path) == frames(&witness), "{name}");
        let about = ["frame.interface_name", "frame.interface_description", "frame.packet_flags_direction"];
        let rows = recorded.fields("icmp.type == 8", &about);
        assert!(rows.iter().all(|row| row[2] == "0x00000002" && row[1].contains(&veth)), "{rows:?}");
        // The name of the interface inside is known only with access.
        let inside = ip(&["-n", &namespace.name, "-o", "link", "show", "inner0"]);
        let index = inside.split(':').next().expect("an index");
        let interface = if name == namespace.name { "inner0".to_owned() } else { format!("if{index}") };
        assert_eq!(rows[0][0], format!("{}:{interface}", namespace.name));
    }
    let (objects, _) = listed(user.program());
    let object = only(&objects, "name", &namespace.name);
    let number = output(Command::new("stat").args(["-c", "%i", &format!("/run/netns/{}", namespace.name)]));
    assert_eq!([&object["engine"], &object["id"]], ["netns", number.as_str()], "{object}");
    assert_eq!(object["attachments"][0]["host_veth"], veth, "{object}");
    let interfaces = output(user.program().arg("--extcap-interfaces"));
    let line = format!(
        "interface {{value={}}}{{display={} · network namespace}}",
        namespace.interface(),
        namespace.name
    );
    assert_eq!(interfaces.lines().filter(|it| **it == line).count(), 1, "{line} in {interfaces}");
}

fn named_namespaces_without_a_veth_are_captured_inside(lab: &Lab) {
    let (one, other) = (Namespace::new(), Namespace::new());
    let options = ["type", "veth", "peer", "name", "right0", "netns", &other.name];
    ip(&[&["-n", &one.name, "link", "add", "left0"], &options[..]].concat());
    one.set_up("left0", "198.51.100.1/24");
    other.set_up("right0", "198.51.100.2/24");
    let witness = Tcpdump::with(one.enter(&["tcpdump"]), "left0", "icmp");
    let options = ["--filter", "icmp", "--duplicates", "keep"];
    let recording = Recording::begin_with(lab.program(), &[&one.name, &other.interface()], &options);
    output(&mut other.enter(&["busybox", "ping", "-c", "3", "198.51.100.1"]));
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let at = |name: String| {
        let filter = format!("icmp and frame.interface_name == \"{name}\"");
        let mut frames = recorded.fields(&filter, &FRAME);
        frames.sort();
        frames
    };
    for name in [format!("{}:left0", one.name), format!("{}:right0", other.name)] {
        assert!(at(name.clone()).len() == 6 && at(name.clone()) == frames(&witness), "{name}");
    }
    // Addresses have names although no process runs there.
    let names = named_fields_of(&recorded.path, "icmp.type == 8", &["ip.src_host"]).concat();
    assert_eq!(names[0], other.name);
}

fn a_named_namespace_with_processes_is_listed_once_by_its_name(lab: &Lab) {
    let (linked, apart) = (Namespace::with_veth(), Namespace::new());
    ip(&["-n", &apart.name, "link", "add", "apart0", "type", "bridge"]);
    let first = Process::start(&mut linked.enter(&["sleep", "9999"])).with_link("inner0");
    let second = Process::start(&mut apart.enter(&["sleep", "9999"])).with_link("apart0");
    let (objects, said) = listed(lab.program());
    for namespace in [&linked, &apart] {
        only(&objects, "name", &namespace.name);
        assert!(!said.contains(&namespace.name), "{said}");
    }
    for process in [&first, &second] {
        assert!(!objects.iter().any(|object| object["id"] == process.namespace()), "{objects:?}");
    }
    // Without privileges these cannot be distinguished: one entry, with a note.
    let (objects, said) = listed(UserNamespaceProgram::new(USER).program());
    let object = only(&objects, "name", &linked.name);
    assert_eq!(object["attachments"][0]["interface"], "inner0", "{object}");
    assert!(!objects.iter().any(|object| object["id"] == first.namespace()), "{objects:?}");
    only(&objects, "id", &second.namespace());
    assert!(!objects.iter().any(|object| object["name"] == apart.name.as_str()), "{objects:?}");
    assert!(said.contains("cannot determine which processes") && said.contains(&apart.name), "{said}");
}

fn deleting_a_named_namespace_ends_its_capture(lab: &Lab) {
    for with_veth in [true, false] {
        let namespace = if with_veth { Namespace::with_veth() } else { Namespace::new() };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"]);
        let other = Namespace::new();
        let recording = Recording::begin_with(lab.program(), &[&namespace.name], &[]);
        drop(other);
        std::thread::sleep(std::time::Duration::from_millis(300));
        let status = format!("/proc/{}/status", recording.child.id());
        assert!(std::fs::read_to_string(status).is_ok_and(|it| !it.contains("zombie")), "it has ended");
        drop(namespace);
        recording.end();
    }
}

fn a_user_captures_their_user_namespace_without_privileges(_: &Lab) {
    let user = UserNamespaceProgram::new(USER);
    let make = "ip link add own0 type bridge; ip address add 203.0.113.1/24 dev own0; ip link set own0 up; \
                ip link set lo up; exec sleep 9999";
    let mut unshare = user.run_as(&[], "unshare");
    let process = Process::start(unshare.args(["--user", "--map-root-user", "--net", "sh", "-c", make]));
    let process = process.with_link("own0");
    eventually("it runs", || {
        let command = std::fs::read_to_string(format!("/proc/{}/comm", process.0.id()));
        command.is_ok_and(|command| command == "sleep\n")
    });
    let (objects, _) = listed(user.program());
    let object = only(&objects, "id", &process.namespace());
    let value = object["interface"].as_str().expect("a value").to_owned();
    assert!(value.starts_with("netns-sleep-"), "{object}");
    let enter = |command: &[&str]| {
        let mut enter = Command::new("nsenter");
        enter.args(["--net", "--target", &process.0.id().to_string()]).args(command);
        enter
    };
    let witness = Tcpdump::with(enter(&["tcpdump"]), "lo", "icmp");
    let recording = Recording::begin_with(user.program(), &[&value], &["-i", "lo", "--filter", "icmp"]);
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", recording.child.id())).expect("its status");
    for set in ["CapPrm:\t", "CapEff:\t"] {
        assert!(status.contains(&format!("{set}0000000000000000")), "{status}");
    }
    output(&mut enter(&["busybox", "ping", "-c", "3", "203.0.113.1"]));
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    assert!(frames(&recorded.path).len() == 6, "{:?}", frames(&recorded.path));
    assert_eq!(capinfos(&recorded.path, "Number of packets"), capinfos(&witness, "Number of packets"));
    // Another user sees it with the required privilege.
    let other = UserNamespaceProgram::new(USER + 1);
    let ended = end_of(start(other.program().args(["capture", &value, "-w", "/dev/null", "--overwrite"])));
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("only root may enter it"), "{said}");
}

fn empty_namespaces_are_not_listed(lab: &Lab) {
    let empty = Process::start(Command::new("unshare").args(["--net", "sleep", "9999"]));
    let make = "ip link add only0 type bridge; exec sleep 9999";
    let other = Process::start(Command::new("unshare").args(["--net", "sh", "-c", make])).with_link("only0");
    let (objects, _) = listed(lab.program());
    assert!(!objects.iter().any(|object| object["id"] == empty.namespace()), "{objects:?}");
    only(&objects, "id", &other.namespace());
}

fn unusual_process_names_are_listed_safely(lab: &Lab) {
    let user = UserNamespaceProgram::new(USER);
    let program = user.folder.path().join("a}{b\n\u{1b}[31m(");
    std::fs::copy("/bin/sleep", &program).expect("a copy");
    let path = program.to_string_lossy().into_owned();
    let make = "ip link add odd0 type bridge; exec \"$0\" 9999";
    let mut unshare = Command::new("unshare");
    let process = Process::start(unshare.args(["--net", "sh", "-c", make, &path])).with_link("odd0");
    eventually("it runs", || {
        let command = std::fs::read_to_string(format!("/proc/{}/comm", process.0.id()));
        command.is_ok_and(|command| command.starts_with("a}{b"))
    });
    let (objects, _) = listed(lab.program());
    let object = only(&objects, "id", &process.namespace());
    let value = object["interface"].as_str().expect("a value");
    assert!(value.starts_with("netns-a--b"), "{object}");
    let interfaces = output(lab.program().arg("--extcap-interfaces"));
    let line = format!("interface {{value={value}}}{{display=a)(b ");
    assert_eq!(interfaces.lines().filter(|it| it.starts_with(&line)).count(), 1, "{line} in {interfaces}");
    assert!(!interfaces.contains('\u{1b}'), "{interfaces}");
}

fn processes_hidden_from_a_user_are_reported(_: &Lab) {
    let namespace = Namespace::with_veth();
    let process = Process::start(&mut namespace.enter(&["sleep", "9999"])).with_link("inner0");
    let user = UserNamespaceProgram::new(USER);
    let hidden = "mount -t proc -o hidepid=invisible proc /proc && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", hidden, "sh"]);
    let program = user.program();
    unshare.arg(program.get_program()).args(program.get_args());
    unshare.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (objects, said) = listed(unshare);
    assert!(said.contains("/proc is mounted with hidepid") && said.contains("Remedy: "), "{said}");
    // Named namespaces with a veth are listed anyway.
    only(&objects, "name", &namespace.name);
    drop(process);
}
