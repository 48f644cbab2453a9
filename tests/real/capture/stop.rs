//! The end of a capture: signals, readers, containers. The file is complete and nothing else is left.

use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command};

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, fifo, folder, output, signal, start};
use crate::support::recording::{Recording, statistics_of};

pub(crate) const TESTS: &[Test] = tests![
    signals_end_a_capture_with_final_statistics,
    packets_before_the_signal_are_in_the_file,
    a_closed_reader_ends_a_quiet_capture,
    a_closed_reader_ends_a_busy_capture,
    a_stalled_reader_does_not_delay_the_end,
    a_capture_ends_with_its_container,
    a_capture_continues_when_one_of_two_containers_ends,
    a_wireshark_capture_ends_with_its_parent_process,
    all_descriptors_are_close_on_exec,
];

fn signals_end_a_capture_with_final_statistics(lab: &Lab) {
    let container = lab.container(&[]);
    for name in ["TERM", "INT", "HUP"] {
        let recording = Recording::begin(lab, &[&container], &["--filter", "tcp"]);
        container.fetch(2);
        signal(&recording.child, name);
        let recorded = recording.end();
        let statistics = recorded.statistics()[&0];
        assert!(statistics.packets >= 12, "{name}: {statistics:?}");
        assert_eq!(statistics.packets, statistics.written, "{name}");
        assert_eq!(recorded.said, "", "{name}: nothing is said where nobody looks");
    }
}

fn packets_before_the_signal_are_in_the_file(lab: &Lab) {
    let container = lab.container(&[]);
    for _ in 0..5 {
        let recording = Recording::begin(lab, &[&container], &["--filter", "tcp"]);
        container.fetch(1);
        // At once: the packets are still in a kernel block.
        let recorded = recording.stop();
        assert_eq!(recorded.fields("http.response", &["http.response.code"]), [["200"]]);
    }
}

/// A capture as started by Wireshark, and the reader of its FIFO.
fn for_wireshark(lab: &Lab, container: &Container) -> (Child, File, tempfile::TempDir) {
    let folder = folder();
    let path = fifo(&folder);
    let mut command = lab.program();
    command.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]).arg(&path);
    let child = start(&mut command);
    let mut reader = File::open(&path).expect("the FIFO");
    let mut head = [0; 300];
    reader.read_exact(&mut head).expect("a header and an interface block");
    (child, reader, folder)
}

fn a_closed_reader_ends_a_quiet_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let (child, reader, _folder) = for_wireshark(lab, &container);
    drop(reader);
    let ended = end_of(child);
    assert!(ended.status.success() && ended.stderr.is_empty());
}

fn a_closed_reader_ends_a_busy_capture(lab: &Lab) {
    let container = lab.container(&[]);
    let (child, reader, _folder) = for_wireshark(lab, &container);
    std::thread::scope(|scope| {
        scope.spawn(|| container.fetch(50));
        drop(reader);
        let ended = end_of(child);
        assert!(ended.status.success() && ended.stderr.is_empty());
    });
}

fn a_stalled_reader_does_not_delay_the_end(lab: &Lab) {
    let container = lab.container(&[]);
    let (child, reader, _folder) = for_wireshark(lab, &container);
    lab.docker(&["exec", &container.name, "dd", "if=/dev/zero", "of=/www/large", "bs=1M", "count=50"]);
    let url = format!("http://{}/large", container.address());
    output(Command::new("curl").args(["-s", "-o", "/dev/null", &url]));
    signal(&child, "TERM");
    let ended = end_of(child);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && said.starts_with("dropped: ") && said.lines().count() == 1, "{said}");
    drop(reader);
}

fn a_capture_ends_with_its_container(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &["--filter", "tcp"]);
    container.fetch(1);
    lab.docker(&["kill", &container.name]);
    let recorded = recording.end();
    let statistics = recorded.statistics()[&0];
    assert!(statistics.packets >= 6 && statistics.packets == statistics.written, "{statistics:?}");
    let said = "the capture has ended: every captured container has stopped.\n\
                Remedy: with --follow it continues when they are restarted or recreated.\n";
    assert_eq!(recorded.said, said);
}

fn a_capture_continues_when_one_of_two_containers_ends(lab: &Lab) {
    let (one, other) = (lab.container(&[]), lab.container(&[]));
    let mut recording = Recording::begin(lab, &[&one, &other], &["--filter", "tcp"]);
    lab.docker(&["kill", &one.name]);
    other.fetch(1);
    assert_eq!(recording.child.try_wait().expect("a child"), None);
    let recorded = recording.stop();
    assert_eq!(
        recorded.fields("http.request", &["frame.interface_name"]),
        [[format!("{}:eth0", other.name)]]
    );
}

fn a_wireshark_capture_ends_with_its_parent_process(lab: &Lab) {
    let container = lab.container(&[]);
    let folder = folder();
    let path = fifo(&folder);
    let pid_file = folder.path().join("pid");
    let script = format!(
        "{} --capture --extcap-interface {} --fifo {} & echo $! > {}; wait",
        env!("CARGO_BIN_EXE_containerdump"),
        container.interface(),
        path.display(),
        pid_file.display()
    );
    let mut parent = Command::new("sh");
    let mut parent = start(parent.args(["-c", &script]).env("DOCKER_HOST", &lab.endpoint));
    let mut stream = File::open(&path).expect("the FIFO");
    let mut head = [0; 300];
    stream.read_exact(&mut head).expect("a header and an interface block");
    parent.kill().expect("the parent ends");
    parent.wait().expect("the parent is gone");
    let mut rest = Vec::new();
    // The stream ends only when the last writer has closed.
    stream.read_to_end(&mut rest).expect("the end of the stream");
    let file = folder.path().join("out.pcapng");
    std::fs::write(&file, [&head[..], &rest].concat()).expect("a file");
    assert_eq!(statistics_of(&file).len(), 1, "the last statistics are there");
    let pid = std::fs::read_to_string(pid_file).expect("a pid");
    eventually("the capture is gone", || {
        !std::path::Path::new(&format!("/proc/{}/fd/1", pid.trim())).exists()
    });
}

fn all_descriptors_are_close_on_exec(lab: &Lab) {
    let container = lab.container(&[]);
    let recording = Recording::begin(lab, &[&container], &[]);
    let folder = format!("/proc/{}/fdinfo", recording.child.id());
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("its descriptors").flatten() {
        let number: u32 = entry.file_name().to_string_lossy().parse().expect("a number");
        let info = std::fs::read_to_string(entry.path()).expect("what it is");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("its flags");
        let flags = u32::from_str_radix(flags.trim(), 8).expect("octal");
        let what =
            std::fs::read_link(format!("/proc/{}/fd/{number}", recording.child.id())).expect("what it is");
        // Except libpcap's eventfds, which contain no data, and counters in /sys that it opens briefly.
        let of_libpcap = ["eventfd", "/sys/"].iter().any(|part| what.to_string_lossy().contains(part));
        // And those inherited from the test.
        let inherited = std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|own| own == what);
        if number > 2 && !of_libpcap && !inherited {
            seen += 1;
            assert_ne!(flags & 0o2_000_000, 0, "descriptor {number} is not close-on-exec: {info}");
        }
    }
    assert!(seen >= 4, "a ring, libpcap's handle, a file and the signals");
    let children = format!("/proc/{0}/task/{0}/children", recording.child.id());
    assert_eq!(std::fs::read_to_string(children).expect("its children"), "");
    recording.stop();
}
