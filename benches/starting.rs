//! Start-up time: Wireshark starts this program two or three times for each container.
//!
//! Whole processes, compared with Wireshark's sshdump and with curl fetching the same list. A pair is a few starts of
//! both in turn and compares their medians. Goals are for elapsed time, which the user waits for. `tshark -D` is compared
//! with itself without this program.

#[allow(dead_code, reason = "each benchmark uses some of it")]
mod measure;

use std::process::{Command, ExitCode};
use std::time::Duration;

use measure::cost::{self, Cost};
use measure::spread::Spread;
use measure::support::lab::{Container, Lab, folder};
use measure::support::wireshark::WiresharkUser;
use measure::table::{Table, judged};
use measure::{beside_engine, print_setting, sshdump, typed};

/// Pairs of each comparison; the table has the median of their ratios.
const PAIRS: usize = 15;
/// Starts of each side in a pair.
const STARTS: usize = 9;
/// Starts of each side in a pair of tshark, each of which starts this program two times for each container.
const TSHARK_STARTS: usize = 1;
/// Containers of the large list.
const MANY: usize = 100;
/// Containers started at a time.
const START_BATCH: usize = 4;

/// Calls as Wireshark makes them.
const CONFIG: &[&str] = &["--extcap-config", "--extcap-interface"];
const DLTS: &[&str] = &["--extcap-dlts", "--extcap-interface"];
const INTERFACES: &[&str] = &["--extcap-interfaces", "--extcap-version=4.4"];

fn main() -> ExitCode {
    beside_engine(|lab| {
        let mut report = Report::new();
        let sshdump = sshdump();
        let ours = |arguments: &[&str]| {
            let mut command = lab.program();
            command.args(arguments);
            command
        };
        let question = |program: &mut Command, arguments: &[&str], interface: &str| {
            program.args(arguments).arg(interface);
        };
        report.compare("/bin/true, the floor", ours(&[DLTS[0]]), Command::new("/bin/true"), None);
        for (what, arguments) in [("config", CONFIG), ("dlts", DLTS)] {
            let (mut own, mut peer) = (lab.program(), Command::new(&sshdump));
            question(&mut own, arguments, "docker-web");
            question(&mut peer, arguments, "sshdump");
            report.compare(what, own, peer, Some(0.5));
        }
        let mut containers = vec![lab.container(&[])];
        report.compare("interfaces, 1 container", ours(INTERFACES), curl(lab), Some(1.2));
        containers.extend(more(lab, MANY - 1));
        let what = format!("interfaces, {MANY} containers");
        report.compare(&what, ours(INTERFACES), curl(lab), Some(1.2));
        report.compare(&format!("list, {MANY} containers"), ours(&["list"]), curl(lab), Some(1.5));
        let (user, empty) = (WiresharkUser::new(lab), folder());
        let tshark = || {
            let mut tshark = user.tshark();
            tshark.arg("-D");
            tshark
        };
        let mut without = tshark();
        without.env("WIRESHARK_EXTCAP_DIR", empty.path());
        let what = format!("tshark -D, {MANY} containers");
        report.compare_starts(TSHARK_STARTS, &what, tshark(), without, None);
        report.print();
        std::thread::scope(|scope| {
            let each = containers.len().div_ceil(START_BATCH);
            while !containers.is_empty() {
                let some = containers.split_off(containers.len().saturating_sub(each));
                scope.spawn(move || drop(some));
            }
        });
    })
}

struct Report {
    table: Table,
    commands: Vec<String>,
}

impl Report {
    fn new() -> Self {
        let head =
            ["what", "ours", "peer", "ratio, elapsed", "ours, CPU", "peer, CPU", "ratio, CPU", "goal", "met"];
        Self { table: Table::new(&head), commands: Vec::new() }
    }

    fn compare(&mut self, what: &str, ours: Command, peer: Command, goal: Option<f64>) {
        self.compare_starts(STARTS, what, ours, peer, goal);
    }

    fn compare_starts(
        &mut self,
        starts: usize,
        what: &str,
        mut ours: Command,
        mut peer: Command,
        goal: Option<f64>,
    ) {
        eprintln!("{what} …");
        self.commands.push(format!("{what}: {}; {}", typed(&ours), typed(&peer)));
        // The first start of each reads it from disk and is not counted.
        cost::measure_run(&mut ours);
        cost::measure_run(&mut peer);
        let pairs: Vec<[Start; 2]> = (0..PAIRS).map(|_| pair(starts, &mut ours, &mut peer)).collect();
        let milliseconds = |side: usize, of: fn(&Start) -> f64| {
            format!("{:.2} ms", Spread::from_values(pairs.iter().map(|pair| of(&pair[side]))).median * 1e3)
        };
        let ratio =
            |of: fn(&Start) -> f64| Spread::from_values(pairs.iter().map(|pair| of(&pair[0]) / of(&pair[1])));
        let (elapsed, processor) = (ratio(|start| start.elapsed), ratio(|start| start.processor));
        let [goal, met] = judged(&elapsed, goal);
        self.table.row([
            what.to_owned(),
            milliseconds(0, |start| start.elapsed),
            milliseconds(1, |start| start.elapsed),
            elapsed.to_string(),
            milliseconds(0, |start| start.processor),
            milliseconds(1, |start| start.processor),
            processor.to_string(),
            goal,
            met,
        ]);
    }

    fn print(&self) {
        self.table.publish("starting");
        println!(
            "\n{PAIRS} pairs of {STARTS} starts each (tshark {TSHARK_STARTS}): median (least–most) of the pairs. \
             Goals: elapsed; tshark at most 500 ms more than its peer."
        );
        println!("Command lines, ours; peer's:");
        for command in &self.commands {
            println!("    {command}");
        }
        print_setting();
    }
}

/// A start of one side in a pair, in seconds.
struct Start {
    elapsed: f64,
    processor: f64,
}

fn pair(starts: usize, ours: &mut Command, peer: &mut Command) -> [Start; 2] {
    let mut costs: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..starts {
        costs[0].push(cost::measure_run(ours));
        costs[1].push(cost::measure_run(peer));
    }
    costs.map(|costs| {
        let median = |of: fn(&Cost) -> Duration| {
            Spread::from_values(costs.iter().map(|cost| of(cost).as_secs_f64())).median
        };
        Start { elapsed: median(|cost| cost.elapsed), processor: median(|cost| cost.processor) }
    })
}

fn curl(lab: &Lab) -> Command {
    let socket = lab.endpoint.strip_prefix("unix://").expect("an engine on a socket");
    let mut curl = Command::new("curl");
    curl.args(["-s", "--unix-socket", socket, "http://d/containers/json"]);
    curl
}

fn more(lab: &Lab, count: usize) -> Vec<Container> {
    eprintln!("starting {count} containers …");
    let each = |worker: usize| (worker..count).step_by(START_BATCH).map(|_| lab.container(&[])).collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..START_BATCH).map(|worker| scope.spawn(move || each(worker))).collect();
        workers
            .into_iter()
            .flat_map(|worker| -> Vec<Container> { worker.join().expect("containers") })
            .collect()
    })
}
