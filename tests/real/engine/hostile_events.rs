//! What is told of an engine that floods, lies, hangs and falls silent while it is watched.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::fake_engine::{Answer, FakeEngine, container, id};
use crate::support::watcher::Watcher;

/// They need no engine: one is played.
pub(crate) const TESTS: &[(&str, fn())] = &[
    ("events_that_make_no_sense_are_passed_over", nonsense),
    ("half_a_line_is_waited_for", half_a_line),
    ("a_flood_of_events_is_few_questions", flood),
    ("a_line_without_end_is_not_kept", line_without_end),
    ("an_engine_that_refuses_its_events_is_asked_now_and_then", refused),
    ("an_engine_that_ends_its_events_is_asked_for_them_again", ended),
    ("an_engine_that_falls_silent_is_lost_and_comes_back", silent),
    ("a_container_that_the_engine_hangs_on_does_not_hold_up_others", hangs_on_one),
];

const EVENTS: &str = "GET /events";

fn start(name: &str) -> Vec<u8> {
    let event = json!({ "Type": "container", "Action": "start", "Actor": { "ID": id(name) } });
    format!("{event}\n").into_bytes()
}

/// An engine with one container and these events.
fn engine(events: Answer) -> FakeEngine {
    FakeEngine::running([container("one")]).with_pid(1).also(EVENTS, events)
}

fn watch(engine: &FakeEngine) -> Watcher {
    Watcher::start(&engine.address(), "unix:///nonexistent.sock", "docker")
}

/// That what comes after is seen, too, and what came before was told once.
fn goes_on(engine: &FakeEngine) {
    let watcher = watch(engine);
    watcher.wait(0, "came", " one");
    engine.now_answers(Answer::containers([container("one"), container("other")]));
    watcher.wait(0, "came", " other");
    engine.now_answers(Answer::containers([container("other")]));
    watcher.wait(0, "went", &id("one"));
    assert_eq!(watcher.told().len(), 3, "{:?}", watcher.told());
}

fn nonsense() {
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

fn half_a_line() {
    goes_on(&engine(Answer::Begun(b"{\"Type\":\"container\",\"Act".to_vec())));
}

fn flood() {
    let engine = engine(Answer::Flood(start("one").repeat(1000)));
    let (watcher, begun) = (watch(&engine), Instant::now());
    watcher.wait(0, "came", " one");
    while engine.sent() < 20 * 1024 * 1024 {
        std::thread::sleep(Duration::from_millis(10));
    }
    // 150,000 events and more: at most one look in 20 ms, with one question about the container.
    let most = 10 + 2 * begun.elapsed().as_millis() / 20;
    let asked = engine.asked().len() as u128;
    assert!(asked <= most, "{asked} questions, at most {most}");
    engine.now_answers(Answer::containers([]));
    watcher.wait(0, "went", &id("one"));
}

fn line_without_end() {
    let engine = engine(Answer::Flood(vec![b'x'; 1024 * 1024]));
    let watcher = watch(&engine);
    watcher.wait(0, "came", " one");
    while engine.sent() < 200 * 1024 * 1024 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", watcher.child.id())).expect("its status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("kB");
    assert!(kilobytes < 64 * 1024, "{kilobytes} kB");
    engine.now_answers(Answer::containers([]));
    watcher.wait(0, "went", &id("one"));
}

fn refused() {
    goes_on(&engine(Answer::Status(403, "no events for you".to_owned())));
}

fn ended() {
    let engine = engine(Answer::Farewell);
    goes_on(&engine);
    let asked = engine.asked().iter().filter(|line| line.starts_with(EVENTS)).count();
    assert!(asked > 1, "{:?}", engine.asked());
}

fn silent() {
    let engine = engine(Answer::Begun(Vec::new()));
    let watcher = watch(&engine);
    watcher.wait(0, "came", " one");
    engine.now_answers(Answer::Silence);
    watcher.wait(0, "lost", "no response within 5.0 s");
    engine.now_answers(Answer::containers([container("other")]));
    let (_, at) = watcher.wait(0, "back", "");
    watcher.wait(at, "went", &id("one"));
    watcher.wait(at, "came", " other");
}

fn hangs_on_one() {
    let hangs = format!("GET /containers/{}/json", id("stuck"));
    let engine = FakeEngine::running([container("stuck"), container("one")]).with_pid(1);
    let engine = engine.also(EVENTS, Answer::Begun(Vec::new())).also(&hangs, Answer::Silence);
    goes_on(&engine);
}
