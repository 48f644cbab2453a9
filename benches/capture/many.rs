//! CPU time and memory by number of captured containers, idle and with one in ten busy.

use std::time::{Duration, Instant};

use super::program::Program;
use super::reader::{Reader, ReaderKind};
use crate::measure::cost;
use crate::measure::figures::{Chart, Csv};
use crate::measure::support::lab::{Container, Lab, fifo, folder};
use crate::measure::support::processes::{children, memory};
use crate::measure::support::traffic::send_to_closed_ports;
use crate::measure::table::{Goals, Table};

const NUMBERS: [usize; 4] = [1, 10, 50, 200];
/// Containers are started at the same time: an engine mostly waits for disks.
const START_BATCH: usize = 8;
const MEASURED: Duration = Duration::from_secs(5);
/// After a start, engines and new links still send a few packets.
const SETTLE: Duration = Duration::from_secs(2);
/// Packets per second to each busy container.
const RATE: u32 = 1000;
const IDLE_GOAL: f64 = 1.0;
const MEMORY_GOAL_MIB: f64 = 160.0;

/// Percent of one CPU, and MiB of all processes of a capture: their own, and of rings.
struct Measured {
    idle: f64,
    busy: f64,
    memory: [f64; 2],
    sent: u32,
    lost: u64,
}

pub(crate) fn run(lab: &Lab) {
    let network = lab.network_with(&["--subnet", "198.18.80.0/22"]);
    let mut containers: Vec<Container> = Vec::new();
    let mut table = Table::new(&[
        "containers",
        "idle, % of a CPU",
        "one in ten busy",
        "packets per second",
        "lost",
        "own memory",
        "rings",
    ]);
    let mut csv = Csv::new("many", "containers,idle %,busy %,sent,lost,own MiB,rings MiB");
    let mut all = Vec::new();
    for number in NUMBERS {
        let missing = number - containers.len();
        eprintln!("{number} containers: starting {missing} …");
        containers.extend(started(lab, missing, &network.name));
        let measured = measure(lab, &containers);
        let [own, rings] = measured.memory;
        table.row([
            number.to_string(),
            format!("{:.2}", measured.idle),
            format!("{:.2}", measured.busy),
            format!("{:.0}", f64::from(measured.sent) / MEASURED.as_secs_f64()),
            measured.lost.to_string(),
            format!("{own:.0} MiB"),
            format!("{rings:.0} MiB"),
        ]);
        let cells =
            [measured.idle, measured.busy, f64::from(measured.sent)].map(|value| format!("{value:.3}"));
        csv.row(
            &[
                &[number.to_string()][..],
                &cells,
                &[measured.lost.to_string(), format!("{own:.1}"), format!("{rings:.1}")],
            ]
            .concat(),
        );
        all.push(measured);
    }
    table.publish("many");
    csv.save();
    let (mut goals, last) = (Goals::new(), &all[all.len() - 1]);
    goals.at_most("200 containers idle", IDLE_GOAL, last.idle, " %");
    goals.at_most("memory of 200 containers, with rings", MEMORY_GOAL_MIB, last.memory.iter().sum(), " MiB");
    goals.publish("many-goals");
    let line = |name: &str, of: fn(&Measured) -> f64| (name.to_owned(), all.iter().map(of).collect());
    let values = || NUMBERS.map(|number| number.to_string()).into();
    Chart {
        name: "many-cpu",
        title: "CPU time of a capture of many containers",
        axes: ["containers", "% of one CPU"],
        values: values(),
        lines: vec![line("idle", |one| one.idle), line("one in ten busy", |one| one.busy)],
        goal: None,
    }
    .save();
    Chart {
        name: "many-memory",
        title: "Memory of a capture of many containers",
        axes: ["containers", "MiB"],
        values: values(),
        lines: vec![line("own", |one| one.memory[0]), line("rings", |one| one.memory[1])],
        goal: None,
    }
    .save();
    remove(lab, &containers);
}

fn measure(lab: &Lab, containers: &[Container]) -> Measured {
    let folder = folder();
    let fifo = fifo(&folder);
    let reader = Reader::start(&fifo, &ReaderKind::File(folder.path().join("stream")));
    let captured: Vec<&Container> = containers.iter().collect();
    let running = Program::Ours.start(lab, &captured, &fifo);
    std::thread::sleep(SETTLE);
    let pid = running.child.id();
    let (idle, ()) = cpu_while(pid, || std::thread::sleep(MEASURED));
    let busy = &containers[..containers.len().div_ceil(10)];
    let (busy, sent) = cpu_while(pid, || send_to_closed_ports(busy, RATE, MEASURED));
    reader.wait_until_quiet();
    let (mut own, mut rings) = (0, 0);
    for process in tree(pid) {
        let (more, of_rings) = memory(process);
        (own, rings) = (own + more, rings + of_rings);
    }
    let memory = [own, rings].map(|kib| f64::from(u32::try_from(kib).expect("few")) / 1024.0);
    let (_, lost) = running.stop(reader);
    Measured { idle, busy, memory, sent, lost }
}

/// A process and its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let below = children(pid).into_iter().flat_map(tree);
    std::iter::once(pid).chain(below).collect()
}

/// Percent of a CPU that a capture takes, with its descendants, while `work` runs, and its result.
fn cpu_while<T>(pid: u32, work: impl FnOnce() -> T) -> (f64, T) {
    let processes = tree(pid);
    let cpu = || processes.iter().map(|process| cost::of_process(*process)).sum::<Duration>();
    let (before, begin) = (cpu(), Instant::now());
    let result = work();
    (100.0 * cpu().saturating_sub(before).as_secs_f64() / begin.elapsed().as_secs_f64(), result)
}

fn started(lab: &Lab, count: usize, network: &str) -> Vec<Container> {
    std::thread::scope(|scope| {
        let start = |worker: usize| {
            let share = (worker..count).step_by(START_BATCH);
            share.map(|_| lab.container(&["--network", network])).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..START_BATCH).map(|worker| scope.spawn(move || start(worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("containers")).collect()
    })
}

/// Removes all by one command, which is faster.
fn remove(lab: &Lab, containers: &[Container]) {
    let names = containers.iter().map(|container| container.name.as_str());
    lab.docker(&["rm", "--force"].into_iter().chain(names).collect::<Vec<_>>());
}
