//! Many containers in one capture: `make many` has 200 of them, `make test` fewer.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, output};
use crate::support::processes::memory;
use crate::support::recording::{Recording, Statistics, capinfos, fields_of};
use crate::support::traffic::send_to_closed_ports;

pub(crate) const TESTS: &[Test] = tests![many_containers_are_captured_in_bounded_memory];

/// The default number of containers.
const CONTAINERS: usize = 50;
/// The limit for the memory of the process and its rings, in KiB.
const MAX_MEMORY_KIB: u64 = 256 * 1024;

/// One in ten containers is busy for this time, with so many packets per second.
const BUSY: Duration = Duration::from_secs(3);
const RATE: u32 = 1000;

/// UDP packets to closed ports that have reached `container` (`NoPorts`, RFC 4113).
fn closed_port_packets(container: &Container) -> u64 {
    let counters = output(&mut container.enter(&["cat", "/proc/net/snmp"]));
    let mut lines = counters.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().expect(&counters), lines.next().expect(&counters));
    let at = names.split(' ').position(|name| name == "NoPorts").expect(names);
    values.split(' ').nth(at).expect(values).parse().expect("a number")
}

/// Starts containers concurrently: an engine mostly waits for disks.
fn started(lab: &Lab, count: usize, options: &[&str]) -> Vec<Container> {
    std::thread::scope(|scope| {
        let start = |share: usize| (0..share).map(|_| lab.container(options)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || start((count + number) / 4))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("containers start")).collect()
    })
}

/// CPU seconds of a process.
fn processors(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its state");
    let after = stat.rsplit_once(") ").expect("a name").1;
    let ticks = after.split(' ').skip(11).take(2).map(|field| field.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / 100.0
}

fn many_containers_are_captured_in_bounded_memory(lab: &Lab) {
    let count =
        std::env::var("CONTAINERDUMP_MANY").ok().and_then(|count| count.parse().ok()).unwrap_or(CONTAINERS);
    let project = format!("p{}-many", std::process::id());
    let label = format!("com.docker.compose.project={project}");
    let network = lab.network_with(&["--subnet", "198.18.80.0/22"]);
    let containers = started(lab, count, &["--label", &label, "--network", &network.name]);
    // A soft limit of descriptors that the program has to raise.
    let mut command = lab.program_at("/bin/sh".as_ref());
    let program = std::env::var("CONTAINERDUMP_PROGRAM");
    let program = program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_containerdump"));
    command.args(["-c", "ulimit -S -n 128; exec \"$0\" \"$@\"", program]);
    let begin = Instant::now();
    let recording = Recording::begin_with(command, &[], &["--project", &project]);
    eprintln!("{count} containers, until rings are open: {:?}", begin.elapsed());
    let pid = recording.child.id();
    let (first, last) = (&containers[0], &containers[count - 1]);
    let between = &containers[count / 3..count / 3 + 6];
    first.fetch(1);
    let page = format!("http://{}/", last.address());
    lab.docker(&["exec", &first.name, "wget", "-q", "-O", "/dev/null", &page]);
    for container in between {
        container.fetch(1);
    }
    let (own, rings) = memory(pid);
    eprintln!("its own memory {own} KiB, rings {rings} KiB");
    assert!(rings > 0 && own + rings < MAX_MEMORY_KIB, "{own} KiB and rings of {rings} KiB");
    let (before, since) = (processors(pid), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let idle = (processors(pid) - before) / since.elapsed().as_secs_f64();
    eprintln!("{:.1} % of one processor while little comes", 100.0 * idle);
    // The rings of many containers are small: none may wait while others are read.
    let busy = &containers[..count / 10];
    send_to_closed_ports(busy, RATE, BUSY);
    std::thread::sleep(Duration::from_secs(1));
    let end = Instant::now();
    let recorded = recording.stop();
    eprintln!("until it has ended: {:?}", end.elapsed());
    let interfaces = capinfos(&recorded.path, "Number of interfaces in file");
    assert_eq!(interfaces, count.to_string(), "{}", recorded.said);
    let named = output(Command::new("capinfos").arg(&recorded.path));
    let named: BTreeSet<&str> =
        named.lines().filter_map(|line| line.trim().strip_prefix("Name = ")).collect();
    assert_eq!(named.len(), count);
    let fields = ["frame.interface_name", "ip.dst"];
    let requests: BTreeSet<Vec<String>> =
        fields_of(&recorded.path, "http.request", &fields).into_iter().collect();
    let row = |at: &Container, to: &Container| vec![format!("{}:eth0", at.name), to.address()];
    let mut expected: BTreeSet<_> = between.iter().map(|container| row(container, container)).collect();
    expected.extend([row(first, first), row(first, last)]);
    assert_eq!(requests, expected);
    let statistics = recorded.statistics();
    let received = recorded.fields("udp.dstport == 9 && !icmp", &["frame.interface_name"]).len() as u64;
    let expected: u64 = busy.iter().map(closed_port_packets).sum();
    let dropped: u64 = statistics.values().map(|one| one.lost).sum();
    // A busy machine may drop some, which are counted.
    assert!(
        received + dropped >= expected && dropped * 100 <= expected,
        "{received} of {expected}, {dropped} lost"
    );
    // Broadcasts of the first container are deduplicated.
    let asked = format!("arp.opcode == 1 && arp.dst.proto_ipv4 == {}", last.address());
    let asked_at: BTreeSet<_> = recorded.fields(&asked, &["frame.interface_name"]).into_iter().collect();
    assert_eq!(asked_at, BTreeSet::from([vec![format!("{}:eth0", first.name)]]));
    // Received packets are written, dropped, or deduplicated. A busy machine may drop some at the start.
    let adds_up = |one: &Statistics| one.written == one.packets && one.received >= one.packets + one.lost;
    assert!(statistics.values().all(adds_up), "{statistics:?}");
    stop(lab, &containers);
}

/// Stops all containers with one command, which is faster.
fn stop(lab: &Lab, containers: &[Container]) {
    let mut remove = vec!["rm", "--force"];
    remove.extend(containers.iter().map(|container| container.name.as_str()));
    lab.docker(&remove);
}
