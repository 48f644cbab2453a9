//! The FIFO given by Wireshark: what is refused, what is written, and when the program ends.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::signal::Signal;

use crate::support::fake_engine::{Answer, FakeEngine, container};
use crate::support::fifo;
use crate::support::fifo::Fifo;
use crate::support::program::{self, start_capture, until};

/// An engine that does not respond to inspect requests, so that the lookup hangs.
fn engine_with_hanging_inspect() -> FakeEngine {
    FakeEngine::running([container("web")]).inspecting(Answer::Silence)
}

/// Waits for the inspect request, which gets no response.
fn wait_for_inspect(engine: &FakeEngine) {
    until("the engine is asked about the container", || engine.asked().len() == 2);
}

#[test]
fn a_symbolic_link_to_a_fifo_is_refused() {
    let (engine, pipe) = (FakeEngine::running([container("web")]), Fifo::new());
    let (link, mut reader) = (pipe.folder().join("link"), pipe.reader());
    symlink(pipe.path(), &link).expect("a link");
    let complaint = start_capture(&engine.address(), "docker-web", &link).ended().complaint();
    assert!(complaint.contains("link"), "{complaint}");
    assert!(reader.is_still_empty());
}

#[test]
fn a_regular_file_in_place_of_the_fifo_is_left_unchanged() {
    let (engine, folder) = (FakeEngine::running([container("web")]), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("letter.txt");
    fs::write(&file, "dear reader").expect("a file");
    let state =
        || (fs::read(&file).expect("a file"), fs::metadata(&file).and_then(|about| about.modified()).ok());
    let before = state();
    let complaint = start_capture(&engine.address(), "docker-web", &file).ended().complaint();
    assert!(complaint.contains("it is not a FIFO"), "{complaint}");
    assert_eq!(state(), before);
}

#[test]
fn a_missing_fifo_is_not_created() {
    let (engine, folder) = (FakeEngine::running([container("web")]), tempfile::tempdir().expect("a folder"));
    for name in ["none", "\u{1b}[31m\n}{value=x}"] {
        let path = folder.path().join(name);
        let complaint = start_capture(&engine.address(), "docker-web", &path).ended().complaint();
        assert!(complaint.starts_with("cannot open ") && !path.exists(), "{complaint}");
    }
}

#[test]
fn a_capture_without_a_fifo_suggests_the_capture_command() {
    let complaint =
        program::ask("unix:///none", ["--capture", "--extcap-interface", "docker-web"]).complaint();
    assert!(complaint.contains("containerdump capture"), "{complaint}");
}

#[test]
fn a_capture_waits_for_a_fifo_reader_until_a_signal() {
    let engine = FakeEngine::running([container("web")]);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let pipe = Fifo::new();
        let capture = start_capture(&engine.address(), "docker-web", pipe.path());
        capture.wait_until_signals_are_blocked();
        capture.send(signal);
        capture.ended().succeeds_silently();
    }
    assert_eq!(engine.asked(), [""; 0], "nothing is looked up before there is a reader");
}

#[test]
fn a_reader_that_closed_before_is_not_counted() {
    let (engine, pipe) = (FakeEngine::running([container("web")]), Fifo::new());
    drop(pipe.reader());
    let capture = start_capture(&engine.address(), "docker-web", pipe.path());
    capture.wait_until_signals_are_blocked();
    capture.send(Signal::SIGTERM);
    capture.ended().succeeds_silently();
}

#[test]
fn the_section_header_is_written_before_the_engine_responds() {
    let (engine, pipe) = (FakeEngine::answering(Answer::Silence), Fifo::new());
    let mut reader = pipe.reader();
    let capture = start_capture(&engine.address(), "docker-web", pipe.path());
    reader.wait_for_header();
    capture.send(Signal::SIGTERM);
    capture.ended().succeeds_silently();
}

#[test]
fn a_hanging_lookup_ends_on_a_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (engine, pipe) = (engine_with_hanging_inspect(), Fifo::new());
        let mut reader = pipe.reader();
        let capture = start_capture(&engine.address(), "docker-web", pipe.path());
        reader.wait_for_header();
        wait_for_inspect(&engine);
        capture.send(signal);
        capture.ended().succeeds_silently();
    }
}

#[test]
fn a_hanging_lookup_ends_when_the_reader_closes() {
    let (engine, pipe) = (engine_with_hanging_inspect(), Fifo::new());
    let mut reader = pipe.reader();
    let capture = start_capture(&engine.address(), "docker-web", pipe.path());
    reader.wait_for_header();
    wait_for_inspect(&engine);
    drop(reader);
    capture.ended().succeeds_silently();
}

#[test]
fn a_hanging_lookup_times_out_with_a_reason() {
    let (engine, pipe) = (engine_with_hanging_inspect(), Fifo::new());
    let stream = pipe.read();
    let complaint = start_capture(&engine.address(), "docker-web", pipe.path()).ended().complaint();
    assert!(complaint.contains("no response within 5.0 s"), "{complaint}");
    assert!(fifo::is_section_header(&stream.join().expect("the FIFO was read")));
}
