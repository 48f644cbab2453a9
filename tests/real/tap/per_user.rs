//! Captures by three kinds of user. The table in docs/analyst-guide.md has the result.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, output};
use crate::support::podman::Podman;
use crate::support::recording::{Recording, fields_of};
use crate::support::tcpdump::Tcpdump;
use crate::support::unprivileged::allow_engine_access;
use crate::support::user_kinds::{Programs, UserKind};

pub(crate) const TESTS: &[Test] = tests![each_kind_of_user_captures_each_kind_of_network];

/// The page with the table; `UPDATE_TAPS=1` rewrites it.
const PAGE: &str = "docs/analyst-guide.md";
const BEGIN: &str = "| the container has | root | capture group | engine's group only |\n|---|---|---|---|\n";

/// A container and its traffic.
struct Traffic<'a> {
    /// The container's name.
    name: &'a str,
    /// A process in its network namespace.
    pid: &'a str,
    /// The interface of the traffic.
    interface: &'a str,
    /// The selected network, if any.
    network: &'a [&'a str],
    /// The address of its traffic: a bridge may forward packets for others.
    address: String,
}

impl<'a> Traffic<'a> {
    fn new(container: &'a Container, interface: &'a str) -> Self {
        let address = container.address_on(interface);
        Self { name: &container.name, pid: &container.pid, interface, network: &[], address }
    }
}

/// The rows so far.
struct UserTable<'a> {
    lab: &'a Lab,
    programs: Programs,
    rows: String,
}

impl UserTable<'_> {
    /// Captures `traffic` as each user, compares with tcpdump, and records the taps.
    fn row(&mut self, words: &str, scene: &Traffic, traffic: &dyn Fn()) {
        let mut tcpdump = Command::new("nsenter");
        tcpdump.args(["--net", "--target", scene.pid, "tcpdump"]);
        let filter = format!("tcp and host {}", scene.address);
        let witness = Tcpdump::with(tcpdump, scene.interface, &filter);
        let options = [scene.network, &["--filter", &filter]].concat();
        let recordings = [UserKind::Root, UserKind::CaptureGroup, UserKind::EngineGroup]
            .map(|user| Recording::begin_with(self.programs.run_by(user, self.lab), &[scene.name], &options));
        traffic();
        witness.settle();
        let recorded = recordings.map(Recording::stop);
        let (witness, _folder) = witness.stop();
        let theirs = fields_of(&witness, "frame", &["frame.len"]).concat();
        assert!(!theirs.is_empty(), "{words}");
        let taps = recorded.map(|recorded| {
            let of_interface = format!("frame.interface_name == \"{}:{}\"", scene.name, scene.interface);
            let ours = recorded.fields(&of_interface, &["frame.len", "frame.interface_description"]);
            let lengths: Vec<&str> = ours.iter().map(|packet| packet[0].as_str()).collect();
            assert_eq!(lengths, theirs, "{words}: lengths of packets, as in tcpdump");
            tap(&ours[0][1])
        });
        self.rows.extend(["| ", words, " | ", &taps.join(" | "), " |\n"]);
    }
}

/// The tap in the description of an interface.
fn tap(description: &str) -> &'static str {
    // The tap comes first; reasons against better ones may follow.
    let kinds = ["host veth", "host network", "inside the container", "through the engine"];
    let told = kinds.into_iter().filter(|kind| description.contains(kind));
    told.min_by_key(|kind| description.find(kind)).unwrap_or_else(|| panic!("no tap in {description}"))
}

fn get(pid: &str, address: &str) {
    let mut curl = Command::new("nsenter");
    curl.args(["--net", "--target", pid, "curl", "-s", "-o", "/dev/null"]);
    output(curl.arg(format!("http://{address}/")));
}

