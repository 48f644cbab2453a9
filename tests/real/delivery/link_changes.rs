//! Links that change during a busy capture.

use std::time::Duration;

use crate::support::fifo_capture::{FifoCapture, Pace, statistics_in};
use crate::support::frames::{ALL_SERIES, Sender, Series, assert_frames};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, signal};
use crate::support::namespaces::{Namespace, ip};
use crate::support::packet_bytes::{Packet, assert_in_order_of_time, packets_in};
use crate::support::recording::Statistics;

pub(crate) const TESTS: &[Test] = tests![
    a_renamed_link_is_captured_on_without_loss,
    a_link_that_was_down_is_captured_on,
    a_removed_link_leaves_a_complete_stream,
];

const SERIES: Series = Series::tagged(1);
const COUNT: u64 = 60_000;
const RATE: u64 = 15_000;
/// Between two changes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Captures while frames are sent and `change` runs. Asserts that all packets are right and those that are missing are
/// counted. Returns the numbers of the captured frames, the statistics, and the number of accepted frames.
fn capture_during(
    lab: &Lab,
    namespace: &Namespace,
    change: impl FnOnce(Sender) -> u64,
) -> (Vec<u64>, Statistics, u64) {
    let options = ["--extcap-capture-filter", ALL_SERIES];
    let mut capture = FifoCapture::begin(lab, &namespace.interface(), &options);
    let reading = capture.read(Pace::Fast);
    let sender = SERIES.start(|command| namespace.enter(command), "inner0", COUNT, RATE);
    std::thread::sleep(INTERVAL);
    let sent = change(sender);
    std::thread::sleep(INTERVAL);
    signal(&capture.child, "TERM");
    let stream = reading.join().expect("a reader");
    assert!(capture.end().status.success());
    let packets = packets_in(&stream);
    assert_frames(&packets, &[SERIES], usize::MAX);
    assert_in_order_of_time(&packets);
    let one = statistics_in(&stream)[0];
    assert_eq!((one.packets, one.packets + one.lost), (one.written, one.received), "{one:?}");
    (packets.iter().map(number).collect(), one, sent)
}

fn number(packet: &Packet<'_>) -> u64 {
    Series::number_in(packet.bytes).expect("a number").1
}

fn veth(namespace: &Namespace) -> &str {
    namespace.veth.as_deref().expect("its veth")
}

fn a_renamed_link_is_captured_on_without_loss(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let renamed = format!("r{}", veth(&namespace));
    let (numbers, statistics, sent) = capture_during(lab, &namespace, |sender| {
        ip(&["link", "set", veth(&namespace), "name", &renamed]);
        std::thread::sleep(INTERVAL);
        ip(&["-n", &namespace.name, "link", "set", "inner0", "name", "inner1"]);
        sender.wait()
    });
    assert_eq!((sent, statistics.received), (COUNT, COUNT), "{statistics:?}");
    assert_eq!(numbers.last(), Some(&(COUNT - 1)));
}

fn a_link_that_was_down_is_captured_on(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let (numbers, statistics, sent) = capture_during(lab, &namespace, |sender| {
        ip(&["link", "set", veth(&namespace), "down"]);
        std::thread::sleep(INTERVAL);
        ip(&["link", "set", veth(&namespace), "up"]);
        sender.wait()
    });
    assert!(statistics.received <= sent && numbers.first() == Some(&0), "{sent} sent, {statistics:?}");
    assert_eq!(numbers.last(), Some(&(COUNT - 1)), "{statistics:?}");
}

fn a_removed_link_leaves_a_complete_stream(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let (numbers, statistics, sent) = capture_during(lab, &namespace, |sender| {
        ip(&["link", "delete", veth(&namespace)]);
        sender.wait()
    });
    // Frames may wait for the receiving end when the link is removed.
    assert!(statistics.received <= sent && sent < COUNT, "{sent} sent, {statistics:?}");
    assert_eq!((numbers.first(), statistics.lost), (Some(&0), 0), "{statistics:?}");
}
