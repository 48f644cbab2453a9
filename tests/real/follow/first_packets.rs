//! First packets of containers that start during a capture.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use pcap_parser::Block;

use crate::support::following::Following;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, eventually, folder, output};
use crate::support::podman::{self, Podman};
use crate::support::processes::taps;
use crate::support::recording::{each_block, fields_of, fields_so_far, statistics_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    the_first_packet_of_a_container_started_later_is_captured,
    the_first_packet_after_a_restart_is_captured,
    the_first_packet_of_a_podman_container_is_captured,
    packets_of_unselected_containers_are_not_written,
    a_flood_of_new_veth_pairs_is_bounded,
];

/// A container command that connects at once.
fn fetches(address: &str) -> String {
    format!("wget -q -O /dev/null http://{address}/; exec httpd -f -h /www")
}

/// The first packet of a connection from `address`.
fn first_from(address: &str) -> String {
    format!("tcp.flags.syn == 1 and tcp.flags.ack == 0 and ip.src == {address}")
}

/// Asserts that the packets of tcpdump are at interface `name` in `path`, with one request.
fn assert_matches(path: &Path, witness: Tcpdump, address: &str, name: &str) {
    witness.settle();
    let (witness, _folder) = witness.stop();
    let its = format!("ip.addr == {address}");
    let ours = format!("{its} and frame.interface_name == \"{name}\"");
    let fields = ["frame.len", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags"];
    let theirs = fields_of(&witness, &its, &fields);
    assert!(theirs.len() > 3, "{theirs:?}");
    eventually("all of it is there", || {
        let ours = fields_so_far(path, &ours, &fields);
        theirs.iter().all(|packet| ours.contains(packet))
    });
    let begin = format!("{} and frame.interface_name == \"{name}\"", first_from(address));
    assert_eq!(fields_so_far(path, &begin, &["frame.number"]).len(), 1);
}

/// Asserts that interface block and name precede the first packet, and that the statistics are complete.
fn assert_in_order(path: &Path, name: &str, container: &str) {
    let (mut interfaces, mut number, mut named, mut packets) = (0, None, false, 0);
    let (mut first, mut begins) = (None, Vec::new());
    each_block(path, |block| match block {
        Block::InterfaceDescription(block) => {
            let is_its = block.options.iter().any(|option| option.value.starts_with(name.as_bytes()));
            number = number.or(is_its.then_some(interfaces));
            interfaces += 1;
        }
        Block::NameResolution(block) => {
            let holds =
                |value: &[u8]| value.windows(container.len()).any(|part| part == container.as_bytes());
            named |= block.nr.iter().any(|record| holds(record.record_value));
        }
        Block::EnhancedPacket(packet) if Some(packet.if_id) == number => {
            assert!(named, "a packet comes before the name of its address");
            packets += 1;
            first = first.or(Some(u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low)));
        }
        // isb_starttime
        Block::InterfaceStatistics(block) if Some(block.if_id) == number => {
            let begin = block.options.iter().find(|option| option.code.0 == 2).expect("when it began");
            let word =
                |at: usize| u32::from_le_bytes(begin.value[at..at + 4].try_into().expect("four bytes"));
            begins.push(u64::from(word(0)) << 32 | u64::from(word(4)));
        }
        _ => {}
    });
    let statistics = statistics_of(path)[&number.expect("its interface")];
    assert_eq!((statistics.received, statistics.lost), (packets, 0));
    assert!(begins.last().copied() <= first, "{begins:?} {first:?}");
}

fn the_first_packet_of_a_container_started_later_is_captured(lab: &Lab) {
    let network = lab.network();
    let server = lab.container(&["--network", &network.name]);
    let project = format!("p{}-first", std::process::id());
    let label = format!("com.docker.compose.project={project}");
    // Other containers send packets all the time.
    let busy = lab.container(&["--network", &network.name, "--label", &label]);
    let following = Following::begin(lab.program(), &[&format!("compose-{project}"), "-f", "tcp or arp"]);
    following.wait_for(&format!("{}:eth0", busy.name), 1);
    let mut names = Vec::new();
    for number in 0..3 {
        let witness = Tcpdump::inside(&server, "eth0", "tcp port 80");
        let name = format!("{project}{number}");
        let run = ["run", "--detach", "--name", &name, "--network", &network.name, "--label", &label];
        let command = [&lab.image, "sh", "-c", &fetches(&server.address())];
        lab.docker(&[&run[..], &command].concat());
        let container = lab.found(&name);
        let block = format!("{name}:eth0");
        following.wait_for(&block, 1);
        busy.fetch(1);
        assert_matches(following.path(), witness, &container.address(), &block);
        names.push((block, name));
    }
    let (path, _folder) = following.stop();
    for (block, name) in names {
        assert_in_order(&path, &block, &name);
    }
}

