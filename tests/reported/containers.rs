//! Which containers are found and captured.

use std::process::Command;

use crate::Test;
use crate::lab::{Container, Lab, eventually, output};
use crate::recording::packets_so_far;
use crate::wireshark_end::{Captured, Pipes, Toolbar};

pub(crate) const TESTS: &[Test] =
    &[("two_capture_filters_together_accept_what_each_accepts", two_filters_together)];

/// Sends `count` echo requests to a container.
fn ping(container: &Container, count: usize) {
    let count = count.to_string();
    output(Command::new("busybox").args(["ping", "-c", &count, "-W", "5", &container.address()]));
}

fn two_filters_together(lab: &Lab) {
    // the-tcpdump-group/libpcap#390: vlan changes the meaning of all that follows, also in a filter from elsewhere.
    let container = lab.container(&[]);
    for (of_dialog, own) in [("not vlan", "icmp"), ("icmp", "not vlan")] {
        let interface = container.interface();
        let options =
            ["--extcap-interface", &interface, "--extcap-capture-filter", of_dialog, "--filter", own];
        let capture = Captured::begin(lab.program(), &options, Pipes::make());
        let _toolbar = Toolbar::open(&capture.pipes);
        capture.captures();
        ping(&container, 2);
        container.fetch(1);
        eventually("the packets are there", || packets_so_far(&capture.path, "icmp") == 4);
        let (path, _folder) = capture.stop();
        assert_eq!(packets_so_far(&path, "not icmp"), 0, "{of_dialog}, {own}");
    }
}
