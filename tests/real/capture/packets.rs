//! The packets of a capture, compared with tcpdump and others.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, fifo, folder, output, signal, start};
use crate::support::recording::{
    Recording, Statistics, assert_same, capinfos, fields_of, named_fields_of, statistics_of,
};
use crate::support::tcpdump::Tcpdump;
use crate::support::traffic::flood;

pub(crate) const TESTS: &[Test] = tests![
    packets_at_a_host_veth_match_tcpdump,
    outgoing_connections_that_a_published_port_does_not_show_are_captured,
    each_network_has_its_own_interface_block,
    one_network_of_a_container_can_be_selected,
    packets_of_all_interfaces_are_ordered_by_time,
    packets_are_ordered_after_the_program_was_stopped_and_continued,
    filter_directions_are_those_of_the_container,
    packets_are_truncated_to_the_snap_length,
    name_resolution_blocks_are_written,
    received_and_dropped_packets_add_up_to_those_sent,
    packets_pending_in_the_kernel_ring_are_written_at_the_end,
    tshark_reads_the_capture_from_standard_output,
];

fn packets_at_a_host_veth_match_tcpdump(lab: &Lab) {
    let container = lab.container(&[]);
    let filter = format!("tcp and host {}", container.address());
    let witness = Tcpdump::begin(&container.host_veth("eth0"), &filter);
    let recording = Recording::begin(lab, &[&container], &["--filter", &filter]);
    // Segmentation offload: frames of up to 64 KiB.
    lab.docker(&["exec", &container.name, "dd", "if=/dev/zero", "of=/www/large", "bs=1M", "count=20"]);
    let url = format!("http://{}/large", container.address());
    output(Command::new("curl").args(["-s", "-o", "/dev/null", &url]));
    container.fetch(20);
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    assert_same(&recorded.path, &witness);
    let longest = recorded.fields("frame.len > 20000", &["frame.number"]);
    assert!(!longest.is_empty(), "no frame larger than 20,000 bytes: the link does not offload");
    // Times and order are not compared: every reader has its own time stamps.
    let fields = ["frame.len", "tcp.seq_raw", "tcp.ack_raw", "tcp.checksum"];
    let frames_in = |path| {
        let mut frames = fields_of(path, "tcp", &fields);
        frames.sort();
        frames
    };
    assert!(frames_in(&recorded.path) == frames_in(&witness), "the frames differ");
}

/// The point of the article this tool comes from.
fn outgoing_connections_that_a_published_port_does_not_show_are_captured(lab: &Lab) {
    let container = lab.container(&["--publish", "127.0.0.1:18099:80"]);
    let other = lab.container(&[]);
    let published = Tcpdump::begin("any", "port 18099");
    let recording = Recording::begin(lab, &[&container], &[]);
    output(Command::new("curl").args(["-s", "-o", "/dev/null", "http://127.0.0.1:18099/"]));
    let page = format!("http://{}/", other.address());
    lab.docker(&["exec", &container.name, "wget", "-q", "-O", "/dev/null", &page]);
    let recorded = recording.stop();
    let (published, _folder) = published.stop();

    let own =
        format!("tcp.dstport == 80 && ip.src == {} && ip.dst == {}", container.address(), other.address());
    assert!(
        fields_of(&published, &own, &["frame.number"]).is_empty(),
        "the published port shows outgoing traffic"
    );
    assert!(!fields_of(&published, "tcp.dstport == 18099", &["frame.number"]).is_empty());
    let sent = recorded.fields(&format!("http.request && {own}"), &["frame.packet_flags_direction"]);
    assert_eq!(sent, [["0x00000002"]], "what it asked for is outbound");
    let asked = format!("http.request && ip.dst == {}", container.address());
    let reached = recorded.fields(&asked, &["frame.packet_flags_direction"]);
    assert_eq!(reached, [["0x00000001"]], "what it was asked is inbound");
}

