//! Loss by rate where the reader of the FIFO is slow: Wireshark's dumpcap, and one that writes a file.

use std::path::Path;

use super::load::Load;
use super::program::{Captured, Program, captured};
use super::reader::ReaderKind;
use crate::measure::figures::{Chart, Csv};
use crate::measure::support::lab::{Lab, folder};
use crate::measure::table::Table;

const SIZE: usize = 1500;
/// Frames per second; `None` is as fast as possible.
const RATES: [Option<u32>; 5] = [Some(25_000), Some(50_000), Some(100_000), Some(200_000), None];
/// Frames sent at full rate, about as many as in a second.
const FULL_RATE_COUNT: u64 = 400_000;
/// At other rates, and of the burst.
const SECONDS: u32 = 1;
const BURST_SECONDS: u32 = 2;
const PROGRAMS: [Program; 3] = [Program::Ours, Program::Tcpdump, Program::Dumpcap];

pub(crate) fn run(lab: &Lab) {
    let container = lab.container(&[]);
    // Not `/run` of the sandbox, which is in memory.
    let files = folder();
    let mut table = Table::new(&[
        "reader",
        "load",
        "containerdump",
        "tcpdump -B 65536",
        "dumpcap -B 64",
        "uncounted, ours",
    ]);
    let mut csv = Csv::new("loss", "reader,load,program,packets,lost,passed");
    let frames = RATES.map(|rate| {
        let count = rate.map_or(FULL_RATE_COUNT, |rate| u64::from(rate * SECONDS));
        Load::Frames { size: SIZE, count, rate, to: None }
    });
    let burst = Load::Tcp { seconds: BURST_SECONDS, to: None };
    let path = files.path().join("stream");
    let mut lines = Vec::new();
    for kind in [ReaderKind::Dumpcap(path.clone()), ReaderKind::File(path.clone())] {
        let mut shares = vec![Vec::new(); PROGRAMS.len()];
        for load in frames.iter().chain([&burst]) {
            eprintln!("{load}, reader: {kind} …");
            let runs = PROGRAMS.map(|program| capture(lab, &container, load, program, &kind, &path));
            for (program, run) in PROGRAMS.iter().zip(&runs) {
                let counts = [run.packets, run.lost, run.passed[0]].map(|count| count.to_string());
                csv.row(&[&[kind.to_string(), load.to_string(), program.to_string()][..], &counts].concat());
            }
            let [ours, tcpdump, dumpcap] = [0, 1, 2].map(|side| share(&runs[side]));
            // A few packets of the kernel itself may pass before and after the load.
            let uncounted = runs[0].passed[0].saturating_sub(runs[0].packets + runs[0].lost);
            let cells = [ours, tcpdump, dumpcap].map(|share| format!("{share:.2} %"));
            table.row([&[kind.to_string(), load.to_string()][..], &cells, &[uncounted.to_string()]].concat());
            if matches!(load, Load::Frames { .. }) {
                shares.iter_mut().zip([ours, tcpdump, dumpcap]).for_each(|(line, share)| line.push(share));
            }
        }
        lines.extend(PROGRAMS.iter().map(|program| format!("{program}, {kind}")).zip(shares));
    }
    table.publish("loss");
    println!("\nOne run each: packets lost of those that passed, as counted by the program.");
    csv.save();
    Chart {
        name: "loss",
        title: "Packets of 1500 bytes lost where the reader of the FIFO is slow",
        axes: ["packets per second", "lost, %"],
        values: RATES.iter().map(|rate| rate.map_or("full rate".into(), |rate| rate.to_string())).collect(),
        lines,
        goal: None,
    }
    .save();
}

fn capture(
    lab: &Lab,
    container: &crate::measure::support::lab::Container,
    load: &Load,
    program: Program,
    kind: &ReaderKind,
    path: &Path,
) -> Captured {
    let run = captured(lab, &[container], load, program, kind);
    // The file is as large as the load.
    let _ = std::fs::remove_file(path);
    run
}

/// Percent of the packets.
fn share(run: &Captured) -> f64 {
    let float = |count: u64| f64::from(u32::try_from(count).expect("bounded loads"));
    100.0 * float(run.lost) / float((run.lost + run.packets).max(1))
}
