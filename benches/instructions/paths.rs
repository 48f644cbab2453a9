//! The hot paths, on prepared memory and files.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{IoSlice, Read as _};
use std::path::Path;
use std::time::Duration;

use containerdump::capture::Direction;
use containerdump::engine::{self, EngineStatus, EngineTimeouts};
use containerdump::link::NamedNamespaces;
use containerdump::pcapng::{self, BlockWriter, InterfaceStatistics};
use containerdump::peer;
use containerdump::peer::compression::{CompressionMode, Decompressor, StreamCompressor};
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::session::{CaptureSession, Member, Output, Source};
use containerdump::stop::Stop;

use super::ring;
use crate::measure::content::{Content, interface};
use crate::measure::support::fake_engine::{FakeEngine, container};
use crate::measure::support::peer_session;

/// Packets of a run, for each time it is repeated.
const PACKETS: u32 = 10_000;
const CONTAINERS: u32 = 100;
/// Input of one compressed chunk, in bytes.
const CHUNK: usize = 256 * 1024;
/// Compressed chunks of a run.
const CHUNKS: u32 = 16;
/// More than a slow machine takes under valgrind.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Paths, and how many units one run has: packets, KiB, containers.
pub(crate) const PATHS: &[(&str, f64)] = &[
    ("ring-64-gathered", PACKETS as f64),
    ("ring-1500-enclosed", PACKETS as f64),
    ("remote-stream", PACKETS as f64),
    ("decompress-kib", (CHUNKS * 256) as f64),
    ("list-100", CONTAINERS as f64),
];

/// What the paths read, prepared by another process whose instructions do not count.
pub(crate) struct Prepared {
    engine: FakeEngine,
}

impl Prepared {
    pub(crate) fn write(folder: &Path) -> Self {
        let frames: Vec<Vec<u8>> = Content::Text.frames().take(2 * PACKETS as usize).collect();
        for times in [1, 2] {
            let some = &frames[..times * PACKETS as usize];
            fs::write(folder.join(format!("stream-{times}")), stream(some)).expect("room");
            let whole = stream(&frames);
            let chunks = whole.chunks(CHUNK).cycle().take(times * CHUNKS as usize).flat_map(compressed);
            fs::write(folder.join(format!("compressed-{times}")), chunks.collect::<Vec<u8>>()).expect("room");
        }
        Self { engine: FakeEngine::running((0..CONTAINERS).map(|number| container(&format!("web{number}")))) }
    }

    /// The address of an engine with 100 containers.
    pub(crate) fn engine(&self) -> String {
        self.engine.address()
    }
}

/// A tap's stream of `frames`, one each microsecond.
fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut blocks = BlockWriter::begin_section();
    blocks.add_interface(&interface());
    blocks.add_statistics(0, InterfaceStatistics::default(), 1, 1);
    let mut bytes = blocks.take();
    let begin = containerdump::capture::now();
    for (time, frame) in (begin..).step_by(1000).zip(frames) {
        let length = u32::try_from(frame.len()).expect("few");
        pcapng::append_packet(&mut bytes, 0, Direction::Outbound, time, length, frame);
    }
    blocks.add_statistics(0, InterfaceStatistics::default(), 1, 2);
    bytes.extend(blocks.take());
    bytes
}

/// A chunk by a compressor of its own, whose level does not depend on the time that others took.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut compressor = StreamCompressor::new(CompressionMode::On).expect("memory");
    let chunk = compressor.next_chunk(&[IoSlice::new(bytes)]);
    assert_eq!(chunk.bytes, bytes.len(), "one chunk");
    chunk.slices(&[]).iter().flat_map(|slice| slice.to_vec()).collect()
}

/// Runs a path so many times.
pub(crate) fn run(path: &str, times: u32, folder: &Path) {
    let file = |name: &str| folder.join(format!("{name}-{times}")).to_string_lossy().into_owned();
    match path {
        "ring-64-gathered" => ring::gather(64, times * PACKETS),
        "ring-1500-enclosed" => ring::enclose(1500, times * PACKETS),
        "remote-stream" => session(&[file("stream")]),
        "decompress-kib" => decompress(&file("compressed")),
        "list-100" => (0..times).for_each(|_| {
            let listings = engine::list(&NamedNamespaces::default(), EngineTimeouts::CAPTURE);
            let status = &listings.first().expect("the engine").status;
            assert!(matches!(status, EngineStatus::Available { unreadable: 0, .. }), "{status:?}");
        }),
        _ => panic!("no path {path}"),
    }
}

/// A session that reads streams and writes them to nowhere.
fn session(files: &[String]) {
    let (children, streams): (Vec<_>, Vec<_>) =
        files.iter().map(|file| peer_session::begin(&["cat", file])).unzip();
    let privilege = Privilege::confine().expect("privileges are dropped");
    let stop = Stop::watch(false).expect("a descriptor");
    let source = |stream| {
        let (interfaces, remote) =
            peer::open_tap_stream(stream, &SafeText::new("tap"), TIMEOUT).expect("a stream");
        Source::Remote { interfaces, remote, outlives_holders: true }
    };
    let members = vec![Member { sources: streams.into_iter().map(source).collect(), ..Member::default() }];
    let output = Output::file(Path::new("/dev/null"), true, &stop).expect("no signal").expect("a device");
    let proof = privilege.give_up().expect("privileges are dropped");
    let session = CaptureSession::new(members, Duration::from_millis(4), output);
    session.run(&stop, &proof, None).expect("it ends with its streams");
    for mut child in children {
        child.wait().expect("our own child");
    }
}

fn decompress(file: &str) {
    let (mut file, mut magic) = (File::open(file).expect("a stream"), [0; 4]);
    file.read_exact(&mut magic).expect("its first bytes");
    let (mut decompressor, mut output) = (Decompressor::new(magic).expect("memory"), vec![0; CHUNK]);
    while decompressor.read(&mut file, &mut output).expect("a stream") > 0 {
        black_box(&output);
    }
}