fn each_network_has_its_own_interface_block(lab: &Lab) {
    let network = lab.network();
    let container = lab.container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let recording = Recording::begin(lab, &[&container], &["--filter", "tcp"]);
    container.fetch(1);
    output(Command::new("curl").args(["-s", &format!("http://{}/", container.address_on("eth1"))]));
    let recorded = recording.stop();
    for (interface, network) in [("eth0", "bridge"), ("eth1", network.name.as_str())] {
        let rows = recorded.fields(
            &format!("http.request && ip.dst == {}", container.address_on(interface)),
            &["frame.interface_name", "frame.interface_description"],
        );
        let name = format!("{}:{interface}", container.name);
        let veth = container.host_veth(interface);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0][0], name);
        let description = &rows[0][1];
        for part in [&container.name, "network", network, &veth] {
            assert!(description.contains(part), "{part} in {description}");
        }
    }
    assert_eq!(capinfos(&recorded.path, "Number of interfaces in file"), "2");
    assert_eq!(capinfos(&recorded.path, "File timestamp precision"), "nanoseconds (9)");
    assert_eq!(capinfos(&recorded.path, "Filter string"), "tcp");
}

fn one_network_of_a_container_can_be_selected(lab: &Lab) {
    let network = lab.network();
    let container = lab.container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let recording = Recording::begin(lab, &[&container], &["-i", &network.name]);
    container.fetch(1);
    output(Command::new("curl").args(["-s", &format!("http://{}/", container.address_on("eth1"))]));
    let recorded = recording.stop();
    let names: BTreeSet<_> =
        recorded.fields("tcp", &["frame.interface_name"]).into_iter().flatten().collect();
    assert_eq!(names, BTreeSet::from([format!("{}:eth1", container.name)]));
    let refused =
        lab.program().args(["capture", &container.name, "-i", "nowhere", "-w", "-"]).output().expect("a run");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("eth0 (bridge)") && said.contains(&network.name),
        "{said}"
    );
}

fn packets_of_all_interfaces_are_ordered_by_time(lab: &Lab) {
    in_order_of_time(lab, |_| {});
}

/// A busy machine may stop a program for longer than the kernel's block timeout.
fn packets_are_ordered_after_the_program_was_stopped_and_continued(lab: &Lab) {
    in_order_of_time(lab, |child| {
        signal(child, "STOP");
        std::thread::sleep(Duration::from_millis(80));
        signal(child, "CONT");
    });
}

fn in_order_of_time(lab: &Lab, disturb: impl Fn(&Child) + Sync) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let recording = Recording::begin(lab, &[&one, &other], &["--duplicates", "keep"]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                disturb(&recording.child);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let some = format!("for n in {{1..600}}; do echo >/dev/udp/{}/9; sleep 0.002; done", other.address());
        let sent = one.enter(&["bash", "-c", &some]).output();
        is_over.store(true, Ordering::Relaxed);
        assert!(sent.is_ok_and(|sent| sent.status.success()));
    });
    let recorded = recording.stop();
    // Two CPUs may write packets to a ring in another order than their time stamps, within this time.
    let rows = recorded.fields("frame.time_delta < -0.001", &["frame.time_delta", "frame.interface_name"]);
    assert_eq!(rows, [[""; 0]; 0]);
    let names: BTreeSet<_> =
        recorded.fields("udp.dstport == 9", &["frame.interface_name"]).into_iter().flatten().collect();
    assert_eq!(names.len(), 2);
}

fn filter_directions_are_those_of_the_container(lab: &Lab) {
    let container = lab.container(&[]);
    // A bridge floods packets of unknown addresses, so inbound packets may be for others.
    for (filter, right, wrong) in
        [("inbound and tcp", "ip.dst", "ip.src"), ("tcp and outbound", "ip.src", "ip.dst")]
    {
        let recording = Recording::begin(lab, &[&container], &["--filter", filter]);
        container.fetch(1);
        let recorded = recording.stop();
        let address = container.address();
        let count = |side: &str| recorded.fields(&format!("{side} == {address}"), &["frame.number"]).len();
        assert_eq!(count(wrong), 0, "{filter}");
        assert!(count(right) >= 4, "{filter}: {} packets", count(right));
    }
    // The filter applies from the first packet.
    let recording =
        Recording::begin(lab, &[&container], &["--filter", "udp port 9 or vlan or (ip6 and not ip6)"]);
    container.fetch(1);
    assert_eq!(recording.stop().fields("frame", &["frame.number"]).len(), 0);
}

