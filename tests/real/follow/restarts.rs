//! A capture that goes on as containers come and go.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Test;
use crate::support::lab::{Container, Lab, end_of, eventually, fifo, folder, output, signal, start};
use crate::support::recording::{Witness, fields_of, statistics_of};

pub(crate) const TESTS: &[Test] = &[
    ("who_starts_later_joins_a_capture_of_all", who_starts_later_joins),
    ("a_container_that_is_restarted_is_captured_on", restarted_is_captured_on),
    ("a_container_that_is_made_anew_is_captured_on", made_anew_is_captured_on),
    ("a_capture_can_begin_before_its_container", a_capture_can_begin_before_its_container),
    ("a_network_that_is_connected_later_joins", a_network_that_is_connected_later_joins),
    ("who_joins_is_captured_for_every_user", every_user),
    ("in_wireshark_a_capture_goes_on_unless_it_is_to_stop_with_its_container", in_wireshark),
];

/// A capture under way that follows.
pub(crate) struct Following {
    pub(crate) child: Child,
    path: PathBuf,
    folder: TempDir,
}

impl Following {
    pub(crate) fn begin(command: Command, options: &[&str]) -> Self {
        Self::begin_in(folder(), command, options)
    }

    /// The same, with its file in a folder of the user's who captures.
    pub(crate) fn begin_in(folder: TempDir, mut command: Command, options: &[&str]) -> Self {
        let path = folder.path().join("out.pcapng");
        command.arg("capture").args(options).arg("--write").arg(&path);
        let said = std::fs::File::create(folder.path().join("said")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = command.spawn().expect("the program starts");
        // The section header: there may be no interface yet.
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 20));
        Self { child, path, folder }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all interface blocks so far, and what they say.
    pub(crate) fn interfaces(&self) -> Vec<(String, String)> {
        interfaces(&self.path)
    }

    /// Waits for interface blocks of that name.
    pub(crate) fn wait_for(&self, name: &str, blocks: usize) {
        eventually("it joins", || self.interfaces().iter().filter(|(one, _)| one == name).count() == blocks);
    }

    pub(crate) fn stop(self) -> (PathBuf, TempDir) {
        signal(&self.child, "INT");
        let (path, folder, _) = self.end();
        (path, folder)
    }

    /// Waits for its own end, and returns what it said, too.
    pub(crate) fn end(self) -> (PathBuf, TempDir, String) {
        let said = self.said_in_the_end();
        let Self { child, path, folder } = self;
        let ended = end_of(child);
        let said = said();
        assert!(ended.status.success(), "{said}");
        (path, folder, said)
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said_in_the_end()()
    }

    fn said_in_the_end(&self) -> impl Fn() -> String + use<> {
        let path = self.folder.path().join("said");
        move || std::fs::read_to_string(&path).expect("what it said")
    }
}

/// Names and descriptions, as capinfos sees them.
fn interfaces(path: &Path) -> Vec<(String, String)> {
    // A file that is being written may end within a block.
    let shown = Command::new("capinfos").arg(path).output().expect("capinfos");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let of = |what: &str| -> Vec<String> {
        let lines = shown.lines().filter_map(|line| line.trim().strip_prefix(what));
        lines.map(|rest| rest.trim_start_matches([' ', '=']).to_owned()).collect()
    };
    of("Name").into_iter().zip(of("Description")).collect()
}

fn requests(path: &Path) -> Vec<String> {
    fields_of(path, "http.request", &["frame.interface_name"]).concat()
}

fn block(container: &Container) -> String {
    format!("{}:eth0", container.name)
}

/// Packets and bytes of a container's interface are those that a tcpdump beside it has.
fn assert_same(following: Following, container: &Container) {
    let witness = Witness::begin(&container.host_veth("eth0"), "tcp port 80");
    container.fetch(2);
    witness.settle();
    let (path, _folder) = following.stop();
    let (witness, _witness_folder) = witness.stop();
    // A bridge may bring what is for others, also before the witness is there.
    let its_own = format!("ip.addr == {}", container.address());
    let lengths = |path: &Path, filter: &str| fields_of(path, filter, &["frame.len", "tcp.seq_raw"]);
    let ours = format!("{its_own} and frame.interface_name == \"{}\"", block(container));
    assert_eq!(lengths(&path, &ours), lengths(&witness, &its_own), "as in tcpdump");
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
}

fn who_starts_later_joins(lab: &Lab) {
    let label = format!("run={}", std::process::id());
    let first = lab.container(&["--label", &label]);
    let following = Following::begin(lab.program(), &["--label", &label, "-f", "tcp port 80"]);
    following.wait_for(&block(&first), 1);
    let stranger = lab.container(&[]);
    let late = lab.container(&["--label", &label]);
    following.wait_for(&block(&late), 1);
    first.fetch(1);
    stranger.fetch(1);
    assert_same(following, &late);
}

