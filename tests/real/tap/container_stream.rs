//! Packets captured through tap containers, read by tshark.

use std::io::Write as _;

use containerdump::container::{self as described, EngineKind};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, folder};
use crate::support::podman::Podman;
use crate::support::recording::fields_of;
use crate::support::tap_container::{assert_no_tap_container, docker, tap, target};
use crate::support::tcp_relay::relay;

pub(crate) const TESTS: &[Test] = tests![
    packets_are_captured_through_the_engine,
    packets_are_captured_through_an_engine_over_tcp,
    packets_are_captured_through_rootless_podman,
];

/// The keepalive byte that ends a tap after its pending packets.
const FINISH: u8 = 4;

/// Captures `target` while `work` is done. Returns the number of HTTP requests.
fn requests(target: &described::Container, work: impl Fn()) -> usize {
    requests_with(target, &["tap"], work)
}

fn requests_with(target: &described::Container, arguments: &[&str], work: impl Fn()) -> usize {
    let tap = tap(target, arguments).expect("a tap container");
    let mut stream = tap.stream().expect("its stream");
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    let (mut from, to) = (tap.stream().expect("its stream"), path.clone());
    let recorder = std::thread::spawn(move || {
        std::io::copy(&mut from, &mut std::fs::File::create(to).expect("a file")).expect("a stream")
    });
    // It captures once interface blocks are written.
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
    work();
    stream.write_all(&[FINISH]).expect("somebody who listens");
    recorder.join().expect("a recording");
    let end = tap.end();
    assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""));
    fields_of(&path, "http.request", &["http.request.uri"]).len()
}

fn packets_are_captured_through_the_engine(lab: &Lab) {
    let container = lab.container(&[]);
    assert_eq!(requests(&docker(lab, &container.id), || container.fetch(3)), 3);
    assert_no_tap_container(lab, &container.id);
}

fn packets_are_captured_through_an_engine_over_tcp(lab: &Lab) {
    let container = lab.container(&[]);
    let target = target(EngineKind::Docker, relay(&lab.endpoint), &container.id);
    assert_eq!(requests(&target, || container.fetch(3)), 3);
    assert_no_tap_container(lab, &container.id);
}

fn packets_are_captured_through_rootless_podman(lab: &Lab) {
    let podman = Podman::rootless(lab);
    let container = podman.container(&[]);
    let id = podman.podman(&["inspect", "--format", "{{.Id}}", &container.name]);
    // Without capabilities not even root can use the socket of another user.
    let target = target(EngineKind::Podman, relay(&podman.url), &id);
    // Not reachable from outside: the container sends requests to itself.
    let ask =
        || podman.podman(&["exec", &container.name, "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"]);
    let requests = requests_with(&target, &["tap", "--interface", "lo"], || (0..3).for_each(|_| drop(ask())));
    assert_eq!(requests, 3);
}
