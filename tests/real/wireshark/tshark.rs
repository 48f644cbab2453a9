//! tshark as an unprivileged user: as root it uses only the global extcap folder.

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, output, signal, start};
use crate::support::recording::{capinfos, fields_of, requests_so_far};
use crate::support::tcpdump::Tcpdump;
use crate::support::wireshark::WiresharkUser;

pub(crate) const TESTS: &[Test] = tests![
    tshark_lists_containers,
    tshark_captures_the_same_packets_as_tcpdump,
    tshark_captures_two_containers_at_once,
    tshark_passes_its_capture_filter_on,
    tshark_does_not_hang_on_a_failed_capture,
    stopping_tshark_leaves_no_process,
];

fn tshark_lists_containers(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let list = output(WiresharkUser::new(lab).tshark().arg("-D"));
    for container in [&one, &other] {
        let line = format!(". {} ({} · ", container.interface(), container.name);
        assert!(list.lines().any(|text| text.contains(&line)), "{line} in {list}");
    }
}

fn tshark_captures_the_same_packets_as_tcpdump(lab: &Lab) {
    let container = lab.container(&[]);
    let user = WiresharkUser::new(lab);
    let file = user.home.path().join("out.pcapng");
    let filter = format!("tcp and host {}", container.address());
    let witness = Tcpdump::begin(&container.host_veth("eth0"), &filter);
    let mut tshark = user.tshark();
    let child = start(
        tshark.args(["-q", "-f", &filter, "-i", &container.interface(), "-a", "duration:6", "-w"]).arg(&file),
    );
    eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
    container.fetch(30);
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    witness.assert_same(&file);
    assert!(capinfos(&file, "Number of packets").parse::<u64>().expect("a number") >= 300);
    assert_eq!(fields_of(&file, "tcp.analysis.flags", &["frame.number"]).len(), 0, "Wireshark sees disorder");
}

fn tshark_captures_two_containers_at_once(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let user = WiresharkUser::new(lab);
    let file = user.home.path().join("out.pcapng");
    let mut tshark = user.tshark();
    tshark.args(["-q", "-i", &one.interface(), "-i", &other.interface(), "-w"]);
    let child = start(tshark.arg(&file));
    eventually("both captures begin", || file.metadata().is_ok_and(|about| about.len() > 600));
    one.fetch(2);
    other.fetch(3);
    eventually("all requests are there", || requests_so_far(&file) == 5);
    signal(&child, "INT");
    assert!(end_of(child).status.success());
    for (container, count) in [(&one, 2), (&other, 3)] {
        let filter = format!("http.request && frame.interface_name == \"{}:eth0\"", container.name);
        let rows = fields_of(&file, &filter, &["ip.dst"]);
        assert_eq!(rows, vec![vec![container.address()]; count]);
    }
}

fn tshark_passes_its_capture_filter_on(lab: &Lab) {
    let container = lab.container(&[]);
    let user = WiresharkUser::new(lab);
    let mut tshark = user.tshark();
    tshark.args(["-n", "-i", &container.interface(), "-f", "inbound and tcp port 80", "-c", "5"]);
    let child = start(tshark.args(["-T", "fields", "-e", "ip.dst", "-e", "tcp.dstport"]));
    eventually("the capture begins", || user.captures());
    while user.captures() {
        container.fetch(1);
    }
    let said = String::from_utf8_lossy(&end_of(child).stdout).into_owned();
    assert_eq!(said.lines().collect::<Vec<_>>(), vec![format!("{}\t80", container.address()); 5]);
}

fn tshark_does_not_hang_on_a_failed_capture(lab: &Lab) {
    // The loopback is in the namespace, which this user cannot enter.
    let container = lab.container(&["--network", "none"]);
    let user = WiresharkUser::new(lab);
    let child = start(user.tshark().args(["-i", &container.interface(), "-c", "1"]));
    let ended = end_of(child);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("only root may enter it"), "{said}");
}

fn stopping_tshark_leaves_no_process(lab: &Lab) {
    let container = lab.container(&[]);
    let user = WiresharkUser::new(lab);
    for name in ["INT", "TERM", "KILL"] {
        let file = user.home.path().join(name);
        let child = start(user.tshark().args(["-q", "-i", &container.interface(), "-w"]).arg(&file));
        eventually("the capture begins", || file.metadata().is_ok_and(|about| about.len() > 300));
        signal(&child, name);
        end_of(child);
        eventually("the capture is gone", || !user.captures());
    }
}
