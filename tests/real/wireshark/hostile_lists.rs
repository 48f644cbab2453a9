//! tshark's list with hostile containers, and a FIFO of another user.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use nix::unistd::Uid;
use tempfile::TempDir;

use crate::support::fake_engine::{Answer, Case, FakeEngine, address, alike, hostile};
use crate::support::fifo::Fifo;
use crate::support::harness::{explain, tests, trial};
use crate::support::program::Running;

/// An unprivileged user: as root, Wireshark ignores WIRESHARK_EXTCAP_DIR and permissions are not checked.
const NOBODY: &str = "65534";

type PlainTest = (&'static str, fn());

/// The tests that need tshark, and one that needs root.
pub(crate) fn trials() -> Vec<Trial> {
    const OF_TSHARK: &[PlainTest] = tests![
        tshark_lists_only_containers_despite_hostile_names,
        tshark_lists_an_unreachable_engine,
        tshark_lists_one_entry_if_no_engine_listens_at_a_configured_address,
    ];
    const OF_ROOT: &[PlainTest] = tests![a_fifo_of_another_user_is_not_written_to];
    let mut trials = Vec::new();
    for (tests, tool) in [(OF_TSHARK, "tshark"), (OF_ROOT, "root")] {
        let need = missing(&[tool]).map_or(Ok(()), |missing| Err(format!("needs {missing}")));
        explain("tests with an unprivileged user", &need);
        trials.extend(tests.iter().map(|&(name, test)| trial(name, need.clone(), move |()| test())));
    }
    trials
}

/// The first of `needs` that is missing.
fn missing(needs: &[&str]) -> Option<String> {
    let starts = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    let root = Uid::effective().is_root();
    let lacks = |need: &&&str| if **need == "root" { !root } else { !starts(need) };
    let setpriv = root && !starts("setpriv");
    needs.iter().find(lacks).map(|need| (*need).to_owned()).or_else(|| setpriv.then(|| "setpriv".to_owned()))
}

/// An extcap folder with a copy of the program for all users, and an empty home.
struct ExtcapFolder(TempDir);

impl ExtcapFolder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |path: PathBuf, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the folder is ours");
        };
        for name in ["extcap", "empty", "home"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        // By another process: a file opened for writing cannot be executed (ETXTBSY), also by concurrently forked processes.
        let mut install = Command::new("install");
        install.args(["-m", "0755", env!("CARGO_BIN_EXE_containerdump")]).arg(folder.path().join("extcap"));
        assert!(install.status().expect("install is everywhere").success());
        open(folder.path().join("home"), 0o777);
        open(folder.path().to_owned(), 0o755);
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `program` as an unprivileged user.
    fn command(&self, program: impl Into<PathBuf>) -> Command {
        let program = program.into();
        let mut command = if Uid::effective().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let home = self.path("home");
        command
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("SUDO_UID")
            .env_remove("DOAS_USER")
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("LC_ALL", "C.UTF-8");
        command.current_dir(home).stdin(Stdio::null());
        command
    }

    /// tshark's interfaces with the extcap programs of `folder`, without their numbers, and its messages.
    fn listed_with(&self, folder: &str, docker_host: &str) -> Vec<String> {
        let mut tshark = self.command("tshark");
        tshark.arg("-D").env("WIRESHARK_EXTCAP_DIR", self.path(folder)).env("DOCKER_HOST", docker_host);
        tshark.env("CONTAINERDUMP_ENGINES", "docker");
        let output = tshark.output().expect("tshark starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let said = text(output.stdout) + &text(output.stderr);
        assert!(output.status.success(), "{said}");
        let number = |line: &str| line.split_once(". ").map(|(_, rest)| rest.to_owned());
        said.lines().map(|line| number(line).unwrap_or_else(|| line.to_owned())).collect()
    }

    /// The interfaces that the program adds to tshark's list.
    fn added(&self, docker_host: &str) -> Vec<String> {
        let without = self.listed_with("empty", docker_host);
        let mut with = self.listed_with("extcap", docker_host);
        with.retain(|line| !without.contains(line));
        let before = with.len();
        // Always listed.
        with.retain(|line| line != "containerdump-ssh (Containers on another host (SSH))");
        assert_eq!(before - with.len(), 1, "{with:?}");
        with.sort();
        with
    }
}

/// A line with a safe value and a group's display text.
fn is_group(line: &str) -> bool {
    let Some((value, display)) = line.split_once(" (") else { return false };
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_project = value.starts_with("compose-") && display.starts_with("Compose project ");
    let is_all = value == "docker-all" && display == "All containers (Docker))";
    value.bytes().all(safe) && (is_project || is_all)
}

fn tshark_lists_only_containers_despite_hostile_names() {
    let cases: Vec<Case> = hostile().into_iter().chain(alike()).collect();
    let engine = FakeEngine::running(cases.iter().map(|(described, ..)| described.clone())).with_mode(0o666);
    let mut expected: Vec<String> =
        cases.into_iter().map(|(_, value, display)| format!("{value} ({display})")).collect();
    expected.sort();
    // Compose projects with hostile names are listed as groups.
    let (groups, containers): (Vec<String>, Vec<String>) =
        ExtcapFolder::new().added(&engine.address()).into_iter().partition(|line| is_group(line));
    assert_eq!(containers, expected);
    assert!(groups.len() > 2, "{groups:?}");
    engine.assert_only_allowed_requests();
}

fn tshark_lists_an_unreachable_engine() {
    let installed = ExtcapFolder::new();
    let listed = |reason: &str| [format!("containerdump-docker (Docker: {reason}, double-click for help)")];
    let engine = FakeEngine::answering(Answer::Silence).with_mode(0o000);
    assert_eq!(installed.added(&engine.address()), listed("permission denied"));
    let engine = engine.with_mode(0o666);
    engine.set_list(Answer::Status(500, "}{value=x}{display=y}\ninterface {value=z}{display=z}".to_owned()));
    let words = ")(value=x)(display=y) interface (value=z)(display=z)";
    assert_eq!(installed.added(&engine.address()), listed(words));
}

fn tshark_lists_one_entry_if_no_engine_listens_at_a_configured_address() {
    let installed = ExtcapFolder::new();
    let entry = "containerdump-docker (Docker: no engine is listening, double-click for help)";
    assert_eq!(installed.added(&address(&installed.path("none.sock"))), [entry]);
}

fn a_fifo_of_another_user_is_not_written_to() {
    let (installed, pipe) = (ExtcapFolder::new(), Fifo::new());
    let open = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    open(pipe.folder().to_owned(), 0o755);
    open(pipe.path(), 0o666);
    let mut reader = pipe.reader();
    let mut capture = installed.command(installed.path("extcap/containerdump"));
    capture.args(["--capture", "--extcap-interface", "docker-web", "--fifo"]).arg(pipe.path());
    let complaint = Running::start(&mut capture).ended().complaint();
    assert!(complaint.contains("it belongs to another user"), "{complaint}");
    assert!(reader.is_still_empty());
}