fn the_first_packet_after_a_restart_is_captured(lab: &Lab) {
    let network = lab.network();
    let server = lab.container(&["--network", &network.name]);
    let name = format!("again{}", std::process::id());
    let run = ["run", "--detach", "--name", &name, "--network", &network.name, &lab.image, "sh", "-c"];
    lab.docker(&[&run[..], &[&fetches(&server.address())]].concat());
    let container = lab.found(&name);
    let block = format!("{name}:eth0");
    let following = Following::begin(lab.program(), &[&name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block, 1);
    // Its first requests are complete.
    container.fetch(1);
    let witness = Tcpdump::inside(&server, "eth0", "tcp port 80");
    lab.docker(&["restart", "--time", "0", &name]);
    following.wait_for(&block, 2);
    let again = lab.found(&name);
    eventually("it serves again", || {
        Command::new("curl").args(["-s", &again.address()]).output().is_ok_and(|one| one.status.success())
    });
    witness.settle();
    let (path, _folder) = following.stop();
    let (witness, _witness_folder) = witness.stop();
    let at_first = |filter: &str| fields_of(&path, filter, &["tcp.seq_raw"]);
    let second = format!("{} and frame.interface_id == 1", first_from(&again.address()));
    assert_eq!(at_first(&second), fields_of(&witness, &first_from(&again.address()), &["tcp.seq_raw"]));
    assert_eq!(at_first(&second).len(), 1);
    std::mem::forget(again);
}

fn the_first_packet_of_a_podman_container_is_captured(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let server = podman.container(&[]);
    let label = format!("first={}", std::process::id());
    let following =
        Following::begin(podman::program(lab), &["--label", &label, "--wait", "-f", "tcp port 80"]);
    let mut tcpdump = Command::new("nsenter");
    tcpdump.args(["--net", "--target", &server.pid(), "tcpdump"]);
    let witness = Tcpdump::with(tcpdump, "eth0", "tcp port 80");
    let command = fetches(&server.address());
    let container = podman.container_with(&["--label", &label], &["sh", "-c", &command]);
    let block = format!("{}:eth0", container.name);
    following.wait_for(&block, 1);
    assert_matches(following.path(), witness, &container.address(), &block);
    let (path, _folder) = following.stop();
    assert_in_order(&path, &block, &container.name);
}

fn packets_of_unselected_containers_are_not_written(lab: &Lab) {
    let label = format!("nobody={}", std::process::id());
    let following = Following::begin(lab.program(), &["--label", &label, "--wait"]);
    let server = lab.container(&[]);
    for _ in 0..3 {
        let stranger = lab.container(&[]);
        stranger.fetch(2);
        server.fetch(1);
    }
    // A veth pair of no container.
    let cable = VethFlood::make(1);
    let session = following.child.id();
    eventually("nothing is open any more", || taps(session).is_empty());
    drop(cable);
    assert_eq!(following.interfaces(), []);
    let before = following.path().metadata().expect("the file").len();
    // Selected containers are still added.
    let meant = lab.container(&["--label", &label]);
    following.wait_for(&format!("{}:eth0", meant.name), 1);
    let (path, _folder) = following.stop();
    let of_others = format!("frame.interface_name != \"{}:eth0\"", meant.name);
    assert_eq!(fields_of(&path, &of_others, &["frame.number"]).len(), 0);
    let mut at = 0;
    each_block(&path, |block| {
        let is_packet = matches!(block, Block::EnhancedPacket(_) | Block::InterfaceDescription(_));
        assert!(!is_packet || at >= before, "written before anybody was meant");
        at += block_length(block);
    });
}

/// The length of a block.
fn block_length(block: &Block<'_>) -> u64 {
    match block {
        Block::SectionHeader(block) => block.block_len1.into(),
        Block::NameResolution(block) => block.block_len1.into(),
        Block::InterfaceDescription(block) => block.block_len1.into(),
        Block::InterfaceStatistics(block) => block.block_len1.into(),
        Block::EnhancedPacket(block) => block.block_len1.into(),
        other => panic!("{other:?}"),
    }
}

fn a_flood_of_new_veth_pairs_is_bounded(lab: &Lab) {
    let label = format!("flooded={}", std::process::id());
    let following = Following::begin(lab.program(), &["--label", &label, "--wait"]);
    let session = following.child.id();
    let mut most = 0;
    let cables = VethFlood::make(300);
    let ours: Container = lab.container(&["--label", &label]);
    let block = format!("{}:eth0", ours.name);
    eventually("who is meant joins", || {
        most = most.max(taps(session).len());
        following.interfaces().iter().any(|(name, _)| *name == block)
    });
    // The limit of interfaces opened in advance, and the selected one.
    assert!((1..=33).contains(&most), "{most}");
    eventually("the others are closed", || {
        most = most.max(taps(session).len());
        taps(session).len() == 1
    });
    assert!(most <= 33, "{most}");
    drop(cables);
    ours.fetch(1);
    let (path, _folder) = following.stop();
    assert_eq!(fields_of(&path, "http.request", &["frame.interface_name"]), [[block]]);
}

/// Many veth pairs into an unused network namespace.
struct VethFlood(String);

impl VethFlood {
    fn make(count: usize) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("f{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        output(Command::new("ip").args(["netns", "add", &name]));
        let mut batch = String::new();
        for number in 0..count {
            let end = format!("{name}n{number}");
            writeln!(batch, "link add {end} type veth peer name e{number} netns {name}").expect("text");
            writeln!(batch, "link set {end} up").expect("text");
        }
        let folder = folder();
        let path = folder.path().join("batch");
        std::fs::write(&path, batch).expect("a file");
        output(Command::new("ip").arg("-batch").arg(&path));
        Self(name)
    }
}

impl Drop for VethFlood {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}
