//! Readers of the FIFO that are slow, stop, or end: all packets are right, and those that are missing are counted.

use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use crate::support::fifo_capture::{FifoCapture, Pace, statistics_in};
use crate::support::frames::{ALL_SERIES, Sender, Series, assert_frames};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, output, signal, start};
use crate::support::namespaces::Namespace;
use crate::support::packet_bytes::{assert_in_order_of_time, packets_in};

pub(crate) const TESTS: &[Test] = tests![
    readers_of_random_sizes_get_unchanged_packets,
    packets_are_copied_where_the_kernel_lends_no_memory_to_a_pipe,
    packets_missing_for_a_slow_reader_of_random_sizes_are_counted,
    a_reader_that_pauses_gets_unchanged_packets,
    a_reader_that_closes_within_a_block_ends_a_busy_capture,
    a_killed_reader_ends_a_busy_capture,
];

/// Large and small frames, and small ones only.
const SERIES: [Series; 2] = [Series::tagged(1), Series::small(1)];
const OUTBOUND: Option<u32> = Some(2);
/// Frames per second, and their number: they still arrive while the reader is behind.
const RATE: u64 = 50_000;
const COUNT: u64 = 3 * RATE;
const PAUSE: Duration = Duration::from_secs(3);

/// A random number that differs with each run. It is printed, to repeat a run with it.
fn seed() -> u64 {
    let seed = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() + u64::from(since.subsec_nanos()));
    println!("seed of the reader: {seed}");
    seed
}

fn begin(lab: &Lab, namespace: &Namespace, buffer_mib: &str) -> FifoCapture {
    let options = ["--extcap-capture-filter", ALL_SERIES, "--buffer-size", buffer_mib];
    FifoCapture::begin(lab, &namespace.interface(), &options)
}

fn send(namespace: &Namespace, series: Series, count: u64, rate: u64) -> Sender {
    series.start(|command| namespace.enter(command), "inner0", count, rate)
}

/// Asserts that all packets of a stream are right, and that the missing ones of `sent` are counted. Returns their number.
fn assert_complete(stream: &[u8], series: Series, sent: u64) -> u64 {
    let packets = packets_in(stream);
    let groups = assert_frames(&packets, &[series], usize::MAX);
    assert_eq!(groups.into_keys().collect::<Vec<_>>(), [(0, series.sender, OUTBOUND)]);
    assert_in_order_of_time(&packets);
    let statistics = statistics_in(stream);
    let one = statistics[0];
    assert_eq!(
        (one.written, one.packets + one.lost, one.received),
        (one.packets, sent, sent),
        "{statistics:?}"
    );
    one.lost
}

fn readers_of_random_sizes_get_unchanged_packets(lab: &Lab) {
    let namespace = Namespace::with_veth();
    for series in SERIES {
        let mut capture = begin(lab, &namespace, "0");
        let reading = capture.read(Pace::Random(seed()));
        let sent = send(&namespace, series, COUNT, RATE).wait();
        std::thread::sleep(PAUSE);
        signal(&capture.child, "TERM");
        let stream = reading.join().expect("a reader");
        assert!(capture.end().status.success());
        assert_complete(&stream, series, sent);
    }
}

fn packets_are_copied_where_the_kernel_lends_no_memory_to_a_pipe(lab: &Lab) {
    let namespace = Namespace::with_veth();
    for series in SERIES {
        let options = ["--extcap-capture-filter", ALL_SERIES, "--buffer-size", "64"];
        // Traced, it is slow: strace stops it only at the call that fails.
        let program = lab.program_without("vmsplice");
        let mut capture = FifoCapture::begin_by(program, &namespace.interface(), &options);
        let reading = capture.read(Pace::Fast);
        let sent = send(&namespace, series, COUNT, RATE).wait();
        std::thread::sleep(PAUSE);
        output(Command::new("pkill").args(["-TERM", "-P", &capture.child.id().to_string()]));
        let stream = reading.join().expect("a reader");
        assert!(capture.end().status.success());
        assert_eq!(assert_complete(&stream, series, sent), 0);
    }
}

fn packets_missing_for_a_slow_reader_of_random_sizes_are_counted(lab: &Lab) {
    let namespace = Namespace::with_veth();
    for series in SERIES {
        let mut capture = begin(lab, &namespace, "2");
        let reading = capture.read(Pace::Random(seed()));
        let sent = send(&namespace, series, 2 * COUNT, 2 * RATE).wait();
        // At once: the reader still has to read what is in the pipe and in the ring.
        signal(&capture.child, "TERM");
        let stream = reading.join().expect("a reader");
        assert!(capture.end().status.success());
        assert!(assert_complete(&stream, series, sent) > 0, "the reader was fast enough");
    }
}

fn a_reader_that_pauses_gets_unchanged_packets(lab: &Lab) {
    let namespace = Namespace::with_veth();
    for (buffer_mib, series) in ["2", "0"].into_iter().zip(SERIES) {
        let mut capture = begin(lab, &namespace, buffer_mib);
        let sender = send(&namespace, series, 2 * COUNT, RATE);
        let mut first = vec![0; 1_234_567];
        capture.reader.read_exact(&mut first).expect("the first packets");
        capture.begin.append(&mut first);
        std::thread::sleep(PAUSE);
        let reading = capture.read(Pace::Fast);
        let sent = sender.wait();
        signal(&capture.child, "TERM");
        let stream = reading.join().expect("a reader");
        assert!(capture.end().status.success());
        let lost = assert_complete(&stream, series, sent);
        assert!(lost > 0 || buffer_mib == "0", "the ring had room for {sent} packets");
    }
}

fn a_reader_that_closes_within_a_block_ends_a_busy_capture(lab: &Lab) {
    let namespace = Namespace::with_veth();
    for count in [1, 4_099, 100_003, 3_000_001] {
        let mut capture = begin(lab, &namespace, "0");
        let _sender = send(&namespace, SERIES[0], u64::MAX, 0);
        let mut some = vec![0; count];
        capture.reader.read_exact(&mut some).expect("the first packets");
        let FifoCapture { child, reader, .. } = capture;
        drop(reader);
        assert!(end_of(child).status.success(), "{count}");
    }
}

fn a_killed_reader_ends_a_busy_capture(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let options = ["--extcap-capture-filter", ALL_SERIES];
    let (child, fifo, _folder) = FifoCapture::start(lab, &namespace.interface(), &options);
    // Slower than packets arrive.
    let mut dd = Command::new("dd");
    let mut reader = start(dd.arg("of=/dev/null").arg("bs=7").arg(format!("if={}", fifo.display())));
    let _sender = send(&namespace, SERIES[0], u64::MAX, 0);
    let io = format!("/proc/{}/io", reader.id());
    eventually("it reads packets", || {
        let io = std::fs::read_to_string(&io).expect("a running reader");
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("a line");
        read.parse::<u64>().expect("a number") > 1_000_000
    });
    reader.kill().expect("a reader");
    assert!(end_of(child).status.success());
    reader.wait().expect("a reader");
}
