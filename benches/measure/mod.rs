//! How the benchmarks measure: pairs within one run, medians of their ratios, tables.
//!
//! Both sides of a comparison run in turn, A B A B, so that other load affects both. Absolute figures depend on the
//! machine and the moment; ratios less so.

pub(crate) mod content;
pub(crate) mod cost;
pub(crate) mod figures;
pub(crate) mod spread;
#[path = "../../tests/support/mod.rs"]
pub(crate) mod support;
pub(crate) mod table;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use support::lab::{Lab, output};

/// Runs a benchmark with the engine of `make bench`; prints what is missing without one.
pub(crate) fn beside_engine(benchmark: impl FnOnce(&Lab)) -> ExitCode {
    let Ok(lab) = Lab::find() else {
        eprintln!("needs root and a private engine, which `make bench` run as root provides");
        return ExitCode::FAILURE;
    };
    benchmark(&lab);
    ExitCode::SUCCESS
}

/// A command line for display.
pub(crate) fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let program = words[0].rsplit('/').next().unwrap_or_default().to_owned();
    [&[program], &words[1..]].concat().join(" ")
}

/// Prints the machine and the versions of all programs that a benchmark uses, and keeps them in `target/bench`.
pub(crate) fn print_setting() {
    let first_line = |program: &str, option: &str| {
        let output = Command::new(program).arg(option).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.contains(char::is_numeric))?.trim().to_owned();
        Some(
            line.trim_end_matches('.')
                .replace(" (Wireshark)", "")
                .split([',', '('])
                .next()?
                .trim()
                .to_owned(),
        )
    };
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let about = |key: &str| {
        let line = about.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(": ")?.1.to_owned())
    };
    let [model, cache] = ["model name", "cache size"].map(|key| about(key).unwrap_or_default());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = first_line("uname", "-r").unwrap_or_default();
    let own = concat!("containerdump ", env!("CARGO_PKG_VERSION")).to_owned();
    let mut parts = vec![format!("{processors} CPUs ({model}, cache {cache}), Linux {kernel}"), own];
    let programs = ["tshark", "tcpdump", "curl", "trafgen", "iperf3", "dockerd", "valgrind"];
    parts.extend(programs.iter().filter_map(|program| first_line(program, "--version")));
    let text = format!("{}.\n", parts.join("; "));
    print!("\n{text}");
    figures::save("machine.md", &text);
}

/// Wireshark's own extcap program, in Wireshark's folder.
pub(crate) fn sshdump() -> PathBuf {
    let folders = output(Command::new("tshark").args(["-G", "folders"]));
    // The global and the personal folder; their labels differ between versions.
    let of_extcap = folders.lines().filter_map(|line| line.split_once("xtcap path:"));
    let mut programs = of_extcap.map(|(_, folder)| PathBuf::from(folder.trim()).join("sshdump"));
    programs.find(|path| path.exists()).expect("sshdump, of the package wireshark-common")
}
