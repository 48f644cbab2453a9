//! The end of tap containers, which leaves nothing.

use std::io::Read as _;
use std::process::Command;

use containerdump::container::{self as described, EngineKind};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, TIMEOUT, eventually, start};
use crate::support::podman::Podman;
use crate::support::tap_container::{
    assert_no_tap_container, docker, in_podman, socket, tap, taps_of, target,
};

pub(crate) const TESTS: &[Test] = tests![
    a_tap_container_ends_with_the_program_that_started_it,
    a_tap_container_ends_with_its_target,
    the_error_output_and_status_of_a_tap_container_are_kept,
    a_missing_target_leaves_no_tap_container,
];

/// Names engine and container for the process that is killed in a test.
const CHILD: &str = "CONTAINERDUMP_TESTS_TAP";

/// Taps a container until this process is killed, if the environment variable is set.
pub(crate) fn serve_as_child() {
    let Ok(asked) = std::env::var(CHILD) else { return };
    let (url, id) = asked.split_once(' ').expect("an engine and a container");
    let _tap = tap(&target(EngineKind::Docker, socket(url), id), &["tap"]).expect("a tap container");
    // The test waits for this word.
    println!("tapped");
    std::thread::sleep(TIMEOUT);
}

fn a_tap_container_ends_with_the_program_that_started_it(lab: &Lab) {
    let kill_after = |url: &str, id: &str, is_there: &dyn Fn() -> bool| {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        let mut child = start(child.env(CHILD, format!("{url} {id}")));
        let mut word = [0; 7];
        child.stdout.as_mut().expect("its stdout").read_exact(&mut word).expect("a word");
        assert!(word == *b"tapped\n" && is_there());
        child.kill().expect("a child");
        child.wait().expect("its end");
        eventually("no tap container is left", || !is_there());
    };
    let container = lab.container(&[]);
    kill_after(&lab.endpoint, &container.id, &|| !taps_of(lab, &container.id).is_empty());
    let podman = Podman::rootful(lab);
    let container = podman.container(&[]);
    let (id, taps) = in_podman(&podman, &container.name);
    kill_after(&podman.url, &id, &|| !taps().is_empty());
}

fn a_tap_container_ends_with_its_target(lab: &Lab) {
    let tapped = |target: &described::Container, end: &dyn Fn()| {
        let tap = tap(target, &["tap"]).expect("a tap container");
        let mut stream = tap.stream().expect("its stream");
        // It captures once interface blocks are written.
        let mut all = vec![0; 100];
        stream.read_exact(&mut all).expect("a stream");
        end();
        stream.read_to_end(&mut all).expect("its end");
        let end = tap.end();
        assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""));
    };
    // A container with a loopback only: no interface disappears.
    for options in [&[][..], &["--network", "none"]] {
        let container = lab.container(options);
        let remove = || drop(lab.docker(&["rm", "--force", &container.name]));
        tapped(&docker(lab, &container.id), &remove);
        assert_no_tap_container(lab, &container.id);
    }
    let podman = Podman::rootful(lab);
    for options in [&[][..], &["--network", "none"]] {
        let container = podman.container(options);
        let (id, taps) = in_podman(&podman, &container.name);
        // Podman stops, but does not remove, a container whose namespace is shared.
        let kill = || drop(podman.podman(&["kill", &container.name]));
        tapped(&target(EngineKind::Podman, socket(&podman.url), &id), &kill);
        eventually("no tap container is left", || taps().is_empty());
    }
}

fn the_error_output_and_status_of_a_tap_container_are_kept(lab: &Lab) {
    let container = lab.container(&[]);
    let tap = tap(&docker(lab, &container.id), &["tap", "--interface", "nowhere"]).expect("a tap container");
    let mut all = Vec::new();
    tap.stream().expect("its stream").read_to_end(&mut all).expect("its end");
    let end = tap.end();
    assert_eq!((end.status, all.len()), (Some(1), 0));
    assert!(end.stderr.as_str().contains("nowhere"), "{end:?}");
    assert_no_tap_container(lab, &container.id);
}

fn a_missing_target_leaves_no_tap_container(lab: &Lab) {
    let container = lab.container(&[]);
    lab.docker(&["kill", &container.name]);
    let trouble = tap(&docker(lab, &container.id), &["tap"]).expect_err("it does not run");
    assert!(trouble.message().as_str().contains("stopped before"), "{trouble}");
    assert_no_tap_container(lab, &container.id);
}
