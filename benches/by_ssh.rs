//! Transfer rate and compressed size of packets from a remote host, compared with sshdump and `ssh cat` at the same
//! server.
//!
//! The packets, 1500 bytes each, come from a file: a capture would dominate the measurement. Each program transfers
//! them in turn into a FIFO with the same reader. Arguments such as `cargo bench --bench by_ssh -- off on` select values
//! of `--compress` instead of `auto`; `alone` runs no peer, for perf(1).

#[allow(dead_code, reason = "each benchmark uses some of it")]
mod measure;
mod by_ssh {
    pub(crate) mod content;
    pub(crate) mod moved;
    pub(crate) mod replay;
    pub(crate) mod server;
}

use std::path::Path;
use std::process::ExitCode;

use by_ssh::content::{Content, LENGTH, PACKETS};
use by_ssh::moved::{COMMANDS, Moved, Program, moved};
use by_ssh::replay;
use by_ssh::server::Server;
use measure::spread::Spread;
use measure::support::lab::{Lab, folder};
use measure::table::Table;
use measure::{beside_engine, print_setting};

/// Runs of each program with each content.
const ROUNDS: usize = 5;
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
        let head = ["packets", "ours", "MB/s", "wire", "peer", "MB/s", "wire", "ratio", "goal", "met"];
        let mut table = Table::new(&head);
        for content in [Content::Text, Content::Random] {
            compare(lab, content, (&ours, peers), &mut table);
        }
        table.print();
        println!(
            "\n{ROUNDS} rounds of {PACKETS} packets of {LENGTH} bytes each: median (least–most). MB/s: of packets."
        );
        println!(
            "Wire: bytes on the loopback interface, both ways, for each byte of tcpdump's file. Ratio: of MB/s."
        );
        println!("Command lines:");
        for line in COMMANDS {
            println!("    {line}");
        }
        print_setting(&["tshark", "sshd", "tcpdump"]);
    })
}

fn compare(lab: &Lab, content: Content, (ours, peers): (&[Program], &[Program]), table: &mut Table) {
    let folder = folder();
    eprintln!("writing packets, {content} …");
    let files = content.write(folder.path());
    let server = Server::start(folder.path(), &files.pcapng);
    let mut rounds: Vec<Vec<Moved>> = Vec::new();
    for number in 1..=ROUNDS {
        let all = ours.iter().chain(peers);
        rounds.push(all.map(|program| moved(lab, &server, &files, *program)).collect());
        let rates: Vec<String> =
            rounds[number - 1].iter().map(|moved| format!("{:.0}", moved.rate())).collect();
        eprintln!("{content}: round {number} of {ROUNDS}: {} MB/s", rates.join(", "));
    }
    let spread = |of: &dyn Fn(&[Moved]) -> f64| Spread::from_values(rounds.iter().map(|round| of(round)));
    for (at, program) in ours.iter().enumerate() {
        for (peer_at, peer) in (ours.len()..).zip(peers.iter().copied()) {
            let ratio = spread(&|round| round[at].rate() / round[peer_at].rate());
            let goal = match (content, peer) {
                (Content::Text, Program::Sshdump) => 2.0,
                _ => 0.95,
            };
            table.row([
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
