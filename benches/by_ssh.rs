//! Transfer rate and compressed size of packets from a remote host, compared with sshdump and `ssh cat` at the same
//! server.
//!
//! The packets, 1500 bytes each, come from a file: a capture would dominate the measurement. Each program transfers
//! them in turn into a FIFO with the same reader, over links of several speeds. Arguments such as `cargo bench --bench by_ssh -- off on` select values
//! of `--compress` instead of `auto`; `alone` runs no peer, for perf(1).

#[allow(dead_code, reason = "each benchmark uses some of it")]
mod measure;
mod by_ssh {
    pub(crate) mod moved;
    pub(crate) mod replay;
    pub(crate) mod server;
}

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use by_ssh::moved::{COMMANDS, Moved, Program, moved};
use by_ssh::replay;
use by_ssh::server::Server;
use measure::content::{Content, LENGTH};
use measure::figures::{Chart, Csv};
use measure::spread::Spread;
use measure::support::lab::{Lab, folder, output};
use measure::table::Table;
use measure::{beside_engine, print_setting};

/// A link: its name, Mbit/s if it is limited, packets to send, and runs of each program with each content.
struct Link {
    name: &'static str,
    limit: Option<u32>,
    packets: u32,
    rounds: usize,
}

const LINKS: [Link; 3] = [
    Link { name: "loopback", limit: None, packets: 300_000, rounds: 5 },
    Link { name: "1 Gbit/s", limit: Some(1000), packets: 100_000, rounds: 3 },
    Link { name: "100 Mbit/s", limit: Some(100), packets: 20_000, rounds: 3 },
];
/// Values of `--compress`, the default first.
const COMPRESSION_MODES: [&str; 3] = ["auto", "on", "off"];
const PEERS: [Program; 2] = [Program::Sshdump, Program::Cat];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [role, stream, asked @ ..] = words.as_slice()
        && role == "replay"
    {
        replay::say(Path::new(stream), asked.iter().any(|word| word == "--hello"));
        return ExitCode::SUCCESS;
    }
    let mut ours: Vec<Program> = COMPRESSION_MODES
        .into_iter()
        .filter(|value| words.iter().any(|word| word == value))
        .map(Program::Ours)
        .collect();
    if ours.is_empty() {
        ours.push(Program::Ours(COMPRESSION_MODES[0]));
    }
    let peers: &[Program] = if words.iter().any(|word| word == "alone") { &[] } else { &PEERS };
    beside_engine(|lab| {
        let head =
            ["link", "packets", "ours", "MB/s", "wire", "peer", "MB/s", "wire", "ratio", "goal", "met"];
        let (mut table, mut csv) =
            (Table::new(&head), Csv::new("ssh", "link,packets,program,round,MB/s,wire"));
        let mut lines: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for link in &LINKS {
            link.apply();
            for content in [Content::Text, Content::Random] {
                let rounds = transfer(lab, link, content, &[&ours, peers].concat(), &mut csv);
                compare(link, content, (&ours, peers), &rounds, &mut table);
                for (at, program) in ours.iter().chain(peers).enumerate() {
                    let rate = Spread::from_values(rounds.iter().map(|round| round[at].rate())).median;
                    lines.entry(format!("{program}, {content}")).or_default().push(rate);
                }
            }
        }
        table.publish("ssh");
        csv.save();
        let lines = lines
            .into_iter()
            .filter(|(name, _)| !name.starts_with("sshdump"))
            .map(|(name, rates)| (name.replace(" --compress auto", ""), rates))
            .collect();
        Chart {
            name: "ssh",
            title: "Packets transferred from another host",
            axes: ["link", "MB/s"],
            values: LINKS.map(|link| link.name.to_owned()).into(),
            lines,
            goal: None,
        }
        .save();
        println!("\nPackets of {LENGTH} bytes: median (least–most) of the rounds. MB/s: of packets.");
        println!(
            "Wire: bytes on the loopback interface, both ways, for each byte of tcpdump's file. Ratio: of MB/s."
        );
        println!("Command lines:");
        for line in COMMANDS {
            println!("    {line}");
        }
        print_setting();
    })
}

impl Link {
    /// Limits the loopback interface of the sandbox.
    fn apply(&self) {
        if let Some(limit) = self.limit {
            let limit = format!("{limit}mbit");
            let words = ["qdisc", "replace", "dev", "lo", "root", "tbf", "rate", &limit, "burst", "256k"];
            output(Command::new("tc").args(words).args(["latency", "50ms"]));
        }
    }
}

/// Runs all programs in turn, several times.
fn transfer(
    lab: &Lab,
    link: &Link,
    content: Content,
    programs: &[Program],
    csv: &mut Csv,
) -> Vec<Vec<Moved>> {
    let folder = folder();
    eprintln!("{}: writing packets, {content} …", link.name);
    let files = content.write(folder.path(), link.packets);
    let server = Server::start(folder.path(), &files.pcapng);
    let round = |number: usize| {
        let round: Vec<Moved> =
            programs.iter().map(|program| moved(lab, &server, &files, *program)).collect();
        let rates: Vec<String> = round.iter().map(|moved| format!("{:.0}", moved.rate())).collect();
        eprintln!("{content}: round {number} of {}: {} MB/s", link.rounds, rates.join(", "));
        for (program, moved) in programs.iter().zip(&round) {
            csv.row(&[
                link.name.to_owned(),
                content.to_string(),
                program.to_string(),
                number.to_string(),
                format!("{:.1}", moved.rate()),
                format!("{:.3}", moved.wire),
            ]);
        }
        round
    };
    (1..=link.rounds).map(round).collect()
}

fn compare(
    link: &Link,
    content: Content,
    (ours, peers): (&[Program], &[Program]),
    rounds: &[Vec<Moved>],
    table: &mut Table,
) {
    let spread = |of: &dyn Fn(&[Moved]) -> f64| Spread::from_values(rounds.iter().map(|round| of(round)));
    for (at, program) in ours.iter().enumerate() {
        for (peer_at, peer) in (ours.len()..).zip(peers.iter().copied()) {
            let ratio = spread(&|round| round[at].rate() / round[peer_at].rate());
            let goal = match (content, peer) {
                (Content::Text, Program::Sshdump) => 2.0,
                (Content::Random, Program::Sshdump) => 0.95,
                (Content::Text, _) => 1.3,
                (Content::Random, _) if link.limit.is_none() => 1.05,
                // Both fill the link.
                (Content::Random, _) => 0.95,
            };
            table.row([
                link.name.to_owned(),
                content.to_string(),
                program.to_string(),
                format!("{:.0}", spread(&|round| round[at].rate()).median),
                spread(&|round| round[at].wire).to_string(),
                peer.to_string(),
                format!("{:.0}", spread(&|round| round[peer_at].rate()).median),
                spread(&|round| round[peer_at].wire).to_string(),
                ratio.to_string(),
                format!("≥ {goal:.2}"),
                if ratio.median >= goal { "yes" } else { "NO" }.to_owned(),
            ]);
        }
    }
}
