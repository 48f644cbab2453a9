//! A session that captures peer streams: `containerdump tap` in a container's namespace, at the other end of a socket.

use std::process::Command;
use std::time::Duration;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, output, signal};
use crate::support::peer_session::{PeerSession, tap, tap_through};
use crate::support::recording::{assert_same, capinfos, fields_of, statistics_of};
use crate::support::tcpdump::Tcpdump;
use crate::support::traffic::flood;

pub(crate) const TESTS: &[Test] = tests![
    a_peer_stream_is_captured_completely,
    packets_dropped_at_the_peer_are_reported,
    two_peer_streams_are_ordered_by_time,
    a_quiet_peer_stream_is_kept_alive,
    a_broken_peer_stream_is_the_error_of_its_capture,
    a_broken_peer_stream_does_not_end_the_others,
    a_completed_peer_stream_ends_its_capture,
];

fn a_peer_stream_is_captured_completely(lab: &Lab) {
    let network = lab.network();
    let container = lab.container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let witness = Tcpdump::inside(&container, "any", "tcp");
    let recording = PeerSession::begin(&[tap(&container, &["--filter", "tcp"])]);
    let addresses = ["eth0", "eth1"].map(|interface| container.address_on(interface));
    for address in &addresses {
        output(Command::new("curl").args(["-s", "-o", "/dev/null", &format!("http://{address}/")]));
    }
    witness.settle();
    let recorded = recording.stop();
    let (witness, _witness) = witness.stop();
    assert_eq!(capinfos(&recorded.path, "Number of packets"), capinfos(&witness, "Number of packets"));
    for (number, address) in (0..).zip(&addresses) {
        let name = format!("eth{number}");
        for (filter, direction) in [("dst", "0x00000001"), ("src", "0x00000002")] {
            let filter = format!("ip.{filter} == {address}");
            let rows = fields_of(&recorded.path, &filter, &["frame.interface_name", "frame.packet_flags"]);
            assert!(!rows.is_empty() && rows.iter().all(|row| *row == [&name, direction]), "{rows:?}");
        }
        let statistics = statistics_of(&recorded.path)[&number];
        assert_eq!((statistics.received, statistics.lost), (statistics.packets, 0));
    }
}

fn packets_dropped_at_the_peer_are_reported(lab: &Lab) {
    const SENT: u64 = 60_000;
    let container = lab.container(&[]);
    let options = ["--filter", "udp port 9", "--buffer-size", "2"];
    let recording = PeerSession::begin(&[tap(&container, &options)]);
    // A stopped process does not read its rings.
    let session = recording.child.id().to_string();
    let far = output(Command::new("pgrep").args(["--parent", &session]));
    output(Command::new("kill").args(["-STOP", &far]));
    flood(&container, SENT);
    output(Command::new("kill").args(["-CONT", &far]));
    let recorded = recording.stop();
    let statistics = statistics_of(&recorded.path)[&0];
    assert!(statistics.lost_in_kernel > 0 && statistics.packets > 0, "{statistics:?}");
    assert_eq!(statistics.packets + statistics.lost_in_kernel, SENT, "{statistics:?}");
    assert_eq!((statistics.received, statistics.written), (SENT, statistics.packets), "{statistics:?}");
}

fn two_peer_streams_are_ordered_by_time(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let recording = PeerSession::begin(&[tap(&one, &["-f", "tcp"]), tap(&other, &["-f", "tcp"])]);
    for _ in 0..20 {
        one.fetch(1);
        other.fetch(1);
    }
    let witness = format!("http://{}/", other.address());
    output(&mut one.enter(&["curl", "-s", "-o", "/dev/null", &witness]));
    let recorded = recording.stop();
    assert_eq!(capinfos(&recorded.path, "Strict time order"), "True");
    // tshark takes a duplicate segment for a retransmission and not for a request.
    let sent = "tcp.dstport == 80 and tcp.len > 0";
    let requests = fields_of(&recorded.path, sent, &["frame.interface_id"]).concat();
    // Requests in turn, and one between both containers.
    assert_eq!(requests.concat(), "01".repeat(21));
}

fn a_quiet_peer_stream_is_kept_alive(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = PeerSession::begin(&[tap(&container, &["--filter", "tcp"])]);
    // The keepalive thread has no capability either.
    let tasks = std::fs::read_dir(format!("/proc/{}/task", recording.child.id())).expect("its threads");
    assert_eq!(tasks.count(), 2);
    crate::support::processes::assert_no_capabilities(recording.child.id());
    // Longer than the keepalive timeout of a tap.
    std::thread::sleep(Duration::from_secs(12));
    container.fetch(1);
    let recorded = recording.stop();
    assert_eq!(fields_of(&recorded.path, "http.request", &["frame.number"]).len(), 1);
}

fn a_broken_peer_stream_is_the_error_of_its_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = PeerSession::begin(&[tap_through(&container, "dd bs=1 count=1500 status=none")]);
    container.fetch(20);
    let recorded = recording.end();
    assert_eq!(recorded.status, Some(1), "{}", recorded.said);
    assert!(
        recorded
            .said
            .starts_with("cannot read packets of elsewhere: the stream ended unexpectedly.\nRemedy: ")
    );
    // Earlier packets are in the file.
    assert!(statistics_of(&recorded.path)[&0].packets > 0);
}

fn a_broken_peer_stream_does_not_end_the_others(lab: &Lab) {
    let (container, other) = (lab.container(&[]), lab.container(&[]));
    let witness = Tcpdump::inside(&other, "eth0", "tcp");
    let recording = PeerSession::begin(&[
        tap_through(&container, "dd bs=1 count=1500 status=none"),
        tap(&other, &["-f", "tcp"]),
    ]);
    container.fetch(20);
    other.fetch(20);
    witness.settle();
    signal(&recording.child, "TERM");
    let recorded = recording.end();
    assert_eq!(recorded.status, Some(0), "{}", recorded.said);
    assert!(recorded.said.contains("elsewhere: the stream ended unexpectedly"), "{}", recorded.said);
    let (witness, folder) = witness.stop();
    let ours = folder.path().join("ours.pcapng");
    let mut tshark = Command::new("tshark");
    tshark.args(["-Y", "frame.interface_id == 1", "-r"]).arg(&recorded.path).arg("-w").arg(&ours);
    output(&mut tshark);
    assert_same(&ours, &witness);
}

fn a_completed_peer_stream_ends_its_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = PeerSession::begin(&[tap(&container, &["--filter", "tcp"])]);
    container.fetch(3);
    let session = recording.child.id().to_string();
    let far = output(Command::new("pgrep").args(["--parent", &session]));
    output(Command::new("kill").args(["-TERM", &far]));
    let recorded = recording.end();
    assert_eq!((recorded.status, recorded.said.as_str()), (Some(0), ""));
    assert_eq!(fields_of(&recorded.path, "http.request", &["frame.number"]).len(), 3);
}
