//! Several interfaces marked in Wireshark's list, or several `-i` of tshark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::real::wireshark::window::WindowTest;
use crate::support::desktop::{Desktop, WiresharkVersion};
use crate::support::harness::{Test, tests};
use crate::support::lab::{Container, Lab, end_of, eventually, fifo, output, signal, start};
use crate::support::recording::{fields_of, fields_so_far, requests_so_far};
use crate::support::toolbar_pipes::{PAUSE, Toolbar, ToolbarPipes};
use crate::support::wireshark::WiresharkUser;

pub(crate) const TESTS: &[Test] = tests![
    packets_between_two_marked_containers_are_captured_once,
    a_failed_marked_container_does_not_end_the_others,
    marked_containers_with_different_filters_are_captured_separately,
    marked_captures_end_with_an_error_if_their_leader_is_killed,
    toolbars_of_marked_containers_name_the_controlling_one,
    the_status_bar_names_marked_containers_captured_separately,
];

pub(crate) const WINDOW_TESTS: &[WindowTest] =
    tests![the_window_shows_packets_between_two_marked_containers_once];

/// The interfaces described in a file, which may still be written.
fn interfaces(path: &Path) -> Vec<String> {
    let shown = Command::new("capinfos").arg(path).output().expect("capinfos").stdout;
    let text = String::from_utf8_lossy(&shown).into_owned();
    text.lines().filter_map(|line| Some(line.trim().strip_prefix("Name = ")?.to_owned())).collect()
}

fn eth0(container: &Container) -> String {
    format!("{}:eth0", container.name)
}

/// Waits until both are captured.
fn both_begin(path: &Path, containers: [&Container; 2]) {
    eventually("both are captured", || {
        let known = interfaces(path);
        containers.iter().all(|container| known.contains(&eth0(container)))
    });
}

/// A request from one container to another.
fn request(lab: &Lab, client: &Container, server: &Container) {
    let url = format!("http://{}/", server.address());
    lab.docker(&["exec", &client.name, "wget", "-q", "-O", "/dev/null", &url]);
}

/// The file of a capture of both has each packet once, in one order of time.
fn assert_each_once(path: &Path, [web, client]: [&Container; 2], requests_from_host: usize) {
    let requests = |container: &Container, address: &str| {
        let filter =
            format!("http.request && frame.interface_name == \"{}\" && ip.src {address}", eth0(container));
        fields_of(path, &filter, &["frame.number"]).len()
    };
    assert_eq!(requests(client, &format!("== {}", client.address())), 1, "once, where it was sent");
    assert_eq!(requests(web, &format!("== {}", client.address())), 0);
    for container in [web, client] {
        let from_host = requests(container, &format!("!= {}", client.address()));
        assert_eq!(from_host, requests_from_host, "{}", container.name);
    }
    let twice =
        fields_of(path, "tcp.analysis.retransmission || tcp.analysis.duplicate_ack", &["frame.number"]);
    assert_eq!(twice.len(), 0);
    assert_eq!(fields_of(path, "frame.time_delta < 0", &["frame.number"]).len(), 0, "in one order of time");
}

/// tshark, which captures `interfaces` to a file.
fn tshark(user: &WiresharkUser, arguments: &[&str]) -> (Child, PathBuf) {
    let file = user.home.path().join("out.pcapng");
    let mut tshark = user.runs("tshark");
    let child = start(tshark.arg("-q").args(arguments).arg("-w").arg(&file));
    (child, file)
}

fn packets_between_two_marked_containers_are_captured_once(lab: &Lab) {
    // Two interfaces selected in the list: black "TCP Retransmission" rows and negative times, each packet twice.
    let (web, client) = (lab.container(&[]), lab.container(&[]));
    // Whichever of them comes first.
    for order in [[&web, &client], [&client, &web]] {
        let user = WiresharkUser::new(lab);
        let [first, second] = order.map(Container::interface);
        let (child, file) = tshark(&user, &["-i", &first, "-i", &second]);
        both_begin(&file, order);
        web.fetch(1);
        client.fetch(1);
        request(lab, &client, &web);
        eventually("all requests are there", || requests_so_far(&file) >= 3);
        signal(&child, "INT");
        let ended = end_of(child);
        assert!(ended.status.success());
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!said.contains("extcap"), "{said}");
        eventually("no process is left", || !user.captures());
        assert_each_once(&file, [&web, &client], 1);
    }
}

