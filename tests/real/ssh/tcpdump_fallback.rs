//! Hosts that cannot run containerdump: tcpdump or dumpcap on the host.

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually};
use crate::support::recording::{Recording, capinfos, fields_of, sorted};
use crate::support::ssh_host::{SshHost, allow_sudo};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    ssh_uses_tcpdump_on_a_host_that_cannot_run_containerdump,
    ssh_uses_dumpcap_on_a_host_without_tcpdump,
    ssh_reports_why_tcpdump_cannot_be_used,
];

fn ssh_uses_tcpdump_on_a_host_that_cannot_run_containerdump(lab: &Lab) {
    let there = SshHost::bare(lab);
    let network = there.host.lab.network();
    let (web, other) =
        (there.host.lab.container(&[]), there.host.lab.container(&["--network", &network.name]));
    there.host.lab.docker(&["network", "connect", &network.name, &web.name]);
    let address = there.host.address(&web, &network.name);
    let filter = format!("tcp and host {address}");
    let witness = Tcpdump::with(there.tcpdump(&web), "eth1", &filter);
    let options = ["--host", "build1", "--no-upload", "-i", "eth1", "-f", &filter, "-s", "90"];
    let recording = Recording::begin_by(there.program(), &[&web], &options);
    assert_eq!(there.runs(), Vec::<String>::new());
    for _ in 0..20 {
        there.host.fetch(&other, &address);
    }
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let flags = ["tcp.flags", "tcp.len", "tcp.seq", "ip.src", "frame.len"];
    // The order of packets from two CPUs may differ.
    assert_eq!(sorted(recorded.fields("tcp", &flags)), sorted(fields_of(&witness, "tcp", &flags)));
    assert!(recorded.fields("frame.cap_len > 90", &["frame.number"]).is_empty());
    let fields = ["frame.interface_name", "frame.packet_flags_direction", "frame.interface_description"];
    let request = recorded.fields("tcp", &fields).concat();
    assert_eq!(request[..2], [format!("{}:eth1", web.name), "0x00000000".to_owned()]);
    let veth = there.inside("ip -o link").lines().filter(|line| line.contains(": veth")).count();
    assert!(veth >= 3 && request[2].contains("eth1 by tcpdump at host veth veth"), "{request:?}");
    let said: Vec<&str> = recorded.said.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], "build1: containerdump is not installed on build1");
    assert!(said[1].starts_with("build1: tcpdump on that host captures eth1 of "), "{said:?}");
    assert_nothing_runs(&there);
    // Complete packets as an unprivileged user with sudo, and the end.
    allow_sudo(&there);
    let user = ["--host", "containerdump-lab@build1", "--no-upload", "--sudo"];
    let witness = Tcpdump::with(there.tcpdump(&web), "eth0", "tcp");
    let recording = Recording::begin_by(there.program(), &[&web], &[&user[..], &["-f", "tcp"]].concat());
    let address = there.host.address(&web, "bridge");
    for _ in 0..5 {
        there.host.request(&address);
    }
    let recorded = recording.stop_matching(witness);
    assert!(recorded.said.contains(" (not its 1 others) at host veth "), "{}", recorded.said);
    assert_nothing_runs(&there);
    let recording = Recording::begin_by(there.program(), &[&web], &user);
    there.host.lab.docker(&["kill", &web.name]);
    assert_eq!(capinfos(&recording.end().path, "Number of interfaces in file"), "1");
    assert_nothing_runs(&there);
    there.assert_cleaned_up();
}

fn assert_nothing_runs(there: &SshHost) {
    eventually("nothing captures there", || {
        let all = there.inside("ps -A -o args");
        !all.lines().any(|line| line.contains("dump") && line.contains(" -w -"))
    });
}

fn ssh_uses_dumpcap_on_a_host_without_tcpdump(lab: &Lab) {
    let there = SshHost::bare(lab);
    there.inside("mount --bind /dev/null /usr/bin/tcpdump");
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let options = ["--host", "build1", "--no-upload", "-f", "tcp port 80"];
    let recording = Recording::begin_by(there.program(), &[&web], &options);
    for _ in 0..5 {
        there.host.fetch(&other, &address);
    }
    eventually("all requests are there", || {
        fields_of(&recording.path, "http.request", &["frame.number"]).len() == 5
    });
    // Connection loss ends it on both sides.
    there.cut();
    let ended = crate::support::lab::end_of(recording.child);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("dumpcap on that host captures eth0")
            && said.contains("the connection to build1 ended"),
        "{said}"
    );
    assert_nothing_runs(&there);
}

fn ssh_reports_why_tcpdump_cannot_be_used(lab: &Lab) {
    let there = SshHost::bare(lab);
    let (web, host) = (there.host.lab.container(&[]), there.host.lab.container(&["--network", "host"]));
    let why = |options: &[&str]| {
        let mut program = there.program();
        program.args(["capture", "--no-upload", "-w", "-", "--host"]).args(options);
        let ended = program.output().expect("the program");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(1), 0), "{said}");
        assert!(said.contains("\ncontainerdump: containerdump is not installed on "), "{said}");
        let why = said
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("build1: tcpdump on that host cannot be used either: "));
        why.unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert!(why(&["build1", "nobody"]).ends_with(" a running container of that name"));
    let too_short = why(&["build1", &web.id[..8]]);
    assert_eq!(too_short, "the engine has no running container of that name or id");
    assert_eq!(why(&["build1", &host.name]), "the container uses the network of the host");
    assert_eq!(why(&["build1", &web.name, "-i", "eth7"]), "the container has no interface eth7");
    let user = why(&["containerdump-lab@build1", &web.name]);
    assert_eq!(user, "only root can look into the network of the container");
    assert!(why(&["build1", &web.name, "-f", "inbound"]).contains("have the opposite meaning"));
    assert!(why(&["build1", &web.name, &host.name]).contains("it captures only one container"));
    assert!(why(&["build1", "--", "-w"]).contains("the name of one container"));
    there.inside("mount --bind /dev/null /usr/bin/tcpdump; mount --bind /dev/null /usr/bin/dumpcap");
    assert_eq!(why(&["build1", &web.name]), "neither tcpdump nor dumpcap is installed");
    there.assert_cleaned_up();
}
