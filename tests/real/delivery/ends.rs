//! Captures that end while the pipe is full: what is still in the pipe is not written again by the kernel or anyone.

use std::io::Read as _;
use std::process::Output;
use std::time::Duration;

use crate::support::fifo_capture::FifoCapture;
use crate::support::frames::{ALL_SERIES, Series, assert_frames};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, signal};
use crate::support::namespaces::Namespace;
use crate::support::packet_bytes::{packets_in, packets_of_prefix};
use crate::support::recording::Recording;

pub(crate) const TESTS: &[Test] = tests![
    packets_in_a_full_pipe_stay_unchanged_after_the_capture_has_ended,
    packets_in_a_full_pipe_stay_unchanged_after_the_program_was_killed,
];

/// The ring in MiB, how much is read before the end in bytes, and what is sent.
const CASES: [(&str, usize, Series); 3] =
    [("2", 0, Series::tagged(1)), ("2", 7_654_321, Series::small(1)), ("0", 1_234_567, Series::tagged(1))];
/// Longer than it takes to fill a small ring.
const FILL: Duration = Duration::from_secs(1);
/// More than the memory that a capture gives back at its end.
const MEMORY: usize = 300 << 20;

/// Ends a capture by a signal while its pipe is full and packets arrive, and uses the memory that it gives back. Then
/// reads the pipe and asserts that all complete blocks are right.
fn end_with_a_full_pipe(lab: &Lab, case: (&str, usize, Series), signal_name: &str) -> Output {
    let (buffer_mib, read_before, series) = case;
    let namespace = Namespace::with_veth();
    let options = ["--extcap-capture-filter", ALL_SERIES, "--buffer-size", buffer_mib];
    let capture = FifoCapture::begin(lab, &namespace.interface(), &options);
    let sender = series.start(|command| namespace.enter(command), "inner0", u64::MAX, 0);
    let FifoCapture { child, mut reader, begin: mut stream, folder: _folder } = capture;
    let mut before = vec![0; read_before];
    reader.read_exact(&mut before).expect("the first packets");
    stream.append(&mut before);
    std::thread::sleep(FILL);
    signal(&child, signal_name);
    let ended = end_of(child);

    let filter = ["--filter", ALL_SERIES, "--buffer-size", "64"];
    let recording = Recording::begin_with(lab.program(), &[&namespace.name], &filter);
    let memory = vec![0xa5_u8; MEMORY];
    std::thread::sleep(FILL);
    drop(sender);
    let recorded = recording.stop();
    assert!(memory.iter().step_by(4096).all(|byte| *byte == 0xa5));
    reader.read_to_end(&mut stream).expect("the rest");

    let (packets, rest) = packets_of_prefix(&stream);
    let groups = assert_frames(&packets, &[series], usize::MAX);
    assert!(stream.len() > read_before && groups.len() == 1, "{} bytes, {groups:?}", stream.len());
    println!("{signal_name}: {} packets, {} bytes of an incomplete block", packets.len(), rest.len());
    let other = std::fs::read(&recorded.path).expect("the other capture");
    assert_frames(&packets_in(&other), &[series], usize::MAX);
    ended
}

fn packets_in_a_full_pipe_stay_unchanged_after_the_capture_has_ended(lab: &Lab) {
    for case in CASES {
        let ended = end_with_a_full_pipe(lab, case, "TERM");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.starts_with("dropped: "), "{said}");
    }
}

fn packets_in_a_full_pipe_stay_unchanged_after_the_program_was_killed(lab: &Lab) {
    for case in CASES {
        end_with_a_full_pipe(lab, case, "KILL");
    }
}
