//! Packets that were lent to the FIFO as one piece, in each version of Wireshark.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::window::WindowTest;
use crate::support::desktop::WiresharkVersion;
use crate::support::fifo_capture::{FifoCapture, Pace};
use crate::support::frames::{ALL_SERIES, Series};
use crate::support::harness::tests;
use crate::support::lab::{Lab, folder, signal};
use crate::support::namespaces::Namespace;
use crate::support::packet_bytes::{digests, digests_by, joined_packets};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[WindowTest] = tests![tshark_reads_packets_that_were_lent_as_one_piece];

fn tshark_reads_packets_that_were_lent_as_one_piece(lab: &Lab, version: WiresharkVersion) {
    let namespace = Namespace::with_veth();
    let veth = namespace.veth.as_deref().expect("its veth");
    let witness = Tcpdump::at_full_rate(veth, ALL_SERIES, "262144");
    let options = ["--extcap-capture-filter", ALL_SERIES];
    let mut capture = FifoCapture::begin(lab, &namespace.interface(), &options);
    let reading = capture.read(Pace::Fast);
    Series::tagged(1).start(|command| namespace.enter(command), "inner0", 3000, 20_000).wait();
    let folder = folder();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its mode");
    let [out, expected] = ["out.pcapng", "expected.pcap"].map(|name| folder.path().join(name));
    fs::write(&expected, witness.stop_complete()).expect("a file");
    signal(&capture.child, "TERM");
    let stream = reading.join().expect("a stream");
    assert!(capture.end().status.success());
    assert!(joined_packets(&stream) > 0, "no packets were lent as one piece");
    fs::write(&out, stream).expect("a file");
    assert!(digests_by(version.tshark(), &out) == digests(&expected));
}
