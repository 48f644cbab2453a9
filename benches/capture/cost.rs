//! CPU time per packet, or per byte at full rate, beside tcpdump and dumpcap on the same veth, into a FIFO that is read
//! and discarded.

use super::load::Load;
use super::program::{Captured, Program, captured};
use super::reader::ReaderKind;
use crate::measure::figures::{Chart, Csv};
use crate::measure::spread::Spread;
use crate::measure::support::lab::Lab;
use crate::measure::table::{Goals, Table};

/// Rounds: each program in turn under the same load.
const ROUNDS: usize = 5;
const FRAMES: u64 = 150_000;
/// Slow enough for all programs on two shared processors.
const RATE: u32 = 100_000;
const SECONDS: u32 = 2;
const PROGRAMS: [Program; 3] = [Program::Ours, Program::Tcpdump, Program::Dumpcap];
/// Goals beside tcpdump for each load, and beside dumpcap for all.
const LOADS: [(Load, f64); 5] = [
    (frames(64, Some(RATE)), 0.6),
    (frames(500, Some(RATE)), 0.6),
    (frames(1500, Some(RATE)), 0.5),
    (frames(1500, None), 0.5),
    (Load::Tcp { seconds: SECONDS, to: None }, 0.4),
];
const DUMPCAP_GOAL: f64 = 0.3;
const READER_GOAL: f64 = 1.0;
const SENDER_GOAL: f64 = 1.05;

const fn frames(size: usize, rate: Option<u32>) -> Load<'static> {
    Load::Frames { size, count: FRAMES, rate, to: None }
}

/// Runs the loads whose names begin with one of the words after `cost`, or all.
pub(crate) fn run(lab: &Lab) {
    let words = crate::words();
    let words = words.get(1..).unwrap_or_default();
    let container = lab.container(&[]);
    let head = [
        "load",
        "peer",
        "ours",
        "peer's",
        "ratio",
        "goal",
        "met",
        "reader",
        "sender",
        "all",
        "memory, ours",
        "peer's",
        "lost, ours",
        "peer's",
    ];
    let (mut table, mut goals) = (Table::new(&head), Goals::new());
    let mut csv = Csv::new(
        "cost",
        "load,program,round,packets,lost,passed,bytes,capture s,reader s,sender s,memory bytes",
    );
    let (mut names, mut lines) = (Vec::new(), vec![Vec::new(); PROGRAMS.len() - 1]);
    for (load, goal) in &LOADS {
        if !words.is_empty() && !words.iter().any(|word| load.to_string().starts_with(word)) {
            continue;
        }
        let rounds: Vec<Vec<Captured>> = (1..=ROUNDS)
            .map(|number| {
                eprintln!("{load}: round {number} of {ROUNDS} …");
                let capture = |program| captured(lab, &[&container], load, program, &ReaderKind::Discard);
                PROGRAMS.map(capture).into()
            })
            .collect();
        record(&mut csv, load, &rounds);
        names.push(load.to_string());
        for peer in 1..PROGRAMS.len() {
            let goal = if peer == 1 { *goal } else { DUMPCAP_GOAL };
            let ratios = compare(&mut table, load, &rounds, peer, goal);
            lines[peer - 1].push(ratios[0].median);
            goals.at_most(&format!("{load}, beside {}", PROGRAMS[peer]), goal, ratios[0].median, "");
            if peer == 1 {
                goals.at_most(&format!("{load}, reader"), READER_GOAL, ratios[1].median, "");
                goals.at_most(&format!("{load}, sender"), SENDER_GOAL, ratios[2].median, "");
            }
        }
    }
    table.publish("cost");
    println!(
        "\n{ROUNDS} rounds: median (least–most) of the ratios in a round. CPU time of the capture per packet, with"
    );
    println!(
        "iperf3 per byte; reader: of the FIFO, per byte; sender: while ours captures; all: the three together."
    );
    goals.publish("cost-goals");
    csv.save();
    let lines = PROGRAMS[1..].iter().map(|peer| format!("beside {peer}")).zip(lines).collect();
    Chart {
        name: "cost",
        title: "CPU time of a capture, relative to other programs",
        axes: ["load (iperf3: per byte)", "ratio, less is better"],
        values: names,
        lines,
        goal: Some(1.0),
    }
    .save();
}

/// Adds a row. Returns the ratios of capture, reader, sender and all together.
fn compare(table: &mut Table, load: &Load, rounds: &[Vec<Captured>], peer: usize, goal: f64) -> [Spread; 4] {
    let cost = |side: usize| {
        let costs = rounds.iter().map(|round| round[side].costs(load)[0] * 1e9);
        let median = Spread::from_values(costs).median;
        if median < 10.0 { format!("{median:.3} ns") } else { format!("{median:.0} ns") }
    };
    let ratios = [0, 1, 2, 3].map(|part| {
        Spread::from_values(
            rounds.iter().map(|round| round[0].costs(load)[part] / round[peer].costs(load)[part]),
        )
    });
    let memory = |side: usize| {
        let most = rounds.iter().map(|round| round[side].memory).max().unwrap_or_default();
        format!("{} MiB", most >> 20)
    };
    let lost = |side: usize| {
        let lost: u64 = rounds.iter().map(|round| round[side].lost).sum();
        let packets: u64 = rounds.iter().map(|round| round[side].packets).sum();
        format!("{lost} of {}", lost + packets)
    };
    table.row([
        load.to_string(),
        PROGRAMS[peer].to_string(),
        cost(0),
        cost(peer),
        ratios[0].to_string(),
        format!("≤ {goal}"),
        if ratios[0].median <= goal { "yes" } else { "NO" }.to_owned(),
        format!("{:.2}", ratios[1].median),
        format!("{:.2}", ratios[2].median),
        format!("{:.2}", ratios[3].median),
        memory(0),
        memory(peer),
        lost(0),
        lost(peer),
    ]);
    ratios
}

fn record(csv: &mut Csv, load: &Load, rounds: &[Vec<Captured>]) {
    for (number, round) in (1..).zip(rounds) {
        for (program, run) in PROGRAMS.iter().zip(round) {
            let times =
                [run.capture, run.reader, run.sender].map(|time| format!("{:.6}", time.as_secs_f64()));
            let [capture, reader, sender] = times;
            csv.row(&[
                load.to_string(),
                program.to_string(),
                u64::to_string(&number),
                run.packets.to_string(),
                run.lost.to_string(),
                run.passed[0].to_string(),
                run.bytes.to_string(),
                capture,
                reader,
                sender,
                run.memory.to_string(),
            ]);
        }
    }
}
