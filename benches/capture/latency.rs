//! Time from the kernel's time stamp of a packet to its arrival at the reader of the FIFO, and from the start of the
//! program to its header and its first packet.

use std::fs::File;
use std::io::Read as _;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::program::Program;
use crate::measure::figures::Csv;
use crate::measure::support::lab::{Container, Lab, eventually, fifo, folder, signal};
use crate::measure::table::{Goals, Table};

const PACKETS: usize = 300;
/// Gaps between packets, in milliseconds.
const GAPS: std::ops::Range<u64> = 5..95;
const STARTS: usize = 20;
/// Payload of a packet, which tells ours from others, and its length with Ethernet, IPv4 and UDP.
const PAYLOAD: [u8; 77] = [7; 77];
const LENGTH: u32 = 77 + 42;
const DELAY_GOAL_MS: f64 = 20.0;
const HEADER_GOAL_MS: f64 = 30.0;

/// What has arrived so far.
#[derive(Default)]
struct Arrivals {
    header: Option<Instant>,
    interface: Option<Instant>,
    first_packet: Option<Instant>,
    /// Milliseconds for each packet.
    delays: Vec<f64>,
}

pub(crate) fn run(lab: &Lab) {
    let container = lab.container(&[]);
    let (mut table, mut goals) = (Table::new(&["what", "median", "99th percentile", "most"]), Goals::new());
    let mut csv = Csv::new("latency", "what,milliseconds");
    let mut add = |what: &str, mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        for value in &values {
            csv.row(&[what.to_owned(), format!("{value:.3}")]);
        }
        let at = |percent: usize| values[(values.len() * percent / 100).min(values.len() - 1)];
        let [median, high] = [at(50), at(99)];
        let most = values[values.len() - 1];
        table.row(
            [&[what.to_owned()][..], &[median, high, most].map(|value| format!("{value:.1} ms"))].concat(),
        );
        [median, high]
    };
    eprintln!("{PACKETS} packets on an idle link …");
    let [_, high] = add("packet to FIFO, idle link", delays(lab, &container));
    goals.at_most("packet to FIFO, 99th percentile", DELAY_GOAL_MS, high, " ms");
    eprintln!("{STARTS} starts …");
    let starts: Vec<[f64; 3]> = (0..STARTS).map(|_| start(lab, &container)).collect();
    let column = |number: usize| starts.iter().map(|start| start[number]).collect();
    let [header, _] = add("start to section header", column(0));
    goals.at_most("start to section header, median", HEADER_GOAL_MS, header, " ms");
    add("start to interface block: the ring is open", column(1));
    add("start to first packet, of one each millisecond", column(2));
    table.publish("latency");
    goals.publish("latency-goals");
    csv.save();
}

/// Sends packets one by one, and returns how long each took.
fn delays(lab: &Lab, container: &Container) -> Vec<f64> {
    let folder = folder();
    let fifo = fifo(&folder);
    let (arrivals, reader) = watch(&fifo);
    let running = Program::Ours.start(lab, &[container], &fifo);
    let sender = Sender::new(container);
    let mut state = 1_u64;
    for _ in 0..PACKETS {
        // The generator of MMIX (Knuth).
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(GAPS.start + (state >> 33) % (GAPS.end - GAPS.start)));
        sender.send();
    }
    eventually("all packets arrive", || arrivals.lock().expect("arrivals").delays.len() >= PACKETS);
    signal(&running.child, "INT");
    let _ = { running }.child.wait();
    reader.join().expect("a reader");
    std::mem::take(&mut arrivals.lock().expect("arrivals").delays)
}

/// Milliseconds from the start of the program to its header, its interface and its first packet.
fn start(lab: &Lab, container: &Container) -> [f64; 3] {
    let folder = folder();
    let fifo = fifo(&folder);
    let (arrivals, reader) = watch(&fifo);
    let done = Arc::new(AtomicBool::new(false));
    let sender = std::thread::spawn({
        let (sender, done) = (Sender::new(container), Arc::clone(&done));
        move || {
            while !done.load(Ordering::Relaxed) {
                sender.send();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let mut command = lab.program();
    command.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]).arg(&fifo);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    eventually("the first packet arrives", || arrivals.lock().expect("arrivals").first_packet.is_some());
    signal(&child, "INT");
    child.wait().expect("a child");
    done.store(true, Ordering::Relaxed);
    sender.join().expect("a sender");
    reader.join().expect("a reader");
    let arrivals = arrivals.lock().expect("arrivals");
    [arrivals.header, arrivals.interface, arrivals.first_packet]
        .map(|at| at.expect("it arrived").duration_since(begin).as_secs_f64() * 1e3)
}

/// Sends packets to the discard port (RFC 863) of the container, where nothing listens.
struct Sender(UdpSocket, String);

impl Sender {
    fn new(container: &Container) -> Self {
        // Not connected, so that refused packets do not make later ones fail.
        let sender =
            Self(UdpSocket::bind("0.0.0.0:0").expect("a port"), format!("{}:9", container.address()));
        // Resolves the address.
        sender.send();
        sender
    }

    fn send(&self) {
        self.0.send_to(&PAYLOAD, &self.1).expect("a route");
    }
}

fn watch(fifo: &Path) -> (Arc<Mutex<Arrivals>>, JoinHandle<()>) {
    let (arrivals, fifo) = (Arc::new(Mutex::new(Arrivals::default())), fifo.to_owned());
    let shared = Arc::clone(&arrivals);
    let thread = std::thread::spawn(move || {
        let mut stream = File::open(fifo).expect("the FIFO");
        let (mut buffer, mut bytes) = (vec![0; 64 * 1024], Vec::new());
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            let (at, now) = (Instant::now(), containerdump::capture::now());
            bytes.extend_from_slice(&buffer[..count]);
            let mut arrivals = shared.lock().expect("arrivals");
            while let Some(block) = first_block(&bytes) {
                arrivals.add(block, at, now);
                let length = block.len();
                bytes.drain(..length);
            }
        }
    });
    (arrivals, thread)
}

impl Arrivals {
    /// `at` and `now`, in nanoseconds since the epoch, are the time of the read.
    fn add(&mut self, block: &[u8], at: Instant, now: u64) {
        const SECTION: u32 = 0x0a0d_0d0a;
        match word(block, 0) {
            SECTION => self.header = self.header.or(Some(at)),
            1 => self.interface = self.interface.or(Some(at)),
            6 if word(block, 24) == LENGTH => {
                self.first_packet = self.first_packet.or(Some(at));
                let time = u64::from(word(block, 12)) << 32 | u64::from(word(block, 16));
                self.delays.push(Duration::from_nanos(now.saturating_sub(time)).as_secs_f64() * 1e3);
            }
            _ => {}
        }
    }
}

/// The first block of a pcapng stream, once it is whole.
fn first_block(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    bytes.get(..length as usize)
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(block[at..at + 4].try_into().expect("four bytes"))
}
