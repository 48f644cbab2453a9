//! Ring buffers of files with very many interfaces and names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use containerdump::capture::Direction;
use containerdump::pcapng::{self, BlockWriter, InterfaceDescription, InterfaceStatistics};
use containerdump::safe_text::SafeText;

use crate::support::fake_host::{FakeHost, begin};
use crate::support::lab::output;
use crate::support::peer_stream::interface;
use crate::support::processes::peak_memory;
use crate::support::program::until;
use crate::support::recording::capinfos;

const INTERFACES: u32 = 4000;
const PACKETS: usize = 100;
const PACKET_LEN: usize = 1000;

/// A stream with as much text as a host may send: interfaces with one long filter, and names.
fn stream() -> Vec<u8> {
    let mut blocks = BlockWriter::begin_section();
    for number in 0..INTERFACES {
        blocks.add_interface(&InterfaceDescription {
            description: SafeText::with_limit(&"described ".repeat(24), 240),
            filter: Some("x".repeat(4000).into()),
            ..interface(&format!("web{number}:eth0"))
        });
    }
    let name =
        |number: u32| (number.to_be_bytes().into(), SafeText::new(&format!("name-of-address-{number}")));
    blocks.add_names(&(1..=30_000).map(name).collect::<Vec<_>>());
    [blocks.take(), packets(PACKETS), statistics()].concat()
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").flatten().map(|one| one.path()).collect();
    files.sort();
    files
}

/// Packets on the first interface.
fn packets(count: usize) -> Vec<u8> {
    let mut packets = Vec::new();
    for _ in 0..count {
        let length = u32::try_from(PACKET_LEN).expect("small");
        pcapng::append_packet(&mut packets, 0, Direction::Inbound, 1, length, &[7; PACKET_LEN]);
    }
    packets
}

/// The statistics block of the first interface.
fn statistics() -> Vec<u8> {
    let mut blocks = BlockWriter::begin_section();
    blocks.add_interface(&interface("x"));
    blocks.take();
    blocks.add_statistics(0, InterfaceStatistics::default(), 1, 2);
    blocks.take()
}

/// The capture once wrote 6.8 GB of interface blocks into 100 files.
#[test]
fn interfaces_and_names_do_not_multiply_a_ring_buffer() {
    let stream = stream();
    let far = "cat stream; while ! [ -e go ]; do sleep 0.05; done";
    let host = FakeHost::answering(far).with("stream", &stream);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.pcapng");
    let mut command = host.command(&["capture", "web", "--host=build1", "-b", "filesize:20", "-w"]);
    let mut capture = command.arg(&path).stderr(Stdio::null()).spawn().expect("the program starts");
    let files = || files_in(folder.path());
    let len = |path: &PathBuf| path.metadata().map_or(0, |about| about.len());
    let written = || files().iter().map(len).sum::<u64>();
    until("nothing more is written", || {
        let before = written();
        thread::sleep(Duration::from_millis(300));
        files().len() > 1 && before == written()
    });
    let peak = peak_memory(capture.id());
    fs::write(host.0.path().join("go"), b"").expect("a file");
    assert!(capture.wait().expect("a child").success());
    let files = files();
    let lengths: Vec<u64> = files.iter().map(len).collect();
    // Each later file has half of 20 KB in packets, one of which may have been in the first.
    assert!((9..=12).contains(&files.len()), "{lengths:?}");
    // What was sent, the name of the host in each description, and statistics.
    assert!(lengths[0] <= stream.len() as u64 + u64::from(INTERFACES) * 150, "{lengths:?}");
    // The blocks of all interfaces without text, 36 bytes each, and little else.
    let max = u64::from(INTERFACES) * 36 + 40_000;
    assert!(lengths[1..].iter().all(|len| *len <= max), "{lengths:?}");
    let count = |path: &PathBuf| capinfos(path, "Number of packets").parse::<usize>().expect("a number");
    assert_eq!(files.iter().map(count).sum::<usize>(), PACKETS);
    let last = files.last().expect("a file");
    assert_eq!(capinfos(last, "Number of interfaces in file"), INTERFACES.to_string());
    let mut tshark = Command::new("tshark");
    let shown = output(tshark.args(["-T", "fields", "-e", "frame.interface_name", "-r"]).arg(last));
    assert_eq!(
        shown.lines().next(),
        Some("web0:eth0"),
        "active interfaces have names as long as there is room"
    );
    assert!(peak < 44 * 1024, "{peak} KiB");
}

#[test]
fn an_interface_that_has_ended_is_short_in_later_files() {
    // The first host ends, the second goes on.
    let far = "if mkdir first 2>/dev/null; then cat begin statistics; : >ended; exit; fi; \
        cat begin statistics; while ! [ -e ended ]; do sleep 0.05; done; sleep 1; cat packets statistics";
    let host = FakeHost::answering(far)
        .with("begin", &begin("web:eth0"))
        .with("packets", &packets(60))
        .with("statistics", &statistics());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.pcapng").display().to_string();
    let hosts = ["--host=build1", "--host=build2", "-b", "filesize:20"];
    let ended = host.start(&[&["capture", "web", "-w", &path][..], &hosts].concat()).ended();
    assert!(ended.status.success(), "{}", ended.stderr);
    let files = files_in(folder.path());
    assert!(files.len() >= 3, "{files:?}");
    for (at, path) in files.iter().enumerate() {
        let all = output(Command::new("capinfos").arg(path));
        let (_, interfaces) = all.split_once("Interface #0 info:").expect("two interfaces");
        let (one, other) = interfaces.split_once("Interface #1 info:").expect("two interfaces");
        let (ended, active) = if one.contains("Number of packets = 0") { (one, other) } else { (other, one) };
        for (about, is_whole) in [(ended, at == 0), (active, true)] {
            assert!(about.contains("Name = web@build"), "{all}");
            assert_eq!(about.contains("Description = on build"), is_whole, "{all}");
            assert_eq!(about.contains("Number of stat entries = 1"), is_whole, "{all}");
        }
    }
}