fn restarted_is_captured_on(lab: &Lab) {
    let container = lab.container(&[]);
    let following = Following::begin(lab.program(), &[&container.name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block(&container), 1);
    container.fetch(1);
    lab.docker(&["restart", "--time", "0", &container.name]);
    following.wait_for(&block(&container), 2);
    let again = lab.found(&container.name);
    again.fetch(1);
    let said = following.interfaces();
    assert!(!said[0].1.contains("back after") && said[1].1.contains("; back after "), "{said:?}");
    let (path, _folder) = following.stop();
    let ids = fields_of(&path, "http.request", &["frame.interface_id", "frame.interface_name"]);
    let expected = [["0", &block(&container)], ["1", &block(&container)]];
    assert_eq!(ids, expected.map(|row| row.map(str::to_owned)));
    for (number, one) in statistics_of(&path) {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{number}");
    }
    std::mem::forget(again);
}

fn made_anew_is_captured_on(lab: &Lab) {
    let container = lab.container(&[]);
    let name = container.name.clone();
    let following = Following::begin(lab.program(), &[&name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block(&container), 1);
    drop(container);
    lab.docker(&["run", "--detach", "--name", &name, &lab.image]);
    let anew = lab.found(&name);
    following.wait_for(&block(&anew), 2);
    assert_same(following, &anew);
}

fn a_capture_can_begin_before_its_container(lab: &Lab) {
    let name = format!("later{}", std::process::id());
    let following = Following::begin(lab.program(), &[&name, "--wait", "-f", "tcp port 80"]);
    lab.docker(&["run", "--detach", "--name", &name, &lab.image]);
    let container = lab.found(&name);
    following.wait_for(&block(&container), 1);
    assert_same(following, &container);
}

fn a_network_that_is_connected_later_joins(lab: &Lab) {
    let (network, container) = (lab.network(), lab.container(&[]));
    let following = Following::begin(lab.program(), &[&container.name, "--follow", "-f", "tcp port 80"]);
    following.wait_for(&block(&container), 1);
    lab.docker(&["network", "connect", &network.name, &container.name]);
    following.wait_for(&format!("{}:eth1", container.name), 1);
    let url = format!("http://{}/", container.address_on("eth1"));
    output(Command::new("curl").args(["-s", "-o", "/dev/null", &url]));
    let (path, _folder) = following.stop();
    assert_eq!(requests(&path), [format!("{}:eth1", container.name)]);
    lab.docker(&["network", "disconnect", "--force", &network.name, &container.name]);
}

/// By the opener where there is a right to keep, through the engine where there is none.
fn every_user(lab: &Lab) {
    let programs = crate::real::tap::per_user::Programs::make();
    crate::real::tap::per_user::open_engine(lab);
    for (user, place) in [
        (crate::real::tap::per_user::User::CaptureGroup, "host veth"),
        (crate::real::tap::per_user::User::EngineGroup, "through the engine"),
    ] {
        let name = format!("joins{}-{}", std::process::id(), place.len());
        let folder = folder();
        let path = folder.path().join("out.pcapng");
        let mut command = programs.run_by(user, lab);
        command.args(["capture", &name, "--wait", "-f", "tcp port 80", "--write"]).arg(&path);
        let child = start(&mut command);
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 20));
        lab.docker(&["run", "--detach", "--name", &name, &lab.image]);
        let container = lab.found(&name);
        eventually("it joins", || interfaces(&path).len() == 1);
        container.fetch(1);
        signal(&child, "INT");
        let ended = end_of(child);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(requests(&path), [block(&container)]);
        let described = interfaces(&path).remove(0).1;
        assert!(described.contains(place), "{described}");
    }
}

fn in_wireshark(lab: &Lab) {
    for (options, goes_on) in [(&[][..], true), (&["--stop-with-container", "true"], false)] {
        let container = lab.container(&[]);
        let folder = folder();
        let fifo = fifo(&folder);
        let mut command = lab.program();
        command.args(["--capture", "--extcap-interface", &container.interface(), "--fifo"]);
        let mut child = start(command.arg(&fifo).args(options));
        let path = folder.path().join("copy.pcapng");
        let copy = start(Command::new("cp").arg(&fifo).arg(&path));
        eventually("the capture begins", || interfaces(&path).len() == 1);
        lab.docker(&["restart", "--time", "0", &container.name]);
        if goes_on {
            eventually("it is back", || interfaces(&path).len() == 2);
            assert!(child.try_wait().expect("a child").is_none());
            signal(&child, "TERM");
        }
        assert!(end_of(child).status.success());
        end_of(copy);
        assert_eq!(interfaces(&path).len(), if goes_on { 2 } else { 1 });
    }
}
