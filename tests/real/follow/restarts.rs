//! Captures of containers that start, restart and are recreated.

use std::path::Path;
use std::process::Command;

use crate::support::following::{Following, interfaces};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, fifo, folder, output, signal, start};
use crate::support::recording::{fields_of, statistics_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    containers_started_later_are_captured,
    a_restarted_container_is_captured_again,
    a_recreated_container_is_captured_again,
    a_capture_can_start_before_its_container,
    a_network_connected_later_is_captured,
    containers_started_later_are_captured_for_each_kind_of_user,
    wireshark_captures_follow_restarts_unless_configured_to_stop,
];

fn requests(path: &Path) -> Vec<String> {
    fields_of(path, "http.request", &["frame.interface_name"]).concat()
}

fn block(container: &Container) -> String {
    format!("{}:eth0", container.name)
}

/// Asserts that the packets of a container's interface match tcpdump.
fn assert_same(following: Following, container: &Container) {
    let witness = Tcpdump::begin(&container.host_veth("eth0"), "tcp port 80");
    container.fetch(2);
    witness.settle();
    let (path, _folder) = following.stop();
    let (witness, _witness_folder) = witness.stop();
    // A bridge may forward packets for others, also before tcpdump runs.
    let its_own = format!("ip.addr == {}", container.address());
    let lengths = |path: &Path, filter: &str| fields_of(path, filter, &["frame.len", "tcp.seq_raw"]);
    let ours = format!("{its_own} and frame.interface_name == \"{}\"", block(container));
    assert_eq!(lengths(&path, &ours), lengths(&witness, &its_own), "as in tcpdump");
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
}

fn containers_started_later_are_captured(lab: &Lab) {
    let label = format!("run={}", std::process::id());
    let first = lab.container(&["--label", &label]);
    let following = Following::begin(lab.program(), &["--label", &label, "-f", "tcp port 80"]);
    following.wait_for(&block(&first), 1);
    let stranger = lab.container(&[]);
    let late = lab.container(&["--label", &label]);
    following.wait_for(&block(&late), 1);
    first.fetch(1);
    stranger.fetch(1);
    assert_same(following, &late);
}

fn a_restarted_container_is_captured_again(lab: &Lab) {
    let container = lab.container(&[]);
    let following = Following::begin(lab.program(), &[&container.name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block(&container), 1);
    container.fetch(1);
    lab.docker(&["restart", "--time", "0", &container.name]);
    following.wait_for(&block(&container), 2);
    let again = lab.found(&container.name);
    again.fetch(1);
    let said = following.interfaces();
    assert!(!said[0].1.contains("back after") && said[1].1.contains("; back after "), "{said:?}");
    let (path, _folder) = following.stop();
    let ids = fields_of(&path, "http.request", &["frame.interface_id", "frame.interface_name"]);
    let expected = [["0", &block(&container)], ["1", &block(&container)]];
    assert_eq!(ids, expected.map(|row| row.map(str::to_owned)));
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
    std::mem::forget(again);
}

fn a_recreated_container_is_captured_again(lab: &Lab) {
    let container = lab.container(&[]);
    let name = container.name.clone();
    let following = Following::begin(lab.program(), &[&name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block(&container), 1);
    drop(container);
    lab.docker(&["run", "--detach", "--name", &name, &lab.image]);
    let anew = lab.found(&name);
    following.wait_for(&block(&anew), 2);
    assert_same(following, &anew);
}

fn a_capture_can_start_before_its_container(lab: &Lab) {
    let name = format!("later{}", std::process::id());
    let following = Following::begin(lab.program(), &[&name, "--wait", "-f", "tcp port 80"]);
    lab.docker(&["run", "--detach", "--name", &name, &lab.image]);
    let container = lab.found(&name);
    following.wait_for(&block(&container), 1);
    assert_same(following, &container);
}

fn a_network_connected_later_is_captured(lab: &Lab) {
    let (network, container) = (lab.network(), lab.container(&[]));
    let following = Following::begin(lab.program(), &[&container.name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block(&container), 1);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    following.wait_for(&format!("{}:eth1", container.name), 1);
    let url = format!("http://{}/", container.address_on("eth1"));
    output(Command::new("curl").args(["-s", "-o", "/dev/null", &url]));
    let (path, _folder) = following.stop();
    assert_eq!(requests(&path), [format!("{}:eth1", container.name)]);
    lab.docker(&["network", "disconnect", "--force", &network.name, &container.name]);
}

/// By the broker with CAP_NET_RAW, through the engine without.
fn containers_started_later_are_captured_for_each_kind_of_user(lab: &Lab) {
    let programs = crate::support::user_kinds::Programs::make();
    crate::support::unprivileged::allow_engine_access(lab);
    for (user, place) in [
        (crate::support::user_kinds::UserKind::CaptureGroup, "host veth"),
        (crate::support::user_kinds::UserKind::EngineGroup, "through the engine"),
    ] {
        let name = format!("joins{}-{}", std::process::id(), place.len());
        let folder = folder();
        let path = folder.path().join("out.pcapng");
        let mut command = programs.run_by(user, lab);
        command.args(["capture", &name, "--wait", "-f", "tcp port 80", "--write"]).arg(&path);
        let child = start(&mut command);
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 20));
        lab.docker(&["run", "--detach", "--name", &name, &lab.image]);
        let container = lab.found(&name);
        eventually("it joins", || interfaces(&path).len() == 1);
        container.fetch(1);
        signal(&child, "INT");
        let ended = end_of(child);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(requests(&path), [block(&container)]);
        let described = interfaces(&path).remove(0).1;
        assert!(described.contains(place), "{described}");
    }
}

fn wireshark_captures_follow_restarts_unless_configured_to_stop(lab: &Lab) {
    for (options, goes_on) in [(&[][..], true), (&["--stop-with-container", "true"], false)] {
        let container = lab.container(&[]);
        let folder = folder();
        let fifo = fifo(&folder);
        let mut command = lab.program();
        command.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]);
        let mut child = start(command.arg(&fifo).args(options));
        let path = folder.path().join("copy.pcapng");
        let copy = start(Command::new("cp").arg(&fifo).arg(&path));
        eventually("the capture begins", || interfaces(&path).len() == 1);
        lab.docker(&["restart", "--time", "0", &container.name]);
        if goes_on {
            eventually("it is back", || interfaces(&path).len() == 2);
            assert!(child.try_wait().expect("a child").is_none());
            signal(&child, "TERM");
        }
        assert!(end_of(child).status.success());
        end_of(copy);
        assert_eq!(interfaces(&path).len(), if goes_on { 2 } else { 1 });
    }
}
