//! One container of ten on a busy host: what a capture of the whole host, of the published port, and of the container
//! write, cost and hold.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::load;
use super::program::passed;
use crate::measure::cost;
use crate::measure::figures::Csv;
use crate::measure::support::lab::{Container, Lab, eventually, folder, output, signal};
use crate::measure::support::recording::capinfos;
use crate::measure::table::Table;

/// Containers besides the one of interest: pairs that talk, and one that it talks to.
const OTHERS: usize = 9;
const PAIRS: usize = 4;
/// Frames of 1500 bytes from each pair.
const RATE: u32 = 5000;
const SECONDS: u32 = 6;
/// Requests to the published port, and as many by the container.
const REQUESTS: u32 = 100;
const PORT: &str = "18080";
/// A client on another machine: a network namespace with a link to this host (addresses of RFC 2544).
const CLIENT: &str = "client";
const HOST_ADDRESS: &str = "198.19.0.1";
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum Capture {
    WholeHost,
    PublishedPort,
    Container,
}

pub(crate) fn run(lab: &Lab) {
    let web = lab.container(&["--publish", &format!("{PORT}:80")]);
    let others: Vec<Container> = (0..OTHERS).map(|_| lab.container(&[])).collect();
    // A bridge sends frames to all of its ports until it knows the receiver.
    for pair in others.chunks_exact(2) {
        let page = format!("http://{}/", pair[0].address());
        output(&mut pair[1].enter(&["curl", "-s", "-o", "/dev/null", &page]));
    }
    connect_client();
    let head = ["capture", "a minute writes", "CPU", "holds of the container's packets", "other packets"];
    let mut table = Table::new(&head);
    let mut csv = Csv::new("busy-host", "capture,bytes,seconds,cpu s,packets,of interest,passed");
    for capture in [Capture::WholeHost, Capture::PublishedPort, Capture::Container] {
        eprintln!("{} …", capture.typed());
        let files = folder();
        let file = files.path().join("capture");
        let veth = web.host_veth("eth0");
        let mut child = capture.start(lab, &web, &file);
        let (before, idle) = (passed(&veth)[0], cost::so_far(&child));
        let elapsed = traffic(&web, &others);
        std::thread::sleep(SETTLE);
        let passed = passed(&veth)[0] - before;
        let cpu = cost::so_far(&child).saturating_sub(idle).as_secs_f64();
        signal(&child, "INT");
        assert!(child.wait().expect("a child").success(), "{}", capture.typed());
        let bytes = fs::metadata(&file).expect("a file").len();
        let packets: u64 = capinfos(&file, "Number of packets").parse().expect("a number");
        let of_interest = match capture {
            Capture::WholeHost => records_at(&file, index(&veth)),
            Capture::PublishedPort | Capture::Container => packets,
        };
        let float = |number: u64| f64::from(u32::try_from(number).expect("a few gigabytes"));
        table.row([
            format!("`{}`", capture.typed()),
            format!("{:.1} MB", float(bytes) / elapsed * 60.0 / 1e6),
            format!("{:.1} %", 100.0 * cpu / elapsed),
            format!("{:.0} %", 100.0 * float(of_interest.min(passed)) / float(passed)),
            format!("{:.0} %", 100.0 * float(packets - of_interest) / float(packets.max(1))),
        ]);
        let numbers = [packets, of_interest, passed].map(|number| number.to_string());
        let times = [format!("{elapsed:.2}"), format!("{cpu:.3}")];
        csv.row(&[&[capture.typed().to_owned(), bytes.to_string()][..], &times, &numbers].concat());
    }
    output(Command::new("ip").args(["netns", "delete", CLIENT]));
    table.publish("busy-host");
    let frames = RATE as usize * PAIRS / 1000;
    println!(
        "\nTen containers: one has its port published, answers requests, and makes as many of its own; {PAIRS}"
    );
    println!(
        "pairs exchange {frames},000 frames of 1500 bytes per second. Its packets are counted by its veth."
    );
    csv.save();
}

