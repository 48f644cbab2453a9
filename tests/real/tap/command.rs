//! `containerdump tap` in a container's network namespace.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use pcap_parser::Block;
use tempfile::TempDir;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, folder, output, signal};
use crate::support::recording::{each_block, fields_of, statistics_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    tap_packets_match_tcpdump,
    a_tap_writes_interface_blocks_before_the_first_packet,
    a_tap_selects_interfaces_by_name_and_address,
    a_tap_has_no_capabilities_while_it_reads,
    a_tap_ends_on_signals_and_without_its_reader,
    a_tap_reports_errors_in_one_line,
];

/// A running tap with its output.
pub(crate) struct Tap {
    child: Child,
    /// The keepalive input.
    input: Option<ChildStdin>,
    pub(crate) path: PathBuf,
    folder: TempDir,
}

impl Tap {
    /// The program in the network namespace of `container`.
    pub(crate) fn begin(container: &Container, options: &[&str]) -> Self {
        let program = [&[env!("CARGO_BIN_EXE_containerdump"), "tap"][..], options].concat();
        Self::with(container.enter(&program))
    }

    /// Starts the tap by a command and waits until it captures.
    pub(crate) fn with(mut command: Command) -> Self {
        let folder = folder();
        let path = folder.path().join("tap.pcapng");
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.stdout(File::create(&path).expect("a file")).spawn().expect("the program starts");
        eventually("the tap begins", || path.metadata().is_ok_and(|about| about.len() > 200));
        Self { input: child.stdin.take(), child, path, folder }
    }

    /// Sends a keepalive byte.
    fn beat(&mut self) {
        self.input.as_mut().expect("it was not cut").write_all(b".").expect("the tap is there");
    }

    /// Closes the keepalive input and waits for a successful end.
    pub(crate) fn cut(mut self) -> TapOutput {
        self.input = None;
        self.end()
    }

    fn end(self) -> TapOutput {
        let ended = end_of(self.child);
        assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
        TapOutput { path: self.path, folder: self.folder }
    }
}

/// The output of an ended tap.
pub(crate) struct TapOutput {
    pub(crate) path: PathBuf,
    /// Is removed with this value.
    #[expect(dead_code)]
    folder: TempDir,
}

fn tap_packets_match_tcpdump(lab: &Lab) {
    let container = lab.container(&[]);
    let witness = Tcpdump::inside(&container, "eth0", "tcp or icmp");
    let mut tap = Tap::begin(&container, &["--filter", "tcp or icmp"]);
    container.fetch(3);
    witness.settle();
    tap.beat();
    let ended = tap.cut();
    witness.assert_same(&ended.path);
    // epb_flags: 1 inbound, 2 outbound.
    for (filter, direction) in [("dst", "0x00000001"), ("src", "0x00000002")] {
        let filter = format!("ip.{filter} == {}", container.address());
        let rows = fields_of(&ended.path, &filter, &["frame.interface_name", "frame.packet_flags"]);
        assert!(!rows.is_empty() && rows.iter().all(|row| *row == ["eth0", direction]), "{rows:?}");
    }
    let statistics = statistics_of(&ended.path)[&0];
    assert_eq!((statistics.received, statistics.lost), (statistics.packets, 0));
}

fn a_tap_writes_interface_blocks_before_the_first_packet(lab: &Lab) {
    let network = lab.network();
    let container = lab.container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let tap = Tap::begin(&container, &[]);
    container.fetch(1);
    let mut kinds = String::new();
    each_block(&tap.cut().path, |block| {
        kinds.push(match block {
            Block::SectionHeader(_) => 's',
            Block::InterfaceDescription(_) => 'i',
            Block::InterfaceStatistics(_) => 't',
            Block::EnhancedPacket(_) => 'p',
            _ => '?',
        });
    });
    assert!(kinds.starts_with("siitt"), "{kinds}");
    assert!(kinds.contains('p') && kinds.ends_with("tt") && !kinds.contains('?'), "{kinds}");
}

