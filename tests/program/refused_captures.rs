//! Captures that are refused: containers that ended, and processes that are not containers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Child, Command};

use crate::support::fake_engine::{Answer, FakeEngine, container, id};
use crate::support::fifo::{Fifo, is_section_header};
use crate::support::program::start_capture;

/// The error when `interface` is captured. Asserts that the FIFO gets only a header and the engine only valid requests.
fn refusal(engine: &FakeEngine, interface: impl AsRef<OsStr>) -> String {
    let pipe = Fifo::new();
    let stream = pipe.read();
    let complaint = start_capture(&engine.address(), interface, pipe.path()).ended().complaint();
    assert!(is_section_header(&stream.join().expect("the FIFO was read")));
    engine.assert_only_allowed_requests();
    complaint
}

/// The error for a container `web` with this pid.
fn refusal_of_pid(pid: impl Into<serde_json::Value>) -> String {
    refusal(&FakeEngine::running([container("web")]).with_pid(pid), "docker-web")
}

/// A process outside containers, which is killed on drop.
struct OtherProcess(Child);

impl OtherProcess {
    fn new() -> Self {
        Self(Command::new("sleep").arg("60").spawn().expect("sleep is everywhere"))
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn an_unlisted_container_is_not_requested() {
    let engine = FakeEngine::running([container("web")]);
    let long = "x".repeat(120_000);
    let hostile = [
        "../../images/json",
        "a?b#c",
        "-oops",
        "--oops",
        "docker-",
        "docker-nobody",
        "",
        "}{value=x}\ninterface {value=y}",
        "\u{1b}[31m\u{202e}",
        long.as_str(),
    ];
    for interface in hostile {
        let complaint = refusal(&engine, interface);
        assert!(complaint.contains("Remedy: press F5 and choose again."), "{complaint}");
    }
    assert_eq!(engine.asked(), vec!["GET /containers/json"; hostile.len()]);
}

#[test]
fn a_name_with_invalid_utf8_is_not_requested() {
    let engine = FakeEngine::running([container("web")]);
    let complaint = refusal(&engine, OsString::from_vec(b"docker-\xff\xfe".to_vec()));
    assert!(complaint.contains("Remedy: press F5 and choose again."), "{complaint}");
}

#[test]
fn an_id_with_a_path_is_not_requested() {
    let lying = container("web").with("Id", "../../images");
    let engine = FakeEngine::running([lying, container("../../images")]);
    refusal(&engine, "../../images");
    let mut asked = engine.asked();
    // A second request checks whether the container is restarting.
    asked.dedup();
    assert_eq!(asked, ["GET /containers/json".to_owned(), inspected("../../images")]);
}

/// The request for one container.
fn inspected(name: &str) -> String {
    format!("GET /containers/{}/json", id(name))
}

#[test]
fn an_interface_value_selects_its_container_despite_equal_names() {
    let engine = FakeEngine::running([container("docker-web"), container("web")]);
    refusal(&engine, "docker-web");
    assert_eq!(engine.asked().last(), Some(&inspected("web")));
}

#[test]
fn the_entry_of_a_recovered_engine_explains_what_to_do() {
    let complaint = refusal(&FakeEngine::running([container("web")]), "containerdump-docker");
    assert!(complaint.contains("is not a container") && complaint.contains("F5"), "{complaint}");
}

#[test]
fn a_container_that_ended_after_listing_is_reported() {
    let complaint = refusal(&FakeEngine::running([container("web")]), "docker-web");
    assert!(complaint.contains("No such container"), "{complaint}");
}

#[test]
fn an_invalid_inspect_response_is_reported() {
    let engine = FakeEngine::running([container("web")]).inspecting(Answer::Body(b"}{".to_vec()));
    assert!(refusal(&engine, "docker-web").contains("does not speak the Docker API"));
}

#[test]
fn the_requesting_process_is_not_a_container() {
    let complaint = refusal_of_pid(std::process::id());
    assert!(
        complaint.contains("is not container web") && complaint.contains("on another host"),
        "{complaint}"
    );
}

#[test]
fn a_local_process_is_not_mistaken_for_a_remote_container() {
    let stranger = OtherProcess::new();
    let complaint = refusal_of_pid(stranger.0.id());
    assert!(
        complaint.contains("is not container web") && complaint.contains("on another host"),
        "{complaint}"
    );
}

#[test]
fn a_process_without_conmon_is_not_a_podman_container() {
    let stranger = OtherProcess::new();
    let engine = FakeEngine::answering(Answer::of_podman([container("web")])).with_pid(stranger.0.id());
    assert!(refusal(&engine, "podman-web").contains("is not container web"));
}

#[test]
fn the_init_process_of_the_host_is_not_a_container() {
    assert!(refusal_of_pid(1).contains("is not container web"));
}

#[test]
fn a_process_that_ended_is_reported() {
    let stranger = OtherProcess::new();
    let pid = stranger.0.id();
    drop(stranger);
    // It may run on the host of a remote engine, but no static program is built.
    assert!(refusal_of_pid(pid).contains("container web stopped during the look-up"));
}

#[test]
fn an_invalid_pid_is_reported_as_not_running() {
    for pid in [0, -1, i64::from(i32::MIN), i64::from(i32::MAX) + 1, i64::MAX] {
        assert!(refusal_of_pid(pid).contains("is not running"), "pid {pid}");
    }
    for pid in [serde_json::json!("1"), serde_json::json!(null), serde_json::json!(1.5)] {
        assert!(refusal_of_pid(pid).contains("is not running"));
    }
}
