//! What capturing costs: CPU time beside tcpdump and dumpcap, loss with slow readers, latency, many containers, and a busy
//! host.
//!
//! Each part is a word: `cargo bench --bench capture -- latency` runs one of [`PARTS`], `-- cost 64` one load of `cost`.

#[allow(dead_code, reason = "each benchmark uses some of it")]
mod measure;
mod capture {
    pub(crate) mod between;
    pub(crate) mod busy_host;
    pub(crate) mod cost;
    pub(crate) mod full_rate;
    pub(crate) mod latency;
    pub(crate) mod load;
    pub(crate) mod many;
    pub(crate) mod program;
    pub(crate) mod reader;
    pub(crate) mod slow_readers;
}

use std::process::ExitCode;

use measure::support::lab::Lab;
use measure::{beside_engine, print_setting};

/// A part by its name.
type Part = (&'static str, fn(&Lab));

const PARTS: &[Part] = &[
    ("cost", capture::cost::run),
    ("full-rate", capture::full_rate::run),
    ("between", capture::between::run),
    ("slow-readers", capture::slow_readers::run),
    ("latency", capture::latency::run),
    ("many", capture::many::run),
    ("busy-host", capture::busy_host::run),
];

/// The words of the command line: a part, and what it is to run of it.
fn words() -> Vec<String> {
    std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect()
}

fn main() -> ExitCode {
    let words = words();
    if let Some(word) = words.first()
        && !PARTS.iter().any(|(name, _)| name == word)
    {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        eprintln!("no part '{word}': expected one of {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    beside_engine(|lab| {
        for (name, part) in PARTS {
            if words.first().is_none_or(|word| word == name) {
                println!("\n## {name}");
                part(lab);
            }
        }
        println!("\nCommand lines:");
        for line in capture::program::COMMANDS.iter().chain(capture::load::COMMANDS) {
            println!("    {line}");
        }
        print_setting();
    })
}
