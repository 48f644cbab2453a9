//! Instructions of the hot paths, counted by callgrind and compared with the committed figures in
//! `benches/instructions.txt`. Unlike times, they do not depend on the load of the machine.
//!
//! `cargo bench --bench instructions` compares; with `-- --update` it writes new figures. Needs valgrind, but neither
//! root nor an engine.

#[allow(dead_code, reason = "each benchmark uses some of it")]
mod measure;
mod instructions {
    pub(crate) mod paths;
    pub(crate) mod ring;
}

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs, thread};

use instructions::paths::{PATHS, Prepared, run};
use measure::support::lab::{folder, output};
use measure::table::Table;

/// A difference that is reported: another processor or C library takes other copies of `memcpy`.
const TOLERANCE: f64 = 0.05;
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// The argument that makes this program run one path.
const RUN: &str = "run";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [role, path, times, folder] = words.as_slice()
        && role == RUN
    {
        run(path, times.parse().expect("a number"), Path::new(folder));
        return ExitCode::SUCCESS;
    }
    let measured = measure_all();
    if words.iter().any(|word| word == "--update") {
        fs::write(FIGURES, written(&measured)).expect("the figures are written");
        return ExitCode::SUCCESS;
    }
    let committed = fs::read_to_string(FIGURES).unwrap_or_default();
    let worst = compare(&measured, &committed);
    if worst {
        println!(
            "\nA path differs by more than {:.0} %. If that is intended or the compiler is",
            TOLERANCE * 1e2
        );
        println!("another one, commit new figures: make bench-check UPDATE=1");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Instructions for one unit of each path.
fn measure_all() -> BTreeMap<&'static str, f64> {
    let folder = folder();
    let prepared = Prepared::write(folder.path());
    let each = |(path, units): &(&'static str, f64)| {
        // What both runs do once, such as starting, cancels out.
        let [less, more] = [1, 2].map(|times| counted(path, times, &prepared, folder.path()));
        (*path, (more - less) / units)
    };
    thread::scope(|scope| {
        let half = PATHS.len().div_ceil(2);
        let workers: Vec<_> = PATHS
            .chunks(half)
            .map(|some| scope.spawn(move || some.iter().map(each).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("counts")).collect()
    })
}

/// All instructions of a run.
fn counted(path: &str, times: u32, prepared: &Prepared, folder: &Path) -> f64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(env::current_exe().expect("this program")).args([RUN, path, &times.to_string()]).arg(folder);
    command.env("DOCKER_HOST", prepared.engine()).env("CONTAINERDUMP_ENGINES", "docker");
    let ended = command.stdin(Stdio::null()).output().expect("valgrind, of the package of that name");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")).expect("a count").1;
    collected.trim().parse().expect("a number")
}

/// The figures as committed: comments, then a path and its instructions in each line.
fn written(measured: &BTreeMap<&str, f64>) -> String {
    let mut text = format!("# Instructions per unit, see benches/instructions.rs. {}\n", compiler());
    for (path, count) in measured {
        writeln!(text, "{path} {count:.1}").expect("memory");
    }
    text
}

fn compiler() -> String {
    let version = output(Command::new("rustc").arg("--version"));
    format!("{}, {}", version.split(" (").next().unwrap_or_default(), env::consts::ARCH)
}

/// Prints both; returns whether one differs by more than the tolerance.
fn compare(measured: &BTreeMap<&str, f64>, committed: &str) -> bool {
    let known: BTreeMap<&str, f64> = committed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(path, count)| Some((path, count.parse().ok()?)))
        .collect();
    let mut table = Table::new(&["path", "instructions", "committed", "difference", "within"]);
    let mut differs = false;
    for (path, count) in measured {
        let before = known.get(path).copied();
        let change = before.map_or(f64::INFINITY, |before| count / before - 1.0);
        let within = change.abs() <= TOLERANCE;
        differs |= !within;
        table.row([
            (*path).to_owned(),
            format!("{count:.1}"),
            before.map_or_else(|| "none".to_owned(), |before| format!("{before:.1}")),
            format!("{:+.1} %", change * 1e2),
            if within { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    table.publish("instructions");
    let made = committed.lines().next().and_then(|line| line.split_once(". ")).unwrap_or_default().1;
    println!("\nCommitted with {made}; this is {}.", compiler());
    differs
}
