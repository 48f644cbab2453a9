//! Containers of a remote engine, whose processes and networks cannot be reached: a second dockerd in a sandbox.

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, folder, signal, start};
use crate::support::list_output::described_by;
use crate::support::other_host::OtherHost;
use crate::support::recording::{Recording, capinfos};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    a_container_of_a_remote_engine_is_captured_through_the_engine,
    a_capture_through_a_remote_engine_ends_with_its_container,
];

fn a_container_of_a_remote_engine_is_captured_through_the_engine(lab: &Lab) {
    let host = OtherHost::start(lab);
    let network = host.lab.network();
    let (web, other) = (host.lab.container(&[]), host.lab.container(&["--network", &network.name]));
    host.lab.docker(&["network", "connect", &network.name, &web.name]);
    let listed = described_by(host.lab.program(), &web.name);
    for (attachment, name) in
        listed["attachments"].as_array().expect("two").iter().zip(["bridge", &network.name])
    {
        assert_eq!([&attachment["network"], &attachment["tap"]], [name, "engine"], "{listed}");
    }
    let filter = "tcp port 80";
    let tcpdump = host.enter(&web, &["tcpdump"]);
    let witness = Tcpdump::with(tcpdump, "eth1", filter);
    let recording = Recording::begin(&host.lab, &[&web], &["-f", filter]);
    host.fetch(&other, &host.address(&web, &network.name));
    let recorded = recording.stop_matching(witness);
    let fields = ["frame.interface_name", "frame.packet_flags", "frame.interface_description"];
    let request = recorded.fields("http.request", &fields).concat();
    assert_eq!(request[..2], [format!("{}:eth1", web.name), "0x00000001".to_owned()]);
    let place =
        format!("network {}, eth1 through the engine (its engine runs on another host)", network.name);
    assert!(request[2].ends_with(&place), "{request:?}");
    // The statistics are those of the remote tap.
    let statistics = recorded.statistics();
    assert!(statistics.values().any(|one| one.packets > 0), "{statistics:?}");
    for one in statistics.values() {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{statistics:?}");
    }
    // One network of two, by its name on the host.
    let recording = Recording::begin(&host.lab, &[&web], &["-i", &network.name, "-a", "duration:0.5"]);
    assert_eq!(capinfos(&recording.end().path, "Number of interfaces in file"), "1");
    assert_eq!(host.lab.docker(&["ps", "--quiet", "--all"]).lines().count(), 2, "tap containers are gone");
}

fn a_capture_through_a_remote_engine_ends_with_its_container(lab: &Lab) {
    let host = OtherHost::start(lab);
    let web = host.lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    let mut program = host.lab.program();
    let child = start(program.args(["capture", &web.name, "-w"]).arg(&path));
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
    host.lab.docker(&["kill", &web.name]);
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(capinfos(&path, "Number of interfaces in file"), "1");
    // No tap container is left.
    host.lab.docker(&["rm", &web.name]);
    eventually("tap containers are gone", || host.lab.docker(&["ps", "--quiet", "--all"]).is_empty());
    // Our capture stops on a signal.
    let web = host.lab.container(&[]);
    let child = start(host.lab.program().args(["capture", &web.name, "-w", "/dev/null", "--overwrite"]));
    eventually("its tap container runs", || host.lab.docker(&["ps", "--quiet"]).lines().count() == 2);
    signal(&child, "INT");
    assert!(end_of(child).status.success());
}