fn each_kind_of_user_captures_each_kind_of_network(lab: &Lab) {
    allow_engine_access(lab);
    let mut table = UserTable { lab, programs: Programs::make(), rows: String::new() };
    bridges(&mut table);
    the_hosts(&mut table);
    inside_only(&mut table);
    overlay(&mut table);
    podman(&mut table);
    let page = fs::read_to_string(PAGE).expect("the page");
    let (before, after) = page.split_once(BEGIN).expect("the table");
    let rest = after.find("\n\n").map_or("", |at| &after[at + 1..]);
    let told = &after[..after.len() - rest.len()];
    if std::env::var_os("UPDATE_TAPS").is_some() {
        fs::write(PAGE, [before, BEGIN, &table.rows, rest].concat()).expect("the page");
    } else {
        assert_eq!(told, table.rows, "{PAGE} tells what was seen");
    }
}

fn bridges(table: &mut UserTable) {
    let lab = table.lab;
    let one = lab.container(&[]);
    table.row("one bridge", &Traffic::new(&one, "eth0"), &|| one.fetch(1));
    let network = lab.network();
    lab.docker(&["network", "connect", &network.name, &one.name]);
    let second = one.address_on("eth1");
    let scene = Traffic { network: &["--network", &network.name], ..Traffic::new(&one, "eth1") };
    table.row("several bridges, one selected with `-i`", &scene, &|| {
        output(Command::new("curl").args(["-s", "-o", "/dev/null", &format!("http://{second}/")]));
    });
    let scene = Traffic { network: &["--network", "lo"], ..Traffic::new(&one, "lo") };
    table.row("a bridge, its loopback selected with `-i lo`", &scene, &|| get(&one.pid, "127.0.0.1"));
    // A second server on port 80 would fail.
    let guest = lab.container(&[
        "--network",
        &format!("container:{}", one.name),
        "--interactive",
        "--entrypoint",
        "/bin/cat",
    ]);
    table.row("the network of another container", &Traffic::new(&guest, "eth0"), &|| one.fetch(1));
}

/// Its traffic to another container passes the bridge, an interface of the host.
fn the_hosts(table: &mut UserTable) {
    let lab = table.lab;
    let other = lab.container(&[]);
    let host = lab.container(&["--network", "host", "--interactive", "--entrypoint", "/bin/cat"]);
    let scene = Traffic { address: other.address(), ..Traffic::new(&host, "docker0") };
    table.row("the host's network", &scene, &|| get(&host.pid, &other.address()));
}

fn inside_only(table: &mut UserTable) {
    let lab = table.lab;
    let none = lab.container(&["--network", "none"]);
    table.row("no network", &Traffic::new(&none, "lo"), &|| get(&none.pid, "127.0.0.1"));
    let network = lab.macvlan();
    let options = ["--network", network.name.as_str()];
    let (one, other) = (lab.container(&options), lab.container(&options));
    table.row("macvlan", &Traffic::new(&one, "eth0"), &|| get(&one.pid, &other.address()));
}

fn overlay(table: &mut UserTable) {
    let lab = table.lab;
    let swarm = lab.swarm();
    let network = swarm.overlay();
    let options = ["--network", network.name.as_str()];
    let (one, other) = (lab.container(&options), lab.container(&options));
    table.row("overlay (Swarm)", &Traffic::new(&one, "eth0"), &|| get(&one.pid, &other.address()));
    let gateway = one.address_on("eth1");
    table.row("overlay, its gateway network (docker_gwbridge)", &Traffic::new(&one, "eth1"), &|| {
        output(Command::new("curl").args(["-s", "-o", "/dev/null", &format!("http://{gateway}/")]));
    });
}

fn podman(table: &mut UserTable) {
    let podman = Podman::rootful(table.lab);
    let socket = podman.url.strip_prefix("unix://").expect("a socket");
    output(
        Command::new("chmod")
            .args(["0755", Path::new(socket).parent().and_then(Path::to_str).expect("a folder")]),
    );
    output(Command::new("chmod").args(["0666", socket]));
    let network = podman.network();
    let one = podman.container(&["--network", &network.name]);
    let pid = podman.podman(&["inspect", "--format", "{{.State.Pid}}", &one.name]);
    let address = one.address();
    let scene = Traffic { name: &one.name, pid: &pid, interface: "eth0", network: &[], address };
    table.row("a bridge of root's Podman", &scene, &|| one.fetch());
}
