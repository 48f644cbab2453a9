//! The watch with a fake engine that floods, sends invalid data, hangs or falls silent.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::json;

use crate::support::fake_engine::{Answer, FakeEngine, container, id};
use crate::support::harness::{tests, trial};
use crate::support::processes::peak_memory;
use crate::support::watcher::Watcher;

const TESTS: &[(&str, fn())] = tests![
    watch_skips_invalid_events,
    watch_waits_for_the_rest_of_an_event,
    watch_batches_requests_during_a_flood_of_events,
    watch_discards_an_endless_event,
    watch_polls_an_engine_that_refuses_events,
    watch_reconnects_when_the_event_stream_ends,
    watch_reports_a_silent_engine_as_lost_until_it_answers,
    watch_is_not_delayed_by_a_container_whose_inspect_hangs,
];

/// The tests need no engine of this machine.
pub(crate) fn trials() -> Vec<Trial> {
    TESTS.iter().map(|&(name, test)| trial(name, Ok(()), move |()| test())).collect()
}

const EVENTS: &str = "GET /events";

fn start(name: &str) -> Vec<u8> {
    let event = json!({ "Type": "container", "Action": "start", "Actor": { "ID": id(name) } });
    format!("{event}\n").into_bytes()
}

/// An engine with one container and the given event stream.
fn engine(events: Answer) -> FakeEngine {
    FakeEngine::running([container("one")]).with_pid(1).also(EVENTS, events)
}

fn watch(engine: &FakeEngine) -> Watcher {
    Watcher::start(&engine.address(), "unix:///nonexistent.sock", "docker")
}

/// Asserts that later changes are reported and earlier ones were reported once.
fn goes_on(engine: &FakeEngine) {
    let watcher = watch(engine);
    watcher.wait(0, "came", " one");
    engine.set_list(Answer::containers([container("one"), container("other")]));
    watcher.wait(0, "came", " other");
    engine.set_list(Answer::containers([container("other")]));
    watcher.wait(0, "went", &id("one"));
    assert_eq!(watcher.told().len(), 3, "{:?}", watcher.told());
}

fn watch_skips_invalid_events() {
    let nonsense: [&[u8]; 6] = [
        b"\n\n{}\n[]\n7\n\"x\"\n",
        b"\xff\xfe\n",
        b"[[[[[[\n",
        b"{\"Action\":{}}\n",
        &start("one"),
        &start("none"),
    ];
    let deep = [b"[".repeat(30_000), b"\n".to_vec()].concat();
    goes_on(&engine(Answer::Begun([nonsense.concat(), deep].concat())));
}

fn watch_waits_for_the_rest_of_an_event() {
    goes_on(&engine(Answer::Begun(b"{\"Type\":\"container\",\"Act".to_vec())));
}

fn watch_batches_requests_during_a_flood_of_events() {
    let engine = engine(Answer::Flood(start("one").repeat(1000)));
    let (watcher, begun) = (watch(&engine), Instant::now());
    watcher.wait(0, "came", " one");
    while engine.sent() < 20 * 1024 * 1024 {
        std::thread::sleep(Duration::from_millis(10));
    }
    // At most one list request in 20 ms, with one inspect request, for over 150,000 events.
    let most = 10 + 2 * begun.elapsed().as_millis() / 20;
    let asked = engine.asked().len() as u128;
    assert!(asked <= most, "{asked} questions, at most {most}");
    engine.set_list(Answer::containers([]));
    watcher.wait(0, "went", &id("one"));
}

fn watch_discards_an_endless_event() {
    let engine = engine(Answer::Flood(vec![b'x'; 1024 * 1024]));
    let watcher = watch(&engine);
    watcher.wait(0, "came", " one");
    while engine.sent() < 200 * 1024 * 1024 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let kilobytes = peak_memory(watcher.child.id());
    assert!(kilobytes < 64 * 1024, "{kilobytes} kB");
    engine.set_list(Answer::containers([]));
    watcher.wait(0, "went", &id("one"));
}

fn watch_polls_an_engine_that_refuses_events() {
    goes_on(&engine(Answer::Status(403, "no events for you".to_owned())));
}

fn watch_reconnects_when_the_event_stream_ends() {
    let engine = engine(Answer::Farewell);
    goes_on(&engine);
    let asked = engine.asked().iter().filter(|line| line.starts_with(EVENTS)).count();
    assert!(asked > 1, "{:?}", engine.asked());
}

fn watch_reports_a_silent_engine_as_lost_until_it_answers() {
    let engine = engine(Answer::Begun(Vec::new()));
    let watcher = watch(&engine);
    watcher.wait(0, "came", " one");
    engine.set_list(Answer::Silence);
    watcher.wait(0, "lost", "no response within 5.0 s");
    engine.set_list(Answer::containers([container("other")]));
    let (_, at) = watcher.wait(0, "back", "");
    watcher.wait(at, "went", &id("one"));
    watcher.wait(at, "came", " other");
}

fn watch_is_not_delayed_by_a_container_whose_inspect_hangs() {
    let hangs = format!("GET /containers/{}/json", id("stuck"));
    let engine = FakeEngine::running([container("stuck"), container("one")]).with_pid(1);
    let engine = engine.also(EVENTS, Answer::Begun(Vec::new())).also(&hangs, Answer::Silence);
    goes_on(&engine);
}
