//! The static program (`make static`), compared with the dynamic one.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

use crate::support::harness::{explain, tests, trial};
use crate::support::lab::{Lab, eventually, folder, output};
use crate::support::peer_session;
use crate::support::recording::{Recording, fields_of};
use crate::support::tcpdump::Tcpdump;

type StaticTest = (&'static str, fn(&Lab, &Path));

const TESTS: &[StaticTest] = tests![
    the_static_program_needs_no_shared_libraries,
    the_static_program_prints_the_same_as_the_dynamic_one,
    the_static_program_captures_a_container,
    the_static_program_runs_in_a_tap_container,
];

/// Strings of unwanted libraries.
const FOREIGN: &[&str] = &["libdbus", "org.freedesktop.DBus", "libsystemd", "libibverbs", "/dev/usbmon"];

/// The tests with the program that `CONTAINERDUMP_STATIC` names.
pub(crate) fn trials(lab: &Result<Lab, String>) -> Vec<Trial> {
    let program = std::env::var_os("CONTAINERDUMP_STATIC").map(PathBuf::from).filter(|path| path.is_file());
    let program = program.ok_or("CONTAINERDUMP_STATIC names no file: run make test".to_owned());
    explain("tests of the static program", &program);
    let need = lab.clone().and_then(|lab| Ok((lab, program?)));
    let trial = |&(name, test): &StaticTest| trial(name, need.clone(), move |(lab, path)| test(lab, path));
    TESTS.iter().map(trial).collect()
}

fn the_static_program_needs_no_shared_libraries(_: &Lab, program: &Path) {
    let kind = output(Command::new("file").arg("--brief").arg(program));
    assert!(["static-pie linked", "statically linked"].iter().any(|it| kind.contains(it)), "{kind}");
    let ldd = Command::new("ldd").arg(program).env("LC_ALL", "C").output().expect("ldd");
    let said = String::from_utf8_lossy(&[ldd.stdout, ldd.stderr].concat()).into_owned();
    assert!(["statically linked", "not a dynamic executable"].iter().any(|it| said.contains(it)), "{said}");
    let sections = output(Command::new("readelf").args(["--wide", "--segments", "--dynamic"]).arg(program));
    assert!(!sections.contains("(NEEDED)") && !sections.contains("INTERP"), "{sections}");
    // Debian's libpcap supports D-Bus, USB and Infiniband.
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--fixed-strings"]);
    for foreign in FOREIGN {
        grep.args(["-e", foreign]);
    }
    let found = grep.arg(program).output().expect("grep");
    assert_eq!((found.status.code(), String::from_utf8_lossy(&found.stdout).as_ref()), (Some(1), ""));
}

fn the_static_program_prints_the_same_as_the_dynamic_one(lab: &Lab, program: &Path) {
    let container = lab.container(&[]);
    let interface = container.interface();
    for question in [
        &["--extcap-interfaces", "--extcap-version=4.0"][..],
        &["--extcap-dlts", "--extcap-interface", &interface],
        &["--extcap-config", "--extcap-interface", &interface],
        // Strings of libpcap, and names that glibc looks up in files.
        &["--extcap-interface", &interface, "--extcap-capture-filter", "tcpp"],
        &["--extcap-interface", &interface, "--extcap-capture-filter", "host localhost and tcp port https"],
        &["--extcap-interface", &interface, "--extcap-capture-filter", "port no-such-service"],
    ] {
        // Containers of other tests may start and stop between two lists.
        let answer = |mut program: Command| {
            let all = output(program.args(question));
            let own = |line: &&str| !line.starts_with("interface ") || line.contains(&container.name);
            all.lines().filter(own).map(str::to_owned).collect::<Vec<_>>()
        };
        let ours = answer(lab.program_at(program));
        assert_eq!(ours, answer(lab.program()), "{question:?}");
        let listed = ours.iter().any(|line| line.contains(&interface));
        assert!(listed || question[0] != "--extcap-interfaces", "{ours:?}");
    }
}

fn the_static_program_captures_a_container(lab: &Lab, program: &Path) {
    let container = lab.container(&[]);
    let recording = Recording::begin_by(
        lab.program_at(program),
        &[&container],
        &["--filter", "inbound and tcp port http"],
    );
    container.fetch(3);
    let recorded = recording.stop();
    let fields = ["ip.dst", "frame.interface_name", "frame.packet_flags_direction"];
    let row = vec![container.address(), format!("{}:eth0", container.name), "0x00000001".to_owned()];
    assert_eq!(recorded.fields("http.request", &fields), vec![row; 3]);
}

/// An image with only the program, run with CAP_NET_RAW in the namespace of the container.
fn the_static_program_runs_in_a_tap_container(lab: &Lab, program: &Path) {
    let folder = folder();
    let tar = folder.path().join("image.tar");
    std::fs::copy(program, folder.path().join("containerdump")).expect("a copy");
    output(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder.path()).arg("containerdump"));
    lab.docker(&["import", tar.to_str().expect("a path"), "one-file:1"]);
    let container = lab.container(&[]);
    let (network, tap) = (format!("container:{}", container.name), format!("{}-tap", container.name));
    let run = "run --interactive --rm --cap-drop ALL --cap-add NET_RAW --read-only --security-opt no-new-privileges";
    let options = ["--network", &network, "--name", &tap, "one-file:1", "/containerdump", "tap", "-f", "tcp"];
    let command = ["docker", "--host", &lab.endpoint].into_iter().chain(run.split(' ')).chain(options);
    let witness = Tcpdump::inside(&container, "eth0", "tcp");
    let recording = peer_session::PeerSession::begin(&[command.map(str::to_owned).collect()]);
    container.fetch(5);
    witness.settle();
    let recorded = recording.stop();
    witness.assert_same(&recorded.path);
    let requests = fields_of(&recorded.path, "http.request", &["frame.interface_name", "ip.dst"]);
    assert_eq!(requests, vec![["eth0".to_owned(), container.address()]; 5]);
    eventually("the tap is gone", || !lab.docker(&["ps", "--all", "--format", "{{.Names}}"]).contains(&tap));
    lab.docker(&["rmi", "one-file:1"]);
}
