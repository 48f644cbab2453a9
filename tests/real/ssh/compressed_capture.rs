//! `containerdump capture --host --compress`: the same packets with less traffic.

use std::fs;

use crate::real::ssh::remote_capture::begin;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, output};
use crate::support::recording::packets_so_far;
use crate::support::ssh_host::SshHost;
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    ssh_compression_reduces_text_to_a_third,
    ssh_compression_does_not_delay_packets_of_a_quiet_container,
];

/// 4 MB of text of a web service.
fn text() -> String {
    let line = |number: u32| {
        let number = number.wrapping_mul(2_654_435_761);
        format!(
            "{{\"order\":\"{number:08x}\",\"customer\":{},\"status\":\"shipped\",\"total\":{}.{:02}}}\n",
            number >> 7 & 0xffff,
            number % 1000,
            number % 100,
        )
    };
    (0..60_000).map(line).collect()
}

fn ssh_compression_reduces_text_to_a_third(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    fs::create_dir(there.path("served")).expect("a folder");
    fs::write(there.path("served/text"), text()).expect("a file");
    let place = there.path("served").display().to_string();
    let httpd = ["busybox", "httpd", "-f", "-p", "9000", "-h", &place];
    let mut server = there.host.enter(&web, &httpd).spawn().expect("a server");
    eventually("somebody listens", || {
        output(&mut there.host.enter(&web, &["ss", "-Hltn", "sport = :9000"])).contains("9000")
    });
    let page = format!("http://{address}:9000/text");
    for compress in ["off", "auto", "on"] {
        let filter = format!("tcp port 9000 and host {address}");
        let witness = Tcpdump::with(there.tcpdump(&web), "eth0", &filter);
        let recording = begin(&there, &[&web], &["--host", "build1", "-f", &filter, "--compress", compress]);
        let before = there.came();
        output(&mut there.host.enter(&other, &["curl", "-s", "-o", "/dev/null", &page]));
        let recorded = recording.stop_matching(witness);
        let (came, size) = (there.came() - before, recorded.path.metadata().expect("a file").len());
        assert!(size > 4_000_000, "{size} bytes");
        assert!(
            if compress == "off" { came > size } else { came < size / 3 },
            "{compress}: {came} of {size} bytes"
        );
    }
    let _ = (server.kill(), server.wait());
    there.assert_cleaned_up();
}

fn ssh_compression_does_not_delay_packets_of_a_quiet_container(lab: &Lab) {
    let there = SshHost::start(lab);
    let (web, other) = (there.host.lab.container(&[]), there.host.lab.container(&[]));
    let address = there.host.address(&web, "bridge");
    let recording = begin(&there, &[&web], &["--host", "build1", "--compress", "on", "-f", "tcp port 80"]);
    for number in 1..=3 {
        there.host.fetch(&other, &address);
        eventually("it is in the file", || packets_so_far(&recording.path, "http.request") == number);
    }
    recording.stop();
    there.assert_cleaned_up();
}