fn a_failed_marked_container_does_not_end_the_others(lab: &Lab) {
    // Two interfaces selected in the list: a failure of one of them must neither end nor silence the other.
    let web = lab.container(&[]);
    // Its loopback is inside, where this user may not go. Its name comes before that of `web`, or after it.
    for name in [format!("a-{}", web.name), format!("z-{}", web.name)] {
        lab.docker(&["run", "--detach", "--network", "none", "--name", &name, &lab.image]);
        let closed = lab.found(&name);
        let user = WiresharkUser::new(lab);
        let (child, file) = tshark(&user, &["-i", &closed.interface(), "-i", &web.interface()]);
        eventually("the other is captured", || interfaces(&file).contains(&eth0(&web)));
        web.fetch(1);
        eventually("its request is there", || requests_so_far(&file) == 1);
        signal(&child, "INT");
        let ended = end_of(child);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("only root may enter it"), "{name}: {said}");
    }
}

fn marked_containers_with_different_filters_are_captured_separately(lab: &Lab) {
    // Two interfaces selected in the list: black "TCP Retransmission" rows; with a filter of one, it must not hold for both.
    let (web, client) = (lab.container(&[]), lab.container(&[]));
    let user = WiresharkUser::new(lab);
    let (child, file) =
        tshark(&user, &["-i", &web.interface(), "-f", "tcp port 80", "-i", &client.interface(), "-f", "tcp"]);
    both_begin(&file, [&web, &client]);
    assert_eq!(interfaces(&file).len(), 2);
    request(lab, &client, &web);
    // Wireshark takes the second of the two for a retransmission, and shows no request in it.
    let begun = || fields_so_far(&file, "tcp.flags.syn == 1 && tcp.flags.ack == 0", &["frame.number"]).len();
    eventually("its first packet is there in both captures", || begun() == 2);
    signal(&child, "INT");
    assert!(end_of(child).status.success());
}

fn marked_captures_end_with_an_error_if_their_leader_is_killed(lab: &Lab) {
    // Two interfaces selected in the list: where the one process that captures both is killed, no capture may seem to go on.
    let (web, client) = (lab.container(&[]), lab.container(&[]));
    let user = WiresharkUser::new(lab);
    let (child, file) = tshark(&user, &["-i", &client.interface(), "-i", &web.interface()]);
    both_begin(&file, [&web, &client]);
    let described = || interfaces(&file).contains(&client.interface());
    eventually("the other process is a member of the capture", described);
    let leader = format!("{}.*--extcap-interface {} ", user.program.display(), web.interface());
    output(Command::new("pkill").args(["-KILL", "-o", "-f", &leader]));
    let ended = end_of(child);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let expected = format!(
        "the capture of {} has ended: it was captured together with {}, whose process ended unexpectedly",
        client.interface(),
        web.interface()
    );
    assert!(said.contains(&expected), "{said}");
}

/// One of several captures that a program called wireshark has started.
struct MarkedCapture {
    pipes: ToolbarPipes,
    copy: Child,
}

