//! The real thing: a real engine, a real kernel, a real Wireshark. Every expectation has a witness
//! of its own: `ip`, tcpdump, tshark, capinfos.
//!
//! `make test` provides the engine (`CONTAINERDUMP_LAB`). Without it, or without root, each of
//! these tests counts as ignored; with `CI=true` they run, and fail. The same holds for the static
//! program (`CONTAINERDUMP_STATIC`).

mod support;

mod real {
    pub(crate) mod capture;
    pub(crate) mod engine;
    pub(crate) mod follow;
    pub(crate) mod group;
    pub(crate) mod network;
    pub(crate) mod peer;
    pub(crate) mod regressions;
    pub(crate) mod retry;
    pub(crate) mod ssh;
    pub(crate) mod tap;
    pub(crate) mod wireshark;
}

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use real::{capture, engine, follow, group, network, peer, regressions, retry, ssh, tap, wireshark};
use support::lab::Lab;
use support::{faulty_peer, local_session, peer_session, watcher};

/// A test: its name, and what it does.
type Test = (&'static str, fn(&Lab));

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Some tests need a program of their own at one end of a stream, or at the other.
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [peer_session::SESSION, path, commands @ ..] => {
            return peer_session::session(path, commands);
        }
        [watcher::WATCH] => return watcher::print(),
        [local_session::SESSION, program, path, limits @ ..] => {
            return local_session::session(program, path, limits);
        }
        [faulty_peer::FAR_END, kind] => return faulty_peer::write(kind),
        _ => {}
    }
    let arguments = Arguments::from_args();
    let lab = Lab::find();
    tap::container_end::serve_as_child();
    if let Err(why) = &lab {
        eprintln!("skipped: the tests in tests/real: {why}");
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let mut tests: Vec<Test> = [
        engine::TESTS,
        capture::TESTS,
        network::TESTS,
        tap::TESTS,
        ssh::TESTS,
        group::TESTS,
        follow::TESTS,
        peer::TESTS,
        wireshark::TESTS,
    ]
    .concat()
    .concat();
    tests.extend(regressions::tests());
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| {
            let lab = lab.clone();
            let ignored = lab.is_err() && !in_ci;
            let run = move || {
                let lab = lab.map_err(Failed::from)?;
                retry::run(name, || test(&lab));
                Ok(())
            };
            Trial::test(name, run).with_ignored_flag(ignored)
        })
        .collect();
    trials.extend(capture::static_program::trials(&lab, in_ci));
    trials.extend(tap::container_rights::trials(&lab, in_ci));
    trials.extend(wireshark::window::trials(&lab, in_ci));
    trials.extend(regressions::readme_install::trials(&lab, in_ci));
    trials.extend(engine::hostile_events::TESTS.iter().map(|&(name, test)| {
        Trial::test(name, move || {
            retry::run(name, test);
            Ok(())
        })
    }));
    trials.extend(wireshark::hostile_lists::trials(in_ci));
    let conclusion = libtest_mimic::run(&arguments, trials);
    retry::tell();
    conclusion.exit_code()
}
