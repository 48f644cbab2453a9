//! Programs that read a capture: Wireshark's from the FIFO, others from standard output, some of which keep its pages.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::pipe::{SpliceFlags, splice};

use crate::support::fifo_capture::{FifoCapture, Pace, read_interfaces, statistics_in};
use crate::support::frames::{ALL_SERIES, Sender, Series, assert_frames};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, folder, signal, start};
use crate::support::namespaces::Namespace;
use crate::support::packet_bytes::{digests, joined_packets, packets_in};
use crate::support::recording::assert_same;
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    dumpcap_and_tshark_read_the_same_packets_from_the_fifo_as_tcpdump,
    programs_that_copy_standard_output_get_unchanged_packets,
    programs_that_splice_standard_output_get_unchanged_packets,
];

/// The argument that makes this test program one that splices.
pub(crate) const SPLICE: &str = "splice";

const SERIES: Series = Series::tagged(1);
/// More than the smallest ring and two pipes have room for.
const MANY: u64 = 40_000;

/// Moves standard input to standard output, both pipes, without copying.
pub(crate) fn splice_on() -> ExitCode {
    let (from, to) = (std::io::stdin(), std::io::stdout());
    loop {
        match splice(from.as_fd(), None, to.as_fd(), None, 1 << 20, SpliceFlags::MOVE) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(_) => {}
            Err(error) => {
                eprintln!("cannot splice: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

fn send(namespace: &Namespace, count: u64, rate: u64) -> Sender {
    SERIES.start(|command| namespace.enter(command), "inner0", count, rate)
}

fn dumpcap_and_tshark_read_the_same_packets_from_the_fifo_as_tcpdump(lab: &Lab) {
    for program in ["dumpcap", "tshark"] {
        let namespace = Namespace::with_veth();
        let veth = namespace.veth.as_deref().expect("its veth");
        let witness = Tcpdump::at_full_rate(veth, ALL_SERIES, "262144");
        let options = ["--extcap-capture-filter", ALL_SERIES];
        let (child, fifo, folder) = FifoCapture::start(lab, &namespace.interface(), &options);
        let [out, expected] = ["out.pcapng", "expected.pcap"].map(|name| folder.path().join(name));
        let mut reader = Command::new(program);
        let reader = start(reader.args(["-q", "-i"]).arg(&fifo).arg("-w").arg(&out));
        eventually("it reads", || out.metadata().is_ok_and(|about| about.len() > 300));
        let sent = send(&namespace, MANY / 2, 20_000).wait();
        fs::write(&expected, witness.stop_complete()).expect("a file");
        signal(&child, "TERM");
        assert!(end_of(child).status.success());
        let ended = end_of(reader);
        assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
        assert_same(&out, &expected);
        assert!(digests(&out) == digests(&expected), "{program}: tshark sees other packets");
        let bytes = fs::read(&out).expect("the file");
        let groups = assert_frames(&packets_in(&bytes), &[SERIES], usize::MAX);
        assert_eq!(groups.into_values().sum::<u64>(), sent);
        assert!(joined_packets(&bytes) > 0, "{program}: no packets were lent as one piece");
    }
}

/// Starts a capture to a pipe. Returns it with the pipe, and what was read until it captures.
fn capture_to_pipe(lab: &Lab, namespace: &Namespace, buffer_mib: &str) -> (Child, File, Vec<u8>) {
    let mut program = lab.program();
    program.args(["capture", &namespace.name, "-f", ALL_SERIES, "-B", buffer_mib, "-w", "-"]);
    let mut child = start(&mut program);
    let mut pipe = File::from(OwnedFd::from(child.stdout.take().expect("its output")));
    let begin = read_interfaces(&mut pipe, 1);
    (child, pipe, begin)
}

/// Asserts that all packets of a stream are right, and that the missing ones of `sent` are counted.
fn assert_complete(stream: &[u8], sent: u64, what: &str) {
    let packets = packets_in(stream);
    assert_frames(&packets, &[SERIES], usize::MAX);
    assert_eq!(joined_packets(stream), 0, "{what}: only what is lent is joined");
    let one = statistics_in(stream)[0];
    assert!(one.packets > 0 && one.packets + one.lost == sent, "{what}: {sent} sent, {one:?}");
}

fn programs_that_copy_standard_output_get_unchanged_packets(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let folder = folder();
    let out = folder.path().join("out.pcapng");
    let (tee, dd) = (format!("tee {}", out.display()), format!("dd bs=1000000 of={}", out.display()));
    for script in [tee, dd] {
        let (child, pipe, mut stream) = capture_to_pipe(lab, &namespace, "0");
        let mut reader = Command::new("sh");
        reader.args(["-c", &script]).stdin(pipe).stdout(Stdio::null()).stderr(Stdio::null());
        let reader = reader.spawn().expect("a shell");
        let sent = send(&namespace, MANY, 0).wait();
        signal(&child, "INT");
        assert!(end_of(child).status.success());
        assert!(end_of(reader).status.success(), "{script}");
        stream.extend(fs::read(&out).expect("the file"));
        assert_complete(&stream, sent, &script);
    }
}

/// The next pipe still refers to pages that the capture's own pipe no longer holds.
fn programs_that_splice_standard_output_get_unchanged_packets(lab: &Lab) {
    let namespace = Namespace::with_veth();
    let program = std::env::current_exe().expect("this program");
    for (buffer_mib, seed) in [("2", 1), ("0", 2)] {
        let (child, pipe, mut stream) = capture_to_pipe(lab, &namespace, buffer_mib);
        let mut splicer = Command::new(&program);
        splicer.arg(SPLICE).stdin(pipe).stdout(Stdio::piped());
        let mut splicer = splicer.spawn().expect("this program");
        let mut next = File::from(OwnedFd::from(splicer.stdout.take().expect("its output")));
        rustix::pipe::fcntl_setpipe_size(&next, 1 << 20).expect("a pipe of 1 MiB");
        let reading = std::thread::spawn(move || {
            Pace::Random(seed).read_to_end(&mut next, &mut stream);
            stream
        });
        let sent = send(&namespace, MANY, 0).wait();
        signal(&child, "INT");
        assert!(end_of(child).status.success());
        assert!(end_of(splicer).status.success());
        let stream = reading.join().expect("a reader");
        assert_complete(&stream, sent, buffer_mib);
    }
}
