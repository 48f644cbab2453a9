//! The real thing: a real engine, a real kernel, a real Wireshark. Every expectation has a witness
//! of its own: `ip`, tcpdump, tshark, capinfos.
//!
//! `make test` provides the engine (`CONTAINERDUMP_LAB`). Without it, or without root, each of
//! these tests counts as ignored; with `CI=true` they run, and fail. The same holds for the static
//! program (`CONTAINERDUMP_STATIC`).

mod alone;
mod another_host;
mod capturing;
mod crossing;
mod crossing_changes;
mod elsewhere;
mod engine_restarts;
mod far_end;
mod first_packets;
mod following;
mod host_network;
mod inside;
mod joining;
mod kernel;
mod lab;
mod latecomers;
mod limits;
mod listing;
mod live;
mod many;
mod names;
mod namespace;
mod namespaces;
mod newcomers;
mod own_traffic;
mod podman;
mod privileges;
mod profile;
mod reached;
mod recording;
#[path = "../reported/mod.rs"]
mod reported;
mod rootless;
mod scale;
mod shared;
mod ssh;
mod ssh_asking;
mod ssh_capture;
mod ssh_fallback;
mod ssh_list;
mod ssh_listed;
mod ssh_packed;
mod ssh_rights;
mod ssh_saved;
mod ssh_sent;
mod ssh_wireshark;
mod stalling;
mod static_program;
mod stopping;
mod tap_container;
mod tap_ends;
mod tap_packets;
mod taps;
mod toolbar;
mod toolbar_hosts;
mod users;
#[path = "../watcher/mod.rs"]
mod watcher;
mod watching;
mod window;
mod window_toolbar;
mod wireshark;
mod wireshark_end;
mod without_engine;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use lab::Lab;

/// A test: its name, and what it does.
type Test = (&'static str, fn(&Lab));

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Some tests need a program of their own at one end of a stream, or at the other.
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [elsewhere::SESSION, path, commands @ ..] => return elsewhere::session(path, commands),
        [watcher::WATCH] => return watcher::print(),
        [live::SESSION, program, path, limits @ ..] => return live::session(program, path, limits),
        [far_end::FAR_END, kind] => return far_end::write(kind),
        _ => {}
    }
    let arguments = Arguments::from_args();
    let lab = Lab::find();
    tap_ends::serve_as_child();
    if let Err(why) = &lab {
        eprintln!("skipped: the tests in tests/real: {why}");
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let mut tests: Vec<Test> = [
        listing::TESTS,
        namespaces::TESTS,
        without_engine::TESTS,
        podman::TESTS,
        rootless::TESTS,
        capturing::TESTS,
        inside::TESTS,
        taps::TESTS,
        another_host::TESTS,
        reached::TESTS,
        ssh_asking::TESTS,
        ssh_list::TESTS,
        ssh_capture::TESTS,
        ssh_packed::TESTS,
        ssh_rights::TESTS,
        ssh_saved::TESTS,
        ssh_listed::TESTS,
        ssh_sent::TESTS,
        ssh_wireshark::TESTS,
        ssh_fallback::TESTS,
        users::TESTS,
        host_network::TESTS,
        scale::TESTS,
        own_traffic::TESTS,
        shared::TESTS,
        stopping::TESTS,
        limits::TESTS,
        stalling::TESTS,
        following::TESTS,
        first_packets::TESTS,
        latecomers::TESTS,
        engine_restarts::TESTS,
        many::TESTS,
        crossing::TESTS,
        crossing_changes::TESTS,
        privileges::TESTS,
        names::TESTS,
        namespace::TESTS,
        elsewhere::TESTS,
        joining::TESTS,
        far_end::TESTS,
        newcomers::TESTS,
        watching::TESTS,
        wireshark::TESTS,
        toolbar::TESTS,
        toolbar_hosts::TESTS,
        profile::TESTS,
        window_toolbar::TESTS,
    ]
    .concat();
    tests.extend(reported::tests());
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| {
            let lab = lab.clone();
            let ignored = lab.is_err() && !in_ci;
            let run = move || {
                let lab = lab.map_err(Failed::from)?;
                alone::run(name, || test(&lab));
                Ok(())
            };
            Trial::test(name, run).with_ignored_flag(ignored)
        })
        .collect();
    trials.extend(static_program::trials(&lab, in_ci));
    trials.extend(tap_container::trials(&lab, in_ci));
    trials.extend(window::trials(&lab, in_ci));
    trials.extend(reported::install::trials(&lab, in_ci));
    let conclusion = libtest_mimic::run(&arguments, trials);
    alone::tell();
    conclusion.exit_code()
}
