//! New veth pairs reported by netlink, compared with `ip` and docker.

use std::fmt::Write as _;
use std::process::Command;

use containerdump::link::{LinkChange, LinkIndex, LinkMonitor, NewVeth, id_of_process};
use containerdump::privilege;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, folder, output};

pub(crate) const TESTS: &[Test] = tests![
    a_new_veth_pair_is_reported_without_privileges,
    a_new_veth_pair_is_reported_after_a_netlink_overrun,
];

/// Applies all changes to the known interfaces.
fn update(newcomers: &mut LinkMonitor, known: &mut Vec<NewVeth>) {
    for change in newcomers.changes().expect("changes") {
        match change {
            LinkChange::Appeared(newcomer) => known.push(newcomer),
            LinkChange::Moved(newcomer) => {
                known.retain(|before| before.index != newcomer.index);
                known.push(newcomer);
            }
            LinkChange::Removed(index) => known.retain(|newcomer| newcomer.index != index),
        }
    }
}

fn a_new_veth_pair_is_reported_without_privileges(lab: &Lab) {
    // On a thread of its own, which loses its capabilities.
    let told = std::thread::scope(|scope| scope.spawn(|| told_on_this_thread(lab)).join());
    told.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn told_on_this_thread(lab: &Lab) {
    let before = lab.container(&[]);
    privilege::drop_on_this_thread().expect("no capability");
    let (mut newcomers, mut known) = (LinkMonitor::listen().expect("newcomers"), Vec::new());
    // Programs started from here regain capabilities as root.
    let web = lab.container(&[]);
    let veth = web.host_veth("eth0");
    update(&mut newcomers, &mut known);
    let its =
        known.iter().find(|newcomer| newcomer.name == veth).expect("it was told before docker returned");
    let pid = web.pid.parse().expect("a pid");
    assert_eq!(id_of_process(pid).expect("an id"), its.namespace);
    assert!(its.namespace.is_some());
    let shown = output(Command::new("ip").args(["-o", "link", "show", &veth]));
    assert!(
        shown.starts_with(&format!("{}: {veth}@if{}: ", its.index.0, its.peer.expect("the other end").0)),
        "{shown}"
    );
    let bridge = output(Command::new("cat").arg("/sys/class/net/docker0/ifindex"));
    assert_eq!(its.controller.map(|index| index.0.to_string()), Some(bridge));
    assert_eq!(its.tap().device(), veth);
    let others = before.host_veth("eth0");
    assert!(known.iter().all(|newcomer| newcomer.name != others), "it was there before");
    lab.docker(&["kill", &web.name]);
    eventually("it is gone", || {
        update(&mut newcomers, &mut known);
        known.iter().all(|newcomer| newcomer.name != veth)
    });
}

fn a_new_veth_pair_is_reported_after_a_netlink_overrun(lab: &Lab) {
    let (gone, folder) = (lab.container(&[]), folder());
    let gone_veth = gone.host_veth("eth0");
    let index: u32 = output(Command::new("cat").arg(format!("/sys/class/net/{gone_veth}/ifindex")))
        .parse()
        .expect("an index");
    let mut newcomers = LinkMonitor::listen().expect("newcomers");
    // Unread messages far beyond the socket buffer (net.core.rmem_default, 208 KiB).
    let link = format!("f{}", std::process::id());
    output(Command::new("ip").args([
        "link",
        "add",
        &link,
        "type",
        "veth",
        "peer",
        "name",
        &format!("{link}p"),
    ]));
    let mut batch = String::new();
    for number in 0..3000 {
        writeln!(batch, "link set {link} mtu {}", 1000 + number % 400).expect("text");
    }
    let path = folder.path().join("batch");
    std::fs::write(&path, batch).expect("a file");
    output(Command::new("ip").arg("-batch").arg(&path));
    lab.docker(&["kill", &gone.name]);
    let web = lab.container(&[]);
    let veth = web.host_veth("eth0");
    eventually("the other one's is gone", || {
        let path = format!("/sys/class/net/{gone_veth}");
        !std::path::Path::new(&path).exists()
    });
    output(Command::new("ip").args(["link", "delete", &link]));
    let changes = newcomers.changes().expect("changes");
    let is_its = |change: &LinkChange| matches!(change, LinkChange::Appeared(newcomer) | LinkChange::Moved(newcomer) if newcomer.name == veth);
    assert!(changes.iter().any(is_its), "{changes:?}");
    assert!(changes.contains(&LinkChange::Removed(LinkIndex(index))), "{changes:?}");
}
