//! `containerdump capture --host`: packets and end.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, signal, start};
use crate::support::recording::{Recording, capinfos, fields_of, named_fields_of, sorted};
use crate::support::ssh_host::SshHost;
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    ssh_captures_a_container_like_tcpdump,
    ssh_applies_filter_and_snap_length_on_the_host,
    ssh_captures_containers_of_several_hosts_in_one_file,
    ssh_capture_follows_a_container_restart,
    ssh_capture_ends_with_its_container_and_at_its_limits,
    ssh_connection_loss_ends_the_capture_on_both_hosts,
    ssh_capture_that_was_killed_leaves_nothing_on_the_host,
    ssh_connection_of_a_capture_is_not_captured,
];

/// Starts and waits for the interface blocks.
pub(crate) fn begin(there: &SshHost, containers: &[&Container], options: &[&str]) -> Recording {
    let recording = Recording::begin_by(there.program(), containers, options);
    eventually("an interface is told", || interfaces(&recording.path) != 0);
    recording
}

/// The number of interfaces in a file so far.
fn interfaces(path: &Path) -> usize {
    // A file that is being written may end within a block.
    let all = Command::new("capinfos").arg("-M").arg(path).output().expect("capinfos").stdout;
    let all = String::from_utf8_lossy(&all);
    let told = all.lines().find_map(|line| line.strip_prefix("Number of interfaces in file:"));
    told.map_or(0, |number| number.trim().parse().expect("a number"))
}

/// Two containers, and the address of the first.
fn pair(there: &SshHost) -> (Container, Container, String) {
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    (web, other, address)
}

fn ssh_captures_a_container_like_tcpdump(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other, address) = pair(&there);
    let filter = format!("tcp and host {address}");
    let witness = Tcpdump::with(there.tcpdump(&web), "eth0", &filter);
    let recording = begin(&there, &[&web], &["--host", "build1", "-f", &filter]);
    assert_eq!(there.runs().len(), 1);
    for _ in 0..20 {
        there.host.fetch(&other, &address);
    }
    let recorded = recording.stop_matching(witness);
    let fields = ["frame.interface_name", "frame.packet_flags_direction", "frame.interface_description"];
    let request = recorded.fields("http.request", &fields).concat();
    assert_eq!(request[..2], [format!("{}:eth0", web.name), "0x00000001".to_owned()]);
    assert!(request[2].starts_with(&format!("on build1: docker container {} (", web.name)), "{request:?}");
    assert!(request[2].contains("host veth veth"), "{request:?}");
    let ends = named_fields_of(&recorded.path, "http.request", &["ip.src_host", "ip.dst_host"]);
    assert_eq!(ends[0], [&other, &web].map(|container| container.name.clone()));
    let statistics = recorded.statistics();
    assert!(statistics[&0].packets > 0);
    assert_eq!((statistics[&0].received, statistics[&0].lost), (statistics[&0].packets, 0));
    assert_eq!(recorded.said, "");
    there.assert_cleaned_up();
}

fn ssh_applies_filter_and_snap_length_on_the_host(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other, address) = pair(&there);
    let filter = format!("inbound and tcp port 80 and dst host {address}");
    let options = ["--host", "build1", "-f", &filter, "-s", "60", "-i", "bridge", "-p"];
    let recording = begin(&there, &[&web], &options);
    let witness = Tcpdump::with(there.tcpdump(&web), "eth0", &format!("tcp port 80 and dst host {address}"));
    there.host.fetch(&other, &address);
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let flags = ["tcp.flags", "tcp.len", "tcp.seq"];
    assert_eq!(sorted(recorded.fields("tcp", &flags)), sorted(fields_of(&witness, "tcp", &flags)));
    let lengths = recorded.fields("frame", &["frame.cap_len", "frame.packet_flags_direction"]);
    assert!(lengths.iter().all(|one| one[0].parse::<u32>().is_ok_and(|length| length <= 60)), "{lengths:?}");
    assert!(lengths.iter().all(|one| one[1] == "0x00000001"), "{lengths:?}");
    let statistics = recorded.statistics();
    assert_eq!(statistics[&0].received, statistics[&0].packets, "what was filtered out never came");
}

fn ssh_captures_containers_of_several_hosts_in_one_file(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other, address) = pair(&there);
    let filter = format!("tcp port 80 and host {address}");
    let options = ["--host", "build1", "--host", "root@build2", "-f", &filter];
    let recording = Recording::begin_by(there.program(), &[&web], &options);
    eventually("both tell", || interfaces(&recording.path) == 2);
    there.host.fetch(&other, &address);
    let packets = |recording: &Recording| {
        fields_of(&recording.path, "tcp.port == 80", &["frame.interface_name"]).concat()
    };
    eventually("packets come from both", || packets(&recording).iter().collect::<BTreeSet<_>>().len() == 2);
    let recorded = recording.stop();
    for one in recorded.statistics().values() {
        assert!(one.packets > 0 && one.received == one.packets + one.lost, "{one:?}");
    }
    assert_eq!(capinfos(&recorded.path, "Strict time order"), "True");
    let called = |container: &Container| format!("{0}@build1 or {0}@build2", container.name);
    let ends = named_fields_of(&recorded.path, "http.request", &["ip.src_host", "ip.dst_host"]);
    assert_eq!(ends.last(), Some(&vec![called(&other), called(&web)]), "{ends:?}");
    there.assert_cleaned_up();
}

