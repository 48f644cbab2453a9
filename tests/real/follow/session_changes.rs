//! Containers added to and removed from a running session.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, Network, end_of, eventually, folder, output};
use crate::support::local_session::{Capture, process, veth};
use crate::support::processes::{
    assert_no_capabilities, assert_system_calls_are_restricted, children, rights, taps,
};
use crate::support::recording::{
    assert_same, capinfos, fields_of, interfaces_in, named_fields_of, statistics_of,
};
use crate::support::tcpdump::Tcpdump;
use crate::support::unprivileged::NOBODY;

pub(crate) const TESTS: &[Test] = tests![
    a_container_is_added_to_a_running_session,
    a_container_is_added_to_the_session_of_an_unprivileged_user,
    a_container_without_a_veth_is_added_to_the_session_of_root,
    a_removed_container_is_counted_completely_and_its_resources_are_freed,
    each_file_of_a_ring_buffer_has_all_interface_blocks,
    a_container_that_cannot_be_added_is_reported_and_the_others_continue,
    tshark_shows_containers_added_later,
];

/// Asserts that the session and its taps have no capability, the broker and its pool only `permitted`.
fn assert_rights(session: u32, permitted: &str, count: usize) {
    assert_no_capabilities(session);
    let [broker] = children(session)[..] else { panic!("one broker") };
    let taps = taps(session);
    assert_eq!(taps.len(), count);
    for tap in &taps {
        assert_no_capabilities(*tap);
        assert_system_calls_are_restricted(*tap);
    }
    let waiting = |pid: &u32| !taps.contains(pid) && Path::new(&format!("/proc/{pid}/task")).exists();
    for pid in children(broker).into_iter().filter(waiting).chain([broker]) {
        for line in rights(pid) {
            let (key, value) = line.split_once(":\t").expect("a value");
            let wanted = match key {
                "CapPrm" => permitted,
                "NoNewPrivs" => "1",
                _ => "0000000000000000",
            };
            assert_eq!(value, wanted, "{line}");
        }
    }
}

/// `CAP_NET_RAW`, and with it `CAP_SYS_PTRACE` and `CAP_SYS_ADMIN` (linux/capability.h).
const CAPTURE: &str = "0000000000002000";
const CAPTURE_AND_ENTER: &str = "0000000000282000";

/// On its own bridge, without packets of other tests.
fn alone(lab: &Lab, network: &Network) -> Container {
    lab.container(&["--network", &network.name])
}

fn joins(lab: &Lab, user: Option<&[&str]>) {
    let network = lab.network();
    let (one, other) = (alone(lab, &network), alone(lab, &network));
    let mut capture = Capture::begin(user, &[]);
    let witness = Tcpdump::inside(&one, "eth0", "tcp");
    let permitted = if user.is_some() { CAPTURE } else { CAPTURE_AND_ENTER };
    assert_eq!(capture.tell(&format!("name {} first", one.address())), "done");
    capture.join("one:eth0", &one);
    assert_rights(capture.child.id(), permitted, 1);
    one.fetch(5);
    witness.settle();
    let second = Tcpdump::inside(&other, "eth0", "tcp");
    capture.join("other:eth0", &other);
    assert_rights(capture.child.id(), permitted, 2);
    other.fetch(5);
    second.settle();
    let (path, folder) = capture.stop();
    for (name, witness) in [("one:eth0", witness), ("other:eth0", second)] {
        let (witness, _witness) = witness.stop();
        let ours = folder.path().join("part.pcapng");
        let filter = format!("frame.interface_name == \"{name}\"");
        output(Command::new("tshark").args(["-Y", &filter, "-r"]).arg(&path).arg("-w").arg(&ours));
        assert_same(&ours, &witness);
    }
    for (number, container) in [(0, &one), (1, &other)] {
        let statistics = statistics_of(&path)[&number];
        assert_eq!((statistics.received, statistics.lost), (statistics.packets, 0));
        for (side, direction) in [("dst", "0x00000001"), ("src", "0x00000002")] {
            let filter = format!("ip.{side} == {} and frame.interface_id == {number}", container.address());
            let rows = fields_of(&path, &filter, &["frame.packet_flags"]);
            assert!(!rows.is_empty() && rows.iter().all(|row| row[0] == direction), "{rows:?}");
        }
    }
    let named = named_fields_of(&path, "tcp.dstport == 80", &["ip.dst_host"]).concat();
    let to_first =
        fields_of(&path, &format!("tcp.dstport == 80 and ip.dst == {}", one.address()), &["ip.dst"]);
    assert_eq!(named.iter().filter(|name| *name == "first").count(), to_first.len());
}