/// Names of the interfaces in a file, by capinfos.
fn interfaces_in(path: &std::path::Path) -> Vec<String> {
    let all = output(Command::new("capinfos").arg(path));
    let names = all.lines().filter_map(|line| line.trim().strip_prefix("Name = "));
    names.map(str::to_owned).collect()
}

fn a_tap_selects_interfaces_by_name_and_address(lab: &Lab) {
    let network = lab.network();
    let container = lab.container(&[]);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    let mac = output(&mut container.enter(&["ip", "-o", "link", "show", "eth1"]));
    let mac = mac.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    for (options, names) in [
        (&[][..], &["eth0", "eth1"][..]),
        (&["--mac", mac], &["eth1"]),
        (&["--interface", "lo"], &["lo"]),
        (&["--skip-missing", "--interface", "lo", "--interface", "eth7"], &["lo"]),
        (&["--mac", mac, "--interface", "eth0", "--interface", "eth1"], &["eth0", "eth1"]),
    ] {
        assert_eq!(interfaces_in(&Tap::begin(&container, options).cut().path), names, "{options:?}");
    }
    let alone = lab.container(&["--network", "none"]);
    assert_eq!(interfaces_in(&Tap::begin(&alone, &[]).cut().path), ["lo"]);
}

fn a_tap_has_no_capabilities_while_it_reads(lab: &Lab) {
    let container = lab.container(&[]);
    let tap = Tap::begin(&container, &[]);
    container.fetch(1);
    crate::support::processes::assert_no_capabilities(tap.child.id());
    crate::support::processes::assert_system_calls_are_restricted(tap.child.id());
    tap.cut();
}

fn a_tap_ends_on_signals_and_without_its_reader(lab: &Lab) {
    let container = lab.container(&[]);
    let busy = || {
        let tap = Tap::begin(&container, &["--filter", "tcp"]);
        container.fetch(2);
        tap
    };
    let whole = |ended: &TapOutput| {
        let statistics = statistics_of(&ended.path)[&0];
        assert!(statistics.packets >= 12 && statistics.written == statistics.packets, "{statistics:?}");
    };
    // The peer closes, sends the end byte, or sends a signal.
    whole(&busy().cut());
    let mut tap = busy();
    tap.input.as_mut().expect("it is there").write_all(&[4]).expect("the tap is there");
    whole(&tap.end());
    for name in ["TERM", "INT"] {
        let tap = busy();
        signal(&tap.child, name);
        whole(&tap.end());
    }
    // The peer falls silent.
    whole(&busy().end());
    // The reader closes.
    let mut tap = container.enter(&[env!("CARGO_BIN_EXE_containerdump"), "tap"]);
    tap.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tap.spawn().expect("the program starts");
    let input = child.stdin.take();
    let mut reader = child.stdout.take().expect("a pipe");
    reader.read_exact(&mut [0; 200]).expect("a header");
    drop(reader);
    assert_eq!(end_of(child).status.code(), Some(0));
    drop(input);
}

fn a_tap_reports_errors_in_one_line(lab: &Lab) {
    let container = lab.container(&[]);
    output(&mut container.enter(&["ip", "link", "add", "nflog", "type", "bridge"]));
    let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let program = [env!("CARGO_BIN_EXE_containerdump"), "tap"];
    for (before, options, why) in [
        (&[][..], &["--interface", "eth7"][..], "no network interface named eth7 exists"),
        (&[], &["--skip-missing", "--interface", "eth7"], "no network interface named eth7 exists"),
        (&[], &["--mac", "02:00:00:00:00:07"], "with the address 02:00:00:00:00:07 exists"),
        (&[], &["--interface", "nflog"], "libpcap uses that name for something else"),
        (&[], &["--filter", "tcp prt 80"], "cannot use capture filter"),
        (&powerless, &[], "no permission to capture"),
    ] {
        let mut command = container.enter(&[before, &program, options].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Output { status, stdout, stderr } = end_of(command.spawn().expect("the program starts"));
        let said = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!((status.code(), stdout.len()), (Some(1), 0), "{said}");
        assert!(said.contains(why) && said.contains(". Remedy: "), "{said}");
        assert_eq!(said.matches('\n').count(), 1, "{said}");
    }
}
