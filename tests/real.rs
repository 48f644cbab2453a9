//! Tests with real engines, a real kernel and Wireshark. Results are compared with `ip`, tcpdump, tshark and capinfos.
//!
//! `make test` provides the engine (`CONTAINERDUMP_LAB`) and the static program (`CONTAINERDUMP_STATIC`). Without them,
//! or without root, these tests are skipped; with `CI=true` they fail.

mod support;

mod real {
    pub(crate) mod capture;
    pub(crate) mod delivery;
    pub(crate) mod engine;
    pub(crate) mod follow;
    pub(crate) mod group;
    pub(crate) mod network;
    pub(crate) mod peer;
    pub(crate) mod regressions;
    pub(crate) mod ssh;
    pub(crate) mod tap;
    pub(crate) mod wireshark;
}

use std::process::ExitCode;

use libtest_mimic::Arguments;

use real::{capture, delivery, engine, follow, group, network, peer, regressions, ssh, tap, wireshark};
use support::harness::{explain, trial};
use support::lab::Lab;
use support::{faulty_peer, frames, local_session, peer_session, retry, watcher};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // Some tests run this program as a session or as the peer of one.
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [peer_session::PEER_SESSION, path, commands @ ..] => {
            return peer_session::session(path, commands);
        }
        [watcher::WATCH] => return watcher::print(),
        [local_session::LOCAL_SESSION, program, path, limits @ ..] => {
            return local_session::session(program, path, limits);
        }
        [frames::SEND_FRAMES, arguments @ ..] => return frames::send(arguments),
        [delivery::programs::SPLICE] => return delivery::programs::splice_on(),
        [faulty_peer::FAR_END, kind] => return faulty_peer::write(kind),
        _ => {}
    }
    let arguments = Arguments::from_args();
    let lab = Lab::find();
    tap::container_end::serve_as_child();
    explain("tests with an engine", &lab);
    let tests = [
        engine::TESTS,
        capture::TESTS,
        delivery::TESTS,
        network::TESTS,
        tap::TESTS,
        ssh::TESTS,
        group::TESTS,
        follow::TESTS,
        peer::TESTS,
        wireshark::TESTS,
        regressions::TESTS,
    ];
    let tests = tests.concat().concat().into_iter();
    let mut trials: Vec<_> = tests.map(|(name, test)| trial(name, lab.clone(), test)).collect();
    trials.extend(capture::static_program::trials(&lab));
    trials.extend(tap::container_rights::trials(&lab));
    trials.extend(wireshark::window::trials(&lab));
    trials.extend(regressions::readme_install::trials(&lab));
    trials.extend(engine::hostile_events::trials());
    trials.extend(wireshark::hostile_lists::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    retry::print_repeated();
    conclusion.exit_code()
}
