//! CPU time per captured packet, and packet loss, compared with tcpdump on the same veth, into a FIFO that is drained.
//!
//! Both capture the same load in turn, several times. CPU time is user and system time.

#[allow(dead_code, reason = "each benchmark uses some of it")]
mod measure;
mod reading {
    pub(crate) mod capture;
    pub(crate) mod drain;
    pub(crate) mod load;
}

use std::process::ExitCode;

use measure::spread::Spread;
use measure::support::lab::{Container, Lab};
use measure::table::{Table, judged};
use measure::{beside_engine, print_setting};
use reading::capture::{Captured, Program, captured};
use reading::load::Load;

/// Runs of each program under each load.
const PAIRS: usize = 5;
const GOAL: f64 = 1.0;

fn main() -> ExitCode {
    beside_engine(|lab| {
        let container = lab.container(&[]);
        let mut report = Report::new();
        let same_ring = Program::Tcpdump { ring_kib: Some(65_536) };
        let comparisons = [
            (Load::Frames { size: 64 }, &same_ring, Some(GOAL)),
            (Load::Frames { size: 1500 }, &same_ring, Some(GOAL)),
            (Load::FullRate, &same_ring, Some(GOAL)),
            (Load::FullRate, &Program::Tcpdump { ring_kib: None }, None),
        ];
        for (load, peer, goal) in comparisons.iter().filter(|(load, ..)| wanted(load)) {
            report.compare(lab, &container, load, peer, *goal);
        }
        report.print();
    })
}

/// Whether a load is named on the command line, as in `cargo bench --bench reading -- 64`, or none is.
fn wanted(load: &Load) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| load.to_string().starts_with(&word))
}

struct Report {
    table: Table,
    notes: Vec<String>,
    lost_at_full_rate: u64,
}

impl Report {
    fn new() -> Self {
        let head = [
            "load",
            "peer",
            "ours",
            "peer's",
            "ratio",
            "a byte",
            "goal",
            "met",
            "lost, ours",
            "lost, peer",
            "sender",
        ];
        Self { table: Table::new(&head), notes: Vec::new(), lost_at_full_rate: 0 }
    }

    fn compare(&mut self, lab: &Lab, container: &Container, load: &Load, peer: &Program, goal: Option<f64>) {
        let pairs: Vec<[Captured; 2]> = (0..PAIRS)
            .map(|number| {
                eprintln!("{load}, beside {peer}: pair {} of {PAIRS} …", number + 1);
                [captured(lab, container, load, &Program::Ours), captured(lab, container, load, peer)]
            })
            .collect();
        let median = |of: &dyn Fn(&[Captured; 2]) -> f64| Spread::from_values(pairs.iter().map(of));
        let ratio = median(&|[ours, peer]| ours.per_packet() / peer.per_packet());
        let by_byte = median(&|[ours, peer]| ours.per_byte() / peer.per_byte());
        // At full rate each run makes frames of another size, 30 to 45 kB in the mean.
        let judged_by = if matches!(load, Load::FullRate) { &by_byte } else { &ratio };
        // The cost for the sender: the kernel fills the ring in the sender's system time.
        let sender = median(&|[ours, peer]| ours.sender_per_packet() / peer.sender_per_packet());
        let lost = |side: usize| {
            let (lost, seen) = pairs.iter().fold((0, 0), |(lost, seen), pair| {
                (lost + pair[side].lost, seen + pair[side].lost + pair[side].packets)
            });
            (lost, format!("{lost} of {seen}"))
        };
        if matches!(load, Load::FullRate) {
            self.lost_at_full_rate += lost(0).0;
        }
        let [goal, met] = judged(judged_by, goal);
        self.table.row([
            load.to_string(),
            peer.to_string(),
            format!("{:.0} ns", median(&|[ours, _]| ours.per_packet()).median * 1e9),
            format!("{:.0} ns", median(&|[_, peer]| peer.per_packet()).median * 1e9),
            ratio.to_string(),
            by_byte.to_string(),
            goal,
            met,
            lost(0).1,
            lost(1).1,
            sender.to_string(),
        ]);
        for (number, pair) in pairs.iter().enumerate() {
            self.notes.push(format!("{load} {}: {}; {peer}: {}", number + 1, pair[0], pair[1]));
        }
    }

    fn print(&self) {
        self.table.print();
        println!(
            "\n{PAIRS} pairs: median (least–most). Time of processors per captured packet; sender: what"
        );
        println!("sending a packet costs while ours captures, against while the peer does. At full rate the");
        println!("ratio for a byte is judged: the senders' frames differ in size from run to run.");
        let met = if self.lost_at_full_rate == 0 { "met" } else { "NOT met" };
        println!("Goal, no packet lost at full rate with default settings: {met}.");
        println!("Each run (packets on the veth are counted by the veth itself):");
        for note in &self.notes {
            println!("    {note}");
        }
        println!("Command lines:");
        for line in reading::capture::COMMANDS.iter().chain(reading::load::COMMANDS) {
            println!("    {line}");
        }
        print_setting(&["tcpdump", "trafgen", "iperf3", "dockerd"]);
    }
}
