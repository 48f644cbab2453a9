//! Captures while the engine is killed and restarted.

use std::path::Path;
use std::process::Command;

use crate::support::following::Following;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, eventually, output};
use crate::support::other_host::OtherHost;
use crate::support::recording::{fields_of, fields_so_far, statistics_of};

pub(crate) const TESTS: &[Test] = tests![
    a_capture_continues_after_the_engine_and_its_containers_are_killed,
    a_capture_continues_while_containers_outlive_their_engine,
    a_capture_through_the_engine_resumes_after_an_engine_restart,
];

fn block(container: &Container) -> String {
    format!("{}:eth0", container.name)
}

/// Ends a capture on the other host. Returns its file and the lines of standard error.
fn end(host: &OtherHost, following: Following) -> (std::path::PathBuf, tempfile::TempDir, Vec<String>) {
    output(&mut host.inside("kill -INT $(cat program)"));
    let (path, folder, said) = following.end();
    (path, folder, said.lines().map(str::to_owned).collect())
}

/// Asserts that lines begin with each of `expected`, in that order.
fn assert_said(said: &[String], expected: &[&str]) {
    let mut lines = said.iter();
    for begin in expected {
        assert!(lines.any(|line| line.starts_with(begin)), "{begin}: {said:#?}");
    }
}

/// Asserts the number of requests by interface.
fn requests(path: &Path, expected: &[(u32, &str, usize)]) {
    for (number, name, count) in expected {
        let filter = format!("http.request and frame.interface_id == {number}");
        let found = fields_of(path, &filter, &["frame.interface_name"]).concat();
        assert_eq!(found, vec![(*name).to_owned(); *count], "interface {number}");
    }
    for (number, one) in statistics_of(path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
}

/// Docker's default: a restarted engine ends running containers and restarts those with a restart policy.
fn a_capture_continues_after_the_engine_and_its_containers_are_killed(lab: &Lab) {
    let host = OtherHost::start(lab);
    let ends = host.lab.container(&[]);
    let following = Following::begin(host.program(), &["--all", "-f", "tcp port 80"]);
    following.wait_for(&block(&ends), 1);
    let keeps = host.lab.container(&["--restart", "always"]);
    following.wait_for(&block(&keeps), 1);
    let (one, other) = (host.address_inside(&keeps), host.address_inside(&ends));
    host.request(&other);
    host.kill_engine();
    eventually("that is told", || following.said().contains("no longer responds"));
    // The containers keep running, and the capture continues.
    host.request(&one);
    host.request(&other);
    host.start_engine();
    following.wait_for(&block(&keeps), 2);
    let keeps = host.lab.restarted(keeps);
    let fresh = host.lab.container(&[]);
    following.wait_for(&block(&fresh), 1);
    host.request(&host.address_inside(&keeps));
    host.request(&host.address_inside(&fresh));
    let lost = format!("{} no longer responds (", host.lab.endpoint);
    let back = format!("{} responds again", host.lab.endpoint);
    let (path, _folder, said) = end(&host, following);
    let words = |container: &Container, what: &str| format!("{} {what}", container.name);
    assert_said(
        &said,
        &[&words(&keeps, "was added to the capture"), &lost, &back, &words(&keeps, "is back after ")],
    );
    assert_said(&said, &[&back, &words(&ends, "has ended")]);
    assert_said(&said, &[&back, &words(&keeps, "has ended"), &words(&fresh, "was added to the capture")]);
    let (keeps, ends, fresh) = (block(&keeps), block(&ends), block(&fresh));
    requests(&path, &[(0, &ends, 2), (1, &keeps, 1), (2, &keeps, 1), (3, &fresh, 1)]);
}

fn live_restore(sandbox: &mut Command) {
    sandbox.env("CONTAINERDUMP_ENGINE_SETTINGS", r#"{"live-restore": true}"#);
}

/// With `live-restore`.
fn a_capture_continues_while_containers_outlive_their_engine(lab: &Lab) {
    let host = OtherHost::start_with(lab, live_restore);
    let (stays, dies) = (host.lab.container(&[]), host.lab.container(&[]));
    let following = Following::begin(host.program(), &["--all", "-f", "tcp port 80"]);
    following.wait_for(&block(&dies), 1);
    following.wait_for(&block(&stays), 1);
    let late = host.lab.container(&[]);
    following.wait_for(&block(&late), 1);
    host.kill_engine();
    eventually("that is told", || following.said().contains("no longer responds"));
    for container in [&stays, &dies, &late] {
        host.request(&host.address_inside(container));
    }
    output(&mut host.inside(&format!("kill -KILL {}", dies.pid)));
    host.start_engine();
    eventually("the end is told", || following.said().contains(&format!("{} has ended", dies.name)));
    let fresh = host.lab.container(&[]);
    following.wait_for(&block(&fresh), 1);
    for container in [&stays, &late, &fresh] {
        host.request(&host.address_inside(container));
    }
    let (path, _folder, said) = end(&host, following);
    for container in [&stays, &late] {
        let told = said.iter().filter(|line| line.starts_with(&container.name)).count();
        assert_eq!(told, usize::from(container.name == late.name), "{said:#?}");
    }
    let all = fields_of(&path, "http.request", &["frame.interface_name"]).concat();
    let count = |container: &Container| all.iter().filter(|name| **name == block(container)).count();
    assert_eq!([&stays, &dies, &late, &fresh].map(count), [2, 1, 2, 1], "{all:?}");
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
}

fn a_capture_through_the_engine_resumes_after_an_engine_restart(lab: &Lab) {
    let host = OtherHost::start_with(lab, live_restore);
    let web = host.lab.container(&[]);
    let following = Following::begin(host.lab.program(), &[&web.name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block(&web), 1);
    let at = host.address_inside(&web);
    host.request(&at);
    // Packets in transit through a killed engine are lost.
    eventually("it came through", || {
        !fields_so_far(following.path(), "http.request", &["frame.number"]).is_empty()
    });
    host.kill_engine();
    host.start_engine();
    following.wait_for(&block(&web), 2);
    host.request(&at);
    let (path, _folder) = following.stop();
    let requests = fields_of(&path, "http.request", &["frame.interface_id", "frame.interface_name"]);
    assert_eq!(requests, ["0", "1"].map(|number| [number.to_owned(), block(&web)]));
}