fn a_container_without_a_veth_is_added_to_the_session_of_root(lab: &Lab) {
    let container = lab.container(&["--network", "none"]);
    let mut capture = Capture::begin(None, &[]);
    let line = format!("inside lonely:lo lo {}", process(&container));
    assert_eq!(capture.tell(&line), "done");
    assert_rights(capture.child.id(), CAPTURE_AND_ENTER, 1);
    let witness = Tcpdump::inside(&container, "lo", "tcp");
    output(&mut container.enter(&["curl", "-s", "-o", "/dev/null", "http://127.0.0.1/"]));
    witness.settle();
    let (path, _folder) = capture.stop();
    witness.assert_same(&path);
}

fn a_removed_container_is_counted_completely_and_its_resources_are_freed(lab: &Lab) {
    let network = lab.network();
    let stays = lab.container(&[]);
    let mut capture = Capture::begin(None, &[]);
    capture.join("stays:eth0", &stays);
    let descriptors =
        |capture: &Capture| fs::read_dir(format!("/proc/{}/fd", capture.child.id())).expect("/proc").count();
    let before = descriptors(&capture);
    let mut witnesses = Vec::new();
    for number in 0..3 {
        let container = alone(lab, &network);
        // Truncated: its ring could not hold all packets.
        let witness = Tcpdump::with(container.enter(&["tcpdump", "-s", "96"]), "eth0", "tcp or udp");
        capture.join(&format!("goes{number}:eth0"), &container);
        container.fetch(3);
        // More than the ring can hold.
        crate::support::traffic::flood(&container, 3000);
        witness.settle();
        drop(container);
        // Packets at its end count, too.
        witnesses.push(witness.stop());
        eventually("its tap ends", || taps(capture.child.id()).len() == 1);
        eventually("its descriptors are closed", || descriptors(&capture) == before);
    }
    stays.fetch(2);
    let (path, _folder) = capture.stop();
    let statistics = statistics_of(&path);
    assert_eq!(statistics.len(), 4);
    for (number, statistics) in &statistics {
        assert_eq!(statistics.received, statistics.packets + statistics.lost, "{number} {statistics:?}");
        assert_eq!(statistics.written, statistics.packets, "{number} {statistics:?}");
    }
    for (number, (witness, _folder)) in (1..).zip(witnesses) {
        assert_eq!(statistics[&number].received.to_string(), capinfos(&witness, "Number of packets"));
        let requests = format!("http.request and frame.interface_id == {number}");
        assert_eq!(fields_of(&path, &requests, &["frame.number"]).len(), 3);
    }
}

fn each_file_of_a_ring_buffer_has_all_interface_blocks(lab: &Lab) {
    let (goes, stays) = (lab.container(&[]), lab.container(&[]));
    let mut capture = Capture::begin(None, &["packets:10"]);
    capture.join("goes:eth0", &goes);
    goes.fetch(1);
    drop(goes);
    eventually("its tap ends", || taps(capture.child.id()).is_empty());
    capture.join("stays:eth0", &stays);
    stays.fetch(4);
    let (_, folder) = capture.stop();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    for (number, file) in files.iter().enumerate() {
        // The first file may not have the second container yet.
        assert!(number == 0 || interfaces_in(file) == 2, "{}", file.display());
        for row in fields_of(file, "tcp", &["frame.interface_id", "frame.interface_name"]) {
            assert!(row == ["0", "goes:eth0"] || row == ["1", "stays:eth0"], "{row:?}");
        }
    }
    for file in &files {
        for (number, one) in statistics_of(file) {
            let told = (one.written, one.received);
            assert_eq!(told, (one.packets, one.packets), "{number} in {}", file.display());
        }
    }
}

