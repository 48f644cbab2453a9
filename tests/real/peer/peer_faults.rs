//! Faulty peer streams: a clock hours off, an endless stream, no reaction to control bytes.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::Duration;

use crate::support::faulty_peer::far_end;
use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, end_of, eventually, folder, output, signal, start};
use crate::support::peer_session::{PEER_SESSION, PeerSession, tap};
use crate::support::processes::peak_memory;
use crate::support::recording::{fields_of, statistics_of};
use crate::support::traffic::flood;

pub(crate) const TESTS: &[Test] = tests![
    a_peer_clock_hours_off_does_not_delay_other_streams,
    an_endless_peer_stream_can_be_stopped,
    a_stalled_reader_does_not_break_peer_streams,
];

fn a_peer_clock_hours_off_does_not_delay_other_streams(lab: &Lab) {
    let container = lab.container(&[]);
    for hours in ["-3", "0", "3"] {
        let recording = PeerSession::begin(&[tap(&container, &["-f", "tcp"]), far_end(hours)]);
        let far = || fields_of(&recording.path, "frame.interface_id == 1", &["frame.number"]).len();
        eventually("some packets are written", || far() > 10);
        container.fetch(1);
        let before = far();
        eventually("more packets are written", || far() > before + 10);
        let recorded = recording.stop();
        // Not remaining packets of the previous request.
        let rows =
            fields_of(&recorded.path, "frame.interface_id == 1 or http", &["frame.interface_id"]).concat();
        let (before, after) = (rows.iter().position(|id| id == "0"), rows.iter().rposition(|id| id == "0"));
        // The request was sent while peer packets arrived.
        assert!(before > Some(10) && after < Some(rows.len() - 10), "{hours}: {}", rows.concat());
        let offs = fields_of(&recorded.path, "frame.interface_id == 1", &["frame.time_epoch"]).concat();
        let first: f64 = offs[0].parse().expect("a time");
        let own = fields_of(&recorded.path, "frame.interface_id == 0", &["frame.time_epoch"]).concat();
        let own: f64 = own[0].parse().expect("a time");
        let told: f64 = hours.parse().expect("hours");
        assert!(((first - own) / 3600.0 - told).abs() < 0.1, "{hours}: times are as they were told");
    }
}

fn an_endless_peer_stream_can_be_stopped(lab: &Lab) {
    let container = lab.container(&[]);
    for kind in ["statistics", "packets"] {
        let recording = PeerSession::begin(&[far_end(kind), tap(&container, &["-f", "tcp"])]);
        container.fetch(3);
        let peak = peak_memory(recording.child.id());
        assert!(peak < 64 * 1024, "{kind}: {peak} kB");
        let recorded = recording.stop();
        let statistics = statistics_of(&recorded.path)[&1];
        assert!(statistics.packets >= 18, "{kind}: {statistics:?}");
        output(Command::new("capinfos").arg(&recorded.path));
    }
}

/// The tap waits for the reader and still receives keepalives.
fn a_stalled_reader_does_not_break_peer_streams(lab: &Lab) {
    const SENT: u64 = 5000;
    let container = lab.container(&[]);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([PEER_SESSION, "-"]).args(tap(&container, &["--filter", "udp port 9"]));
    let mut child = start(&mut command);
    let mut reader = child.stdout.take().expect("a pipe");
    let mut head = [0; 100];
    reader.read_exact(&mut head).expect("a header");
    // More than the pipes and sockets in between can hold.
    flood(&container, SENT);
    std::thread::sleep(Duration::from_secs(12));
    let folder = folder();
    let path = folder.path().join("read.pcapng");
    let mut file = File::create(&path).expect("a file");
    file.write_all(&head).expect("room");
    let copying = std::thread::spawn(move || std::io::copy(&mut reader, &mut file));
    eventually("all of it is read", || path.metadata().is_ok_and(|about| about.len() > SENT * 1000));
    signal(&child, "TERM");
    assert_eq!(end_of(child).status.code(), Some(0));
    copying.join().expect("a thread").expect("it is read");
    let statistics = statistics_of(&path)[&0];
    assert_eq!((statistics.packets, statistics.received, statistics.lost), (SENT, SENT, 0));
}
