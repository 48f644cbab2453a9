//! Wireshark's window on a virtual screen.

use std::process::Command;

use libtest_mimic::Trial;

use super::joined_packets;
use crate::real::regressions;
use crate::support::desktop::{Desktop, WiresharkVersion};
use crate::support::harness::{explain, tests, trial};
use crate::support::lab::{Lab, eventually, output};
use crate::support::recording::{capinfos, fields_of, statistics_of};

/// A test that runs in each version of Wireshark.
pub(crate) type WindowTest = (&'static str, fn(&Lab, WiresharkVersion));

const TESTS: &[WindowTest] =
    tests![the_window_shows_packets_with_names, closing_the_window_during_a_capture_leaves_no_process,];

/// Each test of the window in each version of Wireshark.
pub(crate) fn trials(lab: &Result<Lab, String>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for version in WiresharkVersion::ALL {
        let found = version.check();
        explain("tests of the newest Wireshark", &found);
        let need = found.and(lab.clone());
        let suffix = if version == WiresharkVersion::Installed { "" } else { "_in_the_newest_wireshark" };
        for (name, test) in [&[TESTS, joined_packets::TESTS], regressions::WINDOW_TESTS].concat().concat() {
            trials.push(trial(&format!("{name}{suffix}"), need.clone(), move |lab| test(lab, version)));
        }
    }
    trials
}

fn the_window_shows_packets_with_names(lab: &Lab, version: WiresharkVersion) {
    let container = lab.container(&[]);
    let desk = Desktop::with(lab, version);
    let window = desk.open(&container, &["-a", "packets:300"]);
    eventually("the capture ends", || {
        container.fetch(1);
        !desk.user.captures()
    });
    assert_eq!(capinfos(&desk.file(), "Number of packets"), "300");
    let sent = fields_of(&desk.file(), "ip", &["ip.src"]);
    eventually("the window shows all of them", || desk.lines("shown").len() == sent.len());
    let own = sent.iter().filter(|fields| fields[0] == container.address()).count();
    assert_eq!(desk.lines("shown").iter().filter(|name| **name == container.name).count(), own);
    let said = desk.close(window);
    let complaint =
        String::from_utf8_lossy(&said.stderr).lines().find(|line| line.contains("xtcap")).map(str::to_owned);
    assert_eq!((String::from_utf8_lossy(&said.stdout).as_ref(), complaint), ("", None));

    let asked = desk.lines("asked");
    let about = |question: &str| {
        asked
            .iter()
            .filter(|line| line.starts_with(question) && line.contains(&container.interface()))
            .count()
    };
    assert!(asked[0].starts_with("--extcap-interfaces --extcap-version="), "{}", asked[0]);
    assert!(about("--extcap-config --extcap-interface") > 0 && about("--extcap-dlts") > 0, "{asked:?}");
    assert_eq!(about("--capture --extcap-interface"), 1, "{asked:?}");
}

fn closing_the_window_during_a_capture_leaves_no_process(lab: &Lab, version: WiresharkVersion) {
    let container = lab.container(&[]);
    let desk = Desktop::with(lab, version);
    let window = desk.open(&container, &[]);
    container.fetch(3);
    eventually("the window shows them", || desk.lines("shown").len() >= 30);
    assert!(desk.user.captures());
    assert!(desk.close(window).status.success());
    let home = desk.user.home.path().to_str().expect("a path");
    eventually("nothing of it runs", || {
        !output(Command::new("ps").args(["-e", "-o", "args="])).contains(home)
    });
    let statistics = statistics_of(&desk.file());
    assert_eq!(statistics[&0].written, statistics[&0].packets);
    assert_eq!(capinfos(&desk.file(), "Number of packets"), statistics[&0].packets.to_string());
}