fn a_container_that_cannot_be_added_is_reported_and_the_others_continue(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let mut capture = Capture::begin(None, &[]);
    capture.join("one:eth0", &one);
    // A foreign veth, a host interface, a wrong index, and a missing interface.
    let mine = veth("x", &one);
    let cable = one.host_veth("eth0");
    let index = output(Command::new("cat").arg(format!("/sys/class/net/{cable}/ifindex")));
    let bridged = VethPair::on_a_bridge();
    for (line, why) in [
        (mine.replace(&process(&one), &process(&other)), "is not a veth of that container"),
        (mine.replace(&cable, "docker0"), "is not a veth of that container"),
        (mine.replace(&format!(" {index} "), " 4242 "), "is not a veth of that container"),
        (mine.replace(&cable, "nosuch0"), "the interface is gone"),
        (mine.replace(&cable, "any"), "libpcap uses that name for something else"),
        (
            mine.replace(&cable, "../../etc/shadow"),
            "the capture broker refused a request: invalid interface name",
        ),
        (format!("early x {cable} {index}"), "interface existed before the capture started"),
        (early_on(&bridged, &bridged.0), "is not a veth of that container"),
        (early_on(&bridged, &format!("{}p", bridged.0)), "is not a veth of that container"),
        (format!("inside x eth7 {}", process(&one)), "the interface is gone"),
        ("veth x eth0 2 1 1".to_owned(), "stopped during the look-up"),
    ] {
        let answer = capture.tell(&line);
        assert!(answer.contains(why), "{line}: {answer}");
    }
    one.fetch(2);
    let (path, _folder) = capture.stop();
    assert_eq!(fields_of(&path, "http.request", &["frame.number"]).len(), 2);
    assert_eq!(capinfos(&path, "Number of interfaces in file"), "1");
}

/// A veth pair created during a session, which is removed on drop.
struct VethPair(String);

impl VethPair {
    fn on_a_bridge() -> Self {
        let name = format!("v{}", std::process::id());
        let ip = |arguments: &[&str]| output(Command::new("ip").args(arguments));
        let peer = format!("{name}p");
        ip(&["link", "add", &name, "type", "veth", "peer", "name", &peer]);
        ip(&["link", "set", &name, "master", "docker0", "up"]);
        ip(&["link", "set", &peer, "up"]);
        Self(name)
    }
}

impl Drop for VethPair {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "delete", &self.0]).output();
    }
}

/// The command that opens an interface in advance.
fn early_on(_while_it_is_there: &VethPair, name: &str) -> String {
    let index = output(Command::new("cat").arg(format!("/sys/class/net/{name}/ifindex")));
    format!("early x {name} {index}")
}

fn tshark_shows_containers_added_later(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = folder();
    let fifo = crate::support::lab::fifo(&folder);
    let mut tshark = Command::new("tshark");
    tshark
        .args(["-n", "-l", "-T", "fields", "-e", "frame.interface_name", "-Y", "http.request", "-i"])
        .arg(&fifo);
    tshark.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let tshark = tshark.spawn().expect("tshark");
    let mut capture = Capture::into(folder, fifo, None, &[]);
    // The capture has no interface for longer than tshark's timeout.
    std::thread::sleep(Duration::from_secs(3));
    capture.join("late:eth0", &container);
    container.fetch(1);
    let other = lab.container(&[]);
    capture.join("later:eth0", &other);
    other.fetch(1);
    std::thread::sleep(Duration::from_secs(1));
    let (_, _folder) = capture.stop();
    let ended = end_of(tshark);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(shown, "late:eth0\nlater:eth0\n", "{said}");
}

fn a_container_is_added_to_a_running_session(lab: &Lab) {
    joins(lab, None);
}

fn a_container_is_added_to_the_session_of_an_unprivileged_user(lab: &Lab) {
    joins(lab, Some(&NOBODY));
}
