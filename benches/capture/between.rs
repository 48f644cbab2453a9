//! Two captured containers that talk to each other, compared with capturing the sender only.

use super::load::Load;
use super::program::{Captured, Program, captured};
use super::reader::ReaderKind;
use crate::measure::spread::Spread;
use crate::measure::support::lab::{Lab, output};
use crate::measure::table::{Table, judged};

const ROUNDS: usize = 5;
const GOAL: f64 = 1.3;

pub(crate) fn run(lab: &Lab) {
    let [sender, receiver] = [lab.container(&[]), lab.container(&[])];
    // The bridge learns where both are.
    let page = format!("http://{}/", receiver.address());
    output(&mut sender.enter(&["curl", "-s", "-o", "/dev/null", &page]));
    let frames = |size| Load::Frames { size, count: 100_000, rate: Some(100_000), to: Some(&receiver) };
    let loads = [frames(64), frames(1500), Load::Tcp { seconds: 1, to: Some(&receiver) }];
    let mut table =
        Table::new(&["load", "both captured", "sender only", "ratio", "goal", "met", "lost, both", "one"]);
    for load in &loads {
        let pairs: Vec<[Captured; 2]> = (1..=ROUNDS)
            .map(|number| {
                eprintln!("{load}, between two containers: pair {number} of {ROUNDS} …");
                let both = captured(lab, &[&sender, &receiver], load, Program::Ours, &ReaderKind::Discard);
                [both, captured(lab, &[&sender], load, Program::Ours, &ReaderKind::Discard)]
            })
            .collect();
        let ratio =
            Spread::from_values(pairs.iter().map(|[both, one]| both.costs(load)[0] / one.costs(load)[0]));
        let cost = |side: usize| {
            let costs = pairs.iter().map(|pair| pair[side].costs(load)[0] * 1e9);
            format!("{:.3} ns", Spread::from_values(costs).median)
        };
        let lost = |side: usize| pairs.iter().map(|pair| pair[side].lost).sum::<u64>().to_string();
        let [goal, met] = judged(&ratio, Some(GOAL));
        table.row([load.to_string(), cost(0), cost(1), ratio.to_string(), goal, met, lost(0), lost(1)]);
    }
    table.publish("between");
    println!(
        "\n{ROUNDS} pairs. CPU time per recorded packet, with iperf3 per byte of the stream; recorded once."
    );
}