/// Starts captures as Wireshark's window does, which the test is then.
fn side_by_side(lab: &Lab, captures: [(&Container, &str); 2]) -> (Child, [MarkedCapture; 2]) {
    let pipes = captures.map(|_| ToolbarPipes::make());
    let fifos = pipes.each_ref().map(|pipes| fifo(&pipes.folder));
    let wireshark = pipes[0].folder.path().join("wireshark");
    fs::copy("/bin/sh", &wireshark).expect("a shell");
    let started = pipes[0].folder.path().join("started");
    let sides = captures.iter().zip(pipes.iter().zip(&fifos));
    let lines = sides.map(|((container, options), (pipes, fifo))| {
        format!(
            "'{}' --capture --fifo '{}' --extcap-interface '{}' --extcap-control-in '{}' \
             --extcap-control-out '{}' {options} & p=\"$p $!\"\n",
            env!("CARGO_BIN_EXE_containerdump"),
            fifo.display(),
            container.interface(),
            pipes.to_capture.display(),
            pipes.from_capture.display(),
        )
    });
    let lines = lines.collect::<String>();
    let script = format!("p=\n{lines}echo $p >'{}'\ntrap \"kill $p\" TERM\nwait\nwait\n", started.display());
    let mut command = Command::new(&wireshark);
    // The environment of the program, which the shell hands on.
    command.envs(lab.program().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = start(command.env("XDG_CACHE_HOME", "/nonexistent").arg("-c").arg(script));
    // Wireshark starts all of them before it has the first FIFO opened.
    eventually("both are started", || {
        let pids = fs::read_to_string(&started).unwrap_or_default();
        let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        pids.split_whitespace().filter(|pid| name(pid) == "containerdump\n").count() == captures.len()
    });
    let mut sides = pipes.into_iter().zip(fifos).map(|(pipes, fifo)| {
        let copy = start(Command::new("cp").arg(fifo).arg(pipes.folder.path().join("out.pcapng")));
        MarkedCapture { pipes, copy }
    });
    let sides = [sides.next().expect("a capture"), sides.next().expect("a capture")];
    (child, sides)
}

fn end(child: Child, sides: [MarkedCapture; 2]) {
    signal(&child, "TERM");
    let said = end_of(child).stderr;
    assert_eq!(String::from_utf8_lossy(&said), "");
    for side in sides {
        end_of(side.copy);
    }
}

fn toolbars_of_marked_containers_name_the_controlling_one(lab: &Lab) {
    // Two interfaces selected in the list: black "TCP Retransmission" rows and negative times, each packet twice.
    let (web, client) = (lab.container(&[]), lab.container(&[]));
    let (child, sides) = side_by_side(lab, [(&client, ""), (&web, "")]);
    let [mut member, mut leader] = sides.each_ref().map(|side| Toolbar::open(&side.pipes));
    leader.shows("the toolbar has the interfaces of both", |toolbar| {
        [&web, &client].iter().all(|one| toolbar.list.iter().any(|(_, shown)| shown.contains(&one.name)))
    });
    let line = format!("{} is captured together with {}", client.interface(), web.interface());
    member.shows("the status bar says with which it is captured", |toolbar| toolbar.status.contains(&line));
    member.set(PAUSE, "");
    member.shows("a pause is refused", |toolbar| {
        toolbar.warnings.iter().any(|text| text.contains(&format!("select {}", web.interface())))
    });
    end(child, sides);
}

fn the_status_bar_names_marked_containers_captured_separately(lab: &Lab) {
    // Two interfaces selected in the list: black "TCP Retransmission" rows and negative times, each packet twice.
    let (web, client) = (lab.container(&[]), lab.container(&[]));
    let (child, sides) = side_by_side(lab, [(&web, "--snap-length 96"), (&client, "")]);
    for (side, other) in sides.iter().zip([&client, &web]) {
        let mut toolbar = Toolbar::open(&side.pipes);
        toolbar.shows("the status bar says why packets appear twice", |toolbar| {
            toolbar.status.iter().any(|line| {
                line.contains("packets between them appear twice") && line.contains(&other.interface())
            })
        });
        toolbar.shows("the log does, too", |toolbar| toolbar.log.contains(&other.interface()));
    }
    end(child, sides);
}

fn the_window_shows_packets_between_two_marked_containers_once(lab: &Lab, version: WiresharkVersion) {
    // Two interfaces selected in the list: black "TCP Retransmission" rows and negative times, each packet twice.
    let (web, client) = (lab.container(&[]), lab.container(&[]));
    let desk = Desktop::with(lab, version);
    let window = desk.open_several(desk.wireshark(), &[&client, &web], &[]);
    both_begin(&desk.file(), [&web, &client]);
    request(lab, &client, &web);
    let request = || fields_so_far(&desk.file(), "http.request", &["frame.interface_name"]);
    eventually("the request is there", || !request().is_empty());
    assert!(desk.close(window).status.success());
    eventually("no process is left", || !desk.user.captures());
    assert_each_once(&desk.file(), [&web, &client], 0);
}
