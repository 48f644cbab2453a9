//! Packets of another process, whose memory is lent to the FIFO and used again once it has been read.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use crate::support::fifo_capture::{Pace, read_interfaces, statistics_in};
use crate::support::frames::{ALL_SERIES, Series, assert_frames};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, fifo, folder, signal, start};
use crate::support::namespaces::Namespace;
use crate::support::packet_bytes::{assert_same_packets, packets_in, packets_in_pcap};
use crate::support::peer_session::PEER_SESSION;
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![packets_of_a_peer_reach_the_fifo_as_tcpdump_sees_them];

const SERIES: Series = Series::tagged(1);
const MANY: u64 = 40_000;
/// Longer than packets take through the peer.
const SETTLE_TIME: Duration = Duration::from_secs(1);

fn packets_of_a_peer_reach_the_fifo_as_tcpdump_sees_them(_: &Lab) {
    for pace in [Pace::Fast, Pace::Random(7)] {
        let namespace = Namespace::with_veth();
        let veth = namespace.veth.as_deref().expect("its veth");
        let witness = Tcpdump::at_full_rate(veth, ALL_SERIES, "262144");
        let folder = folder();
        let path = fifo(&folder);
        let mut session = Command::new(std::env::current_exe().expect("this program"));
        session.arg(PEER_SESSION).arg(&path).args(["ip", "netns", "exec", &namespace.name]);
        session.args([env!("CARGO_BIN_EXE_containerdump"), "tap", "--filter", ALL_SERIES]);
        let session = start(&mut session);
        let mut reader = File::open(&path).expect("the FIFO");
        let mut stream = read_interfaces(&mut reader, 1);
        let reading = std::thread::spawn(move || {
            pace.read_to_end(&mut reader, &mut stream);
            stream
        });
        let sent = SERIES.start(|command| namespace.enter(command), "inner0", MANY, 0).wait();
        std::thread::sleep(SETTLE_TIME);
        signal(&session, "TERM");
        let stream = reading.join().expect("a reader");
        let ended = end_of(session);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let (packets, expected) = (packets_in(&stream), witness.stop_complete());
        let groups = assert_frames(&packets, &[SERIES], usize::MAX);
        let one = statistics_in(&stream)[0];
        assert_eq!((groups.into_values().sum::<u64>() + one.lost, one.packets + one.lost), (sent, sent));
        if one.lost == 0 {
            assert_same_packets(&packets, &packets_in_pcap(&expected));
        }
    }
}