fn packets_are_truncated_to_the_snap_length(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &["--snap-length", "60", "--filter", "tcp"]);
    container.fetch(1);
    let recorded = recording.stop();
    let rows = recorded.fields("frame.len > 60", &["frame.cap_len"]);
    assert!(rows.len() > 4 && rows.iter().all(|row| row[0] == "60"), "{rows:?}");
}

fn name_resolution_blocks_are_written(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let recording = Recording::begin(lab, &[&one], &[]);
    let page = format!("http://{}/", other.address());
    lab.docker(&["exec", &one.name, "wget", "-q", "-O", "/dev/null", &page]);
    let recorded = recording.stop();
    let names = named_fields_of(&recorded.path, "http.request", &["ip.src_host", "ip.dst_host"]);
    assert_eq!(names, [[one.name.clone(), other.name.clone()]]);
}

fn received_and_dropped_packets_add_up_to_those_sent(lab: &Lab) {
    const SENT: u64 = 60_000;
    let statistics = flooded(lab, SENT, &["--buffer-size", "2"]);
    assert!(statistics.lost_in_kernel > 0, "nothing was dropped: {statistics:?}");
    assert_eq!(statistics.packets + statistics.lost_in_kernel, SENT, "{statistics:?}");
    assert_eq!(statistics.received, SENT, "{statistics:?}");
    assert_eq!(statistics.written, statistics.packets, "{statistics:?}");
}

fn packets_pending_in_the_kernel_ring_are_written_at_the_end(lab: &Lab) {
    const SENT: u64 = 10_000;
    let statistics = flooded(lab, SENT, &[]);
    assert_eq!(statistics.packets, SENT, "{statistics:?}");
    assert_eq!((statistics.received, statistics.lost), (SENT, 0), "{statistics:?}");
}

/// Captures `sent` packets of 1000 bytes whose reader starts only at the end.
fn flooded(lab: &Lab, sent: u64, options: &[&str]) -> Statistics {
    let container = lab.container(&[]);
    let folder = folder();
    let fifo = fifo(&folder);
    let mut command = lab.program();
    command.args(["--capture", "--extcap-interface", &container.interface()]).args(options);
    command.args(["--extcap-capture-filter", "udp port 9", "--fifo"]).arg(&fifo);
    let child = start(&mut command);
    let mut reader = File::open(&fifo).expect("the FIFO");
    let (mut stream, interface) = (Vec::new(), format!("{}:eth0", container.name));
    while !stream.windows(interface.len()).any(|window| window == interface.as_bytes()) {
        let mut some = [0; 4096];
        let count = reader.read(&mut some).expect("the begin of the stream");
        assert_ne!(count, 0, "it captures");
        stream.extend_from_slice(&some[..count]);
    }
    flood(&container, sent);
    signal(&child, "TERM");
    let out = folder.path().join("out.pcapng");
    reader.read_to_end(&mut stream).expect("all of the stream");
    std::fs::write(&out, stream).expect("a file");
    assert!(end_of(child).status.success());
    statistics_of(&out)[&0]
}

fn tshark_reads_the_capture_from_standard_output(lab: &Lab) {
    let container = lab.container(&[]);
    let mut capture = lab.program();
    let mut capture = start(capture.args(["capture", &container.name, "-f", "tcp", "-c", "30", "-w", "-"]));
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r", "-", "-Y", "http.request", "-T", "fields", "-e", "frame.interface_name"]);
    let tshark = tshark.stdin(capture.stdout.take().expect("its output"));
    let tshark = tshark.stdout(std::process::Stdio::piped()).spawn().expect("tshark");
    while capture.try_wait().expect("a child").is_none() {
        container.fetch(1);
    }
    assert!(end_of(capture).status.success());
    let said = end_of(tshark).stdout;
    assert_eq!(
        String::from_utf8_lossy(&said).lines().next(),
        Some(format!("{}:eth0", container.name).as_str())
    );
}
