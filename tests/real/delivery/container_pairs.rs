//! Containers that send to each other, captured together: merged by time, nothing missing, each frame once or twice.

use crate::support::fifo_capture::{FifoCapture, Pace, statistics_in};
use crate::support::frames::{ALL_SERIES, Group, Sender, Series, assert_frames};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, signal};
use crate::support::packet_bytes::{assert_in_order_of_time, packets_in};
use crate::support::recording::Statistics;

pub(crate) const TESTS: &[Test] = tests![
    frames_between_captured_containers_arrive_twice_and_unchanged,
    frames_between_captured_containers_are_deduplicated_and_unchanged,
];

/// A bridge passes tags on beside the frame, so the receiver's host veth sends them in another way than the sender's.
const SERIES: [Series; 2] = [Series::tagged(1), Series::tagged(2)];
/// Of each sender, and per second. An unoptimized program captures each four times as fast.
const COUNT: u64 = 8000;
const RATE: u64 = 4000;
const INBOUND: Option<u32> = Some(1);
const OUTBOUND: Option<u32> = Some(2);

/// Captures two containers that flood each other. Asserts that nothing is wrong or missing. Returns the number of frames
/// by interface, sender and direction, and the statistics of each interface.
fn capture_both(lab: &Lab, duplicates: &str) -> (Vec<(Group, u64)>, Vec<Statistics>) {
    let network = lab.network();
    let project = format!("pair{}{duplicates}", std::process::id());
    let label = format!("com.docker.compose.project={project}");
    let on = ["--network", network.name.as_str(), "--label", &label];
    let containers = [lab.container(&on), lab.container(&on)];
    // Room for all frames, however busy the machine is.
    let options = ["--extcap-capture-filter", ALL_SERIES, "--duplicates", duplicates, "--buffer-size", "64"];
    let mut capture = FifoCapture::begin_with(lab, &format!("compose-{project}"), 2, &options);
    let reading = capture.read(Pace::Fast);
    let senders = [0, 1].map(|at| {
        let container = &containers[at];
        SERIES[at].start(|command| container.enter(command), "eth0", COUNT, RATE)
    });
    assert_eq!(senders.map(Sender::wait), [COUNT; 2]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    signal(&capture.child, "TERM");
    let stream = reading.join().expect("a reader");
    assert!(capture.end().status.success());
    let packets = packets_in(&stream);
    assert_in_order_of_time(&packets);
    let groups = assert_frames(&packets, &SERIES, usize::MAX);
    let statistics = statistics_in(&stream);
    for one in &statistics {
        assert_eq!((one.received, one.lost, one.written), (2 * COUNT, 0, one.packets), "{statistics:?}");
    }
    (groups.into_iter().collect(), statistics)
}

fn frames_between_captured_containers_arrive_twice_and_unchanged(lab: &Lab) {
    let (groups, _) = capture_both(lab, "keep");
    assert!(groups.iter().all(|(_, count)| *count == COUNT), "{groups:?}");
    let directions: Vec<_> =
        groups.iter().map(|((interface, sender, way), _)| (*interface, *sender, *way)).collect();
    // The interface of the first container may have either number.
    let (one, other) = if directions[0].2 == OUTBOUND { (OUTBOUND, INBOUND) } else { (INBOUND, OUTBOUND) };
    assert_eq!(directions, [(0, 1, one), (0, 2, other), (1, 1, other), (1, 2, one)]);
}

fn frames_between_captured_containers_are_deduplicated_and_unchanged(lab: &Lab) {
    let (groups, statistics) = capture_both(lab, "drop");
    assert!(groups.iter().all(|((.., way), count)| *way == OUTBOUND && *count == COUNT), "{groups:?}");
    assert_eq!(groups.len(), 2, "each frame is there once: {groups:?}");
    assert_eq!(statistics.iter().map(Statistics::crossed).collect::<Vec<_>>(), [COUNT; 2]);
}