fn ssh_capture_follows_a_container_restart(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other, address) = pair(&there);
    let recording = begin(&there, &[&web], &["--host", "build1", "--follow", "-f", "tcp port 80"]);
    there.host.lab.docker(&["restart", "--time", "0", &web.name]);
    eventually("it is back", || interfaces(&recording.path) == 2);
    eventually("what it is sent afterwards is there", || {
        there.host.fetch(&other, &address);
        !fields_of(&recording.path, "http.request && frame.interface_id == 1", &["frame.number"]).is_empty()
    });
    let recorded = recording.stop();
    assert!(recorded.said.contains(&format!("build1: {} is back after ", web.name)), "{}", recorded.said);
    for one in recorded.statistics().values() {
        assert_eq!((one.received, one.lost), (one.packets, 0));
    }
    // A waiting capture is silent for long, but alive.
    there.host.lab.docker(&["rm", "--force", &web.name]);
    let path = there.path("waiting.pcapng");
    let mut program = there.program();
    let waiting = start(program.args(["capture", "--host", "build1", "--wait", &web.name, "-w"]).arg(&path));
    eventually("it has begun", || path.exists());
    std::thread::sleep(std::time::Duration::from_secs(12));
    there.host.lab.docker(&["run", "--detach", "--name", &web.name, &lab.image]);
    eventually("it is there", || interfaces(&path) == 1);
    signal(&waiting, "INT");
    assert!(end_of(waiting).status.success());
    there.assert_cleaned_up();
}

fn ssh_capture_ends_with_its_container_and_at_its_limits(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other, address) = pair(&there);
    let recording = begin(&there, &[&web], &["--host", "build1", "-c", "3", "-f", "tcp port 80"]);
    there.host.fetch(&other, &address);
    assert_eq!(capinfos(&recording.end().path, "Number of packets"), "3");
    begin(&there, &[&web], &["--host", "build1", "-a", "duration:1"]).end();
    let recording = begin(&there, &[&web], &["--host", "build1"]);
    there.host.lab.docker(&["kill", &web.name]);
    assert_eq!(interfaces(&recording.end().path), 1);
    let mut program = there.program();
    let ended =
        program.args(["capture", "--host", "build1", "nobody", "-w", "-"]).output().expect("the program");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("containerdump: on build1: no running container is called \"nobody\""), "{said}");
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(1), &b""[..]));
    there.assert_cleaned_up();
}

fn ssh_connection_loss_ends_the_capture_on_both_hosts(lab: &Lab) {
    let there = SshHost::start(lab);
    let web = there.host.lab.container(&[]);
    let folder = crate::support::lab::folder();
    let path = folder.path().join("out.pcapng");
    let mut program = there.program();
    let child = start(program.args(["capture", "--host", "build1", &web.name, "-w"]).arg(&path));
    eventually("it runs there", || there.runs().len() == 1 && path.exists());
    eventually("an interface is told", || interfaces(&path) == 1);
    there.cut();
    let ended = end_of(child);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("build1") && said.contains("Remedy: check that it"), "{said}");
    assert_eq!(interfaces(&path), 1);
    there.assert_cleaned_up();
}

fn ssh_capture_that_was_killed_leaves_nothing_on_the_host(lab: &Lab) {
    let there = SshHost::start(lab);
    let web = there.host.lab.container(&[]);
    for name in ["KILL", "TERM", "HUP"] {
        let mut program = there.program();
        let child =
            start(program.args(["capture", "--host", "build1", &web.name, "-w", "/dev/null", "--overwrite"]));
        eventually("it runs there", || there.runs().len() == 1);
        signal(&child, name);
        assert_eq!(end_of(child).status.success(), name != "KILL");
        there.assert_cleaned_up();
    }
}

fn ssh_connection_of_a_capture_is_not_captured(lab: &Lab) {
    let there = SshHost::start(lab);
    let host = there.host.lab.container(&["--network", "host"]);
    let recording = begin(&there, &[&host], &["--host", "build1"]);
    // Each captured packet of its own would cause further ones.
    there.inside(&format!("ping -c 1 {0} 2>/dev/null || curl -s -m 1 http://{0}:1/ || true", there.address));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let recorded = recording.stop();
    let own = recorded.fields("tcp.port == 2222", &["frame.number"]);
    assert!(own.is_empty(), "{} packets of the way there", own.len());
    assert!(recorded.said.contains("uses the network of the host"), "{}", recorded.said);
}
