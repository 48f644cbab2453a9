//! Packets lost at full rate with default memory.

use super::load::Load;
use super::program::{Captured, Program, captured};
use super::reader::ReaderKind;
use crate::measure::support::lab::Lab;
use crate::measure::table::Goals;

const RUNS: usize = 20;
const SECONDS: u32 = 1;
const MEMORY_MIB: u64 = 128;

pub(crate) fn run(lab: &Lab) {
    let container = lab.container(&[]);
    let load = Load::Tcp { seconds: SECONDS, to: None };
    let runs: Vec<Captured> = (1..=RUNS)
        .map(|number| {
            eprintln!("{load}: run {number} of {RUNS} …");
            captured(lab, &[&container], &load, Program::Ours, &ReaderKind::Discard)
        })
        .collect();
    let lost: u64 = runs.iter().map(|run| run.lost).sum();
    let packets: u64 = runs.iter().map(|run| run.packets + run.lost).sum();
    let with_loss = runs.iter().filter(|run| run.lost > 0).count();
    let memory = runs.iter().map(|run| run.memory >> 20).max().unwrap_or_default();
    let mut goals = Goals::new();
    let measured = format!("{lost} of {packets}, in {with_loss} runs");
    goals.judge(&format!("lost at full rate, {RUNS} runs"), "0".to_owned(), measured, lost == 0);
    let measured = format!("{memory} MiB");
    goals.judge("memory, with the ring", format!("≤ {MEMORY_MIB} MiB"), measured, memory <= MEMORY_MIB);
    goals.publish("full-rate");
}