impl Capture {
    fn typed(self) -> &'static str {
        match self {
            Self::WholeHost => "tcpdump -i any -w FILE",
            Self::PublishedPort => "tcpdump -i any -w FILE port 18080",
            Self::Container => "containerdump capture web -w FILE",
        }
    }

    /// Starts it and waits until it captures.
    fn start(self, lab: &Lab, web: &Container, file: &Path) -> Child {
        let mut command = match self {
            Self::Container => {
                let mut command = lab.program();
                command.args(["capture", &web.name, "-w"]).arg(file);
                command
            }
            Self::WholeHost | Self::PublishedPort => {
                let mut command = Command::new("tcpdump");
                command.args(["-Z", "root", "-i", "any", "-w"]).arg(file);
                if matches!(self, Self::PublishedPort) {
                    command.args(["port", PORT]);
                }
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let maps = format!("/proc/{}/maps", child.id());
        eventually("the rings are open", || {
            fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("socket:["))
        });
        std::thread::sleep(SETTLE);
        child
    }
}

/// A network namespace with a link to this host, whose packets pass what a client's would.
fn connect_client() {
    let commands = format!(
        "ip netns add {CLIENT}
         ip link add outside type veth peer name eth0 netns {CLIENT}
         ip address add {HOST_ADDRESS}/30 dev outside
         ip link set outside up
         ip -n {CLIENT} address add 198.19.0.2/30 dev eth0
         ip -n {CLIENT} link set eth0 up"
    );
    output(Command::new("sh").args(["-e", "-c", &commands]));
}

/// All traffic at the same time. Returns how long it took, in seconds.
fn traffic(web: &Container, others: &[Container]) -> f64 {
    let gap = f64::from(SECONDS) / f64::from(REQUESTS) * 0.8;
    let requests = |url: &str| {
        format!("for i in $(seq {REQUESTS}); do curl -s -o /dev/null {url}; sleep {gap:.3}; done")
    };
    let inbound = requests(&format!("http://{HOST_ADDRESS}:{PORT}/"));
    let outbound = requests(&format!("http://{}/", others[OTHERS - 1].address()));
    let begin = std::time::Instant::now();
    std::thread::scope(|scope| {
        for pair in others[..2 * PAIRS].chunks(2) {
            let frames = (1500, u64::from(RATE * SECONDS), Some(RATE));
            scope.spawn(move || load::frames(&pair[0], &load::hardware_address(&pair[1]), frames));
        }
        scope.spawn(|| output(Command::new("ip").args(["netns", "exec", CLIENT, "sh", "-c", &inbound])));
        scope.spawn(|| output(&mut web.enter(&["sh", "-c", &outbound])));
    });
    begin.elapsed().as_secs_f64()
}

fn index(veth: &str) -> u32 {
    let text = fs::read_to_string(format!("/sys/class/net/{veth}/ifindex")).expect("an index");
    text.trim().parse().expect("a number")
}

/// Packets of one interface in a file of `tcpdump -i any`.
fn records_at(file: &Path, interface: u32) -> u64 {
    let mut stream = BufReader::with_capacity(1 << 20, File::open(file).expect("a file"));
    let (mut header, mut count) = ([0; 24], 0);
    stream.read_exact(&mut header).expect("a header");
    let mut record = [0; 16];
    while stream.read_exact(&mut record).is_ok() {
        let length = u32::from_le_bytes(record[8..12].try_into().expect("four bytes"));
        let mut packet = vec![0; length as usize];
        stream.read_exact(&mut packet).expect("a packet");
        // The index of the interface in the header of LINKTYPE_LINUX_SLL2.
        let index = u32::from_be_bytes(packet[4..8].try_into().expect("four bytes"));
        count += u64::from(index == interface);
    }
    count
}
