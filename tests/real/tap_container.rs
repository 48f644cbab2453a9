//! Tap containers, made by real engines: what they may do, and that none is ever left behind.

use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use containerdump::container::{self as described, ContainerId, EngineKind, NetworkMode};
use containerdump::endpoint::Endpoint;
use containerdump::engine::TapContainer;
use containerdump::static_program::{Architecture, StaticProgram};
use containerdump::text::Label;
use containerdump::trouble::Trouble;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::Test;
use crate::lab::{Lab, PATIENCE, eventually, folder, output, start};
use crate::podman::Podman;
use crate::tap_packets;

const TESTS: &[Test] = &[
    ("a_tap_container_has_one_right_and_nothing_else", has_one_right),
    ("a_tap_container_of_podmans_has_one_right_and_nothing_else", has_one_right_in_podman),
    ("a_tap_container_ends_with_the_program_that_started_it", ends_when_killed),
    ("a_tap_container_ends_with_its_target", ends_with_its_target),
    ("what_a_tap_container_says_is_kept_with_its_status", says_why),
    ("two_who_import_the_image_at_once_do_no_harm", imported_at_once),
    ("a_tap_container_is_not_listed_and_a_label_alone_hides_nothing", is_not_listed),
    ("a_target_that_is_gone_leaves_nothing", target_is_gone),
];

/// Names the container that another process than the test taps, to be killed.
const CHILD: &str = "CONTAINERDUMP_TESTS_TAP";

/// These tests need the static program as well as the engine.
pub(crate) fn trials(lab: &Result<Lab, String>, in_ci: bool) -> Vec<Trial> {
    let is_built = companion().is_file();
    if !is_built {
        eprintln!(
            "skipped: the tests of tap containers: there is no {}: run make test",
            companion().display()
        );
    }
    let ignored = (lab.is_err() || !is_built) && !in_ci;
    let trial = |(name, test): Test| {
        let lab = lab.clone();
        let run = move || {
            test(&lab.map_err(Failed::from)?);
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(ignored)
    };
    TESTS.iter().chain(tap_packets::TESTS).copied().map(trial).collect()
}

/// Taps a container until this process is killed, if the environment says so.
pub(crate) fn serve_as_child(lab: &Result<Lab, String>) {
    let (Ok(id), Ok(lab)) = (std::env::var(CHILD), lab) else { return };
    let _tap = tap(&docker(lab, &id), &["tap"]).expect("a tap container");
    // The test waits for this word.
    println!("tapped");
    std::thread::sleep(PATIENCE * 2);
}

fn companion() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_containerdump"))
        .with_file_name(format!("containerdump-{}", Architecture::own().expect("a known processor").word()))
}

fn program() -> StaticProgram {
    StaticProgram::at(&companion(), Architecture::own().expect("a known processor")).expect("the companion")
}

pub(crate) fn tap(target: &described::Container, arguments: &[&str]) -> Result<TapContainer, Trouble> {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    TapContainer::start(target, &program(), &arguments, |_| ())
}

pub(crate) fn target(engine: EngineKind, endpoint: Endpoint, id: &str) -> described::Container {
    described::Container {
        engine,
        endpoint,
        id: ContainerId::parse(id).expect("an id"),
        name: Label::new("target"),
        image: Label::default(),
        created: 0,
        project: None,
        mode: NetworkMode::Own,
        networks: Vec::new(),
        value: String::new(),
    }
}

pub(crate) fn socket(url: &str) -> Endpoint {
    Endpoint::Unix(url.strip_prefix("unix://").expect("a socket").into())
}

pub(crate) fn docker(lab: &Lab, id: &str) -> described::Container {
    target(EngineKind::Docker, socket(&lab.endpoint), id)
}

/// The tap containers of a target, running or not, as Docker's client tells.
fn taps_of(lab: &Lab, id: &str) -> Vec<String> {
    let label = format!("label=org.containerdump.target={id}");
    let said = lab.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]);
    said.lines().map(str::to_owned).collect()
}

pub(crate) fn nothing_is_left(lab: &Lab, id: &str) {
    eventually("no tap container is left", || taps_of(lab, id).is_empty());
}

/// What the kernel says of a process that was asked for no more than this.
fn has_nothing_but_one_right(pid: &str, target: &str) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    // 0x2000 is CAP_NET_RAW (include/uapi/linux/capability.h).
    assert!(status.contains("CapBnd:\t0000000000002000"), "{status}");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("its mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).expect("its root");
    assert!(root.split(' ').nth(5).is_some_and(|options| options.starts_with("ro")), "{root}");
    let namespace = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/net")).expect("a namespace").ino();
    assert_eq!(namespace(pid), namespace(target));
}

fn has_one_right(lab: &Lab) {
    let container = lab.container(&[]);
    let tap = tap(&docker(lab, &container.id), &["tap"]).expect("a tap container");
    let ids = taps_of(lab, &container.id);
    assert_eq!(ids.len(), 1, "{ids:?}");
    let told: Value = serde_json::from_str(&lab.docker(&["inspect", &ids[0]])).expect("JSON");
    let (host, config) = (&told[0]["HostConfig"], &told[0]["Config"]);
    assert_eq!(host["CapAdd"], serde_json::json!(["NET_RAW"]));
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges"]));
    assert_eq!(host["LogConfig"]["Type"], "none");
    assert_eq!(host["NetworkMode"], format!("container:{}", container.id));
    assert_eq!(host["PidsLimit"], 64);
    assert!(host["ReadonlyRootfs"] == true && host["AutoRemove"] == true && host["Privileged"] == false);
    assert!(told[0]["Mounts"] == serde_json::json!([]) && host["Binds"].is_null(), "{told}");
    assert!(host["Devices"].as_array().is_none_or(Vec::is_empty), "{told}");
    assert!(config["OpenStdin"] == true && config["StdinOnce"] == true && config["Tty"] == false);
    has_nothing_but_one_right(&told[0]["State"]["Pid"].to_string(), &container.pid);
    let end = tap.end();
    assert_eq!((end.status, end.said.as_str()), (Some(0), ""));
    nothing_is_left(lab, &container.id);
}

fn has_one_right_in_podman(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let container = podman.container(&[]);
    let tell = |format: &str| podman.podman(&["inspect", "--format", format, &container.name]);
    let (id, pid) = (tell("{{.Id}}"), tell("{{.State.Pid}}"));
    let label = format!("label=org.containerdump.target={id}");
    let taps = || podman.podman(&["ps", "--all", "--quiet", "--filter", &label]);
    let tap = tap(&target(EngineKind::Podman, socket(&podman.url), &id), &["tap"]).expect("a tap container");
    let told: Value = serde_json::from_str(&podman.podman(&["inspect", &taps()])).expect("JSON");
    assert_eq!(told[0]["EffectiveCaps"], serde_json::json!(["CAP_NET_RAW"]));
    assert_eq!(told[0]["HostConfig"]["LogConfig"]["Type"], "none");
    assert!(told[0]["HostConfig"]["AutoRemove"] == true && told[0]["Mounts"] == serde_json::json!([]));
    has_nothing_but_one_right(&told[0]["State"]["Pid"].to_string(), &pid);
    let said = output(lab.program().env("CONTAINER_HOST", &podman.url).arg("--extcap-interfaces"));
    assert!(said.contains(&container.name) && !said.contains("containerdump-tap"), "{said}");
    let end = tap.end();
    assert_eq!((end.status, end.said.as_str()), (Some(0), ""));
    eventually("no tap container is left", || taps().is_empty());
}

fn ends_when_killed(lab: &Lab) {
    let container = lab.container(&[]);
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    let mut child = start(child.env(CHILD, &container.id));
    let mut word = [0; 7];
    child.stdout.as_mut().expect("its stdout").read_exact(&mut word).expect("a word");
    assert_eq!((&word, taps_of(lab, &container.id).len()), (b"tapped\n", 1));
    child.kill().expect("a child");
    child.wait().expect("its end");
    nothing_is_left(lab, &container.id);
}

fn ends_with_its_target(lab: &Lab) {
    // With a loopback only, no interface goes away.
    for options in [&[][..], &["--network", "none"]] {
        let container = lab.container(options);
        let tap = tap(&docker(lab, &container.id), &["tap"]).expect("a tap container");
        let mut stream = tap.stream().expect("its stream");
        // It captures once it describes interfaces.
        let mut all = vec![0; 100];
        stream.read_exact(&mut all).expect("a stream");
        lab.docker(&["rm", "--force", &container.name]);
        stream.read_to_end(&mut all).expect("its end");
        nothing_is_left(lab, &container.id);
        let end = tap.end();
        assert_eq!((end.status, end.said.as_str()), (Some(0), ""));
    }
}

fn says_why(lab: &Lab) {
    let container = lab.container(&[]);
    let tap = tap(&docker(lab, &container.id), &["tap", "--interface", "nowhere"]).expect("a tap container");
    let mut all = Vec::new();
    tap.stream().expect("its stream").read_to_end(&mut all).expect("its end");
    let end = tap.end();
    assert_eq!((end.status, all.len()), (Some(1), 0));
    assert!(end.said.as_str().contains("nowhere"), "{end:?}");
    nothing_is_left(lab, &container.id);
}

fn imported_at_once(lab: &Lab) {
    // Another program than that of all other tests: no image of it is there.
    let folder = folder();
    let path = folder.path().join("another");
    let bytes = [std::fs::read(companion()).expect("the companion"), b"another".to_vec()].concat();
    std::fs::write(&path, bytes).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let another =
        StaticProgram::at(&path, Architecture::own().expect("a known processor")).expect("a program");
    let container = lab.container(&[]);
    let target = docker(lab, &container.id);
    let imports = AtomicUsize::new(0);
    let start = || {
        let importing = |_: &str| {
            imports.fetch_add(1, Ordering::Relaxed);
        };
        TapContainer::start(&target, &another, &["tap".to_owned()], importing).expect("a tap container").end()
    };
    std::thread::scope(|scope| {
        let both = [scope.spawn(start), scope.spawn(start)];
        for one in both {
            assert_eq!(one.join().expect("no panic").status, Some(0));
        }
    });
    let before = imports.load(Ordering::Relaxed);
    assert!(before >= 1);
    start();
    assert_eq!(imports.load(Ordering::Relaxed), before, "an image that is there was imported again");
    nothing_is_left(lab, &container.id);
    let label = format!("label=org.containerdump.digest={}", another.digest());
    let images = lab.docker(&["images", "--quiet", "--filter", &label]);
    lab.docker(&[&["rmi", "--force"], &images.lines().collect::<Vec<_>>()[..]].concat());
}

fn is_not_listed(lab: &Lab) {
    let container = lab.container(&[]);
    let tap = tap(&docker(lab, &container.id), &["tap"]).expect("a tap container");
    let label = format!("org.containerdump.target={}", container.id);
    let labels = ["--label", "org.containerdump.tap=1", "--label", &label];
    let stranger = lab.container(&labels);
    let said = output(lab.program().arg("--extcap-interfaces"));
    for name in [&container.name, &stranger.name] {
        assert!(said.contains(&format!("{{value=docker-{name}}}")), "{said}");
    }
    assert_eq!(taps_of(lab, &container.id).len(), 2);
    assert!(!said.contains("containerdump-tap"), "{said}");
    tap.end();
}

fn target_is_gone(lab: &Lab) {
    let container = lab.container(&[]);
    lab.docker(&["kill", &container.name]);
    let trouble = tap(&docker(lab, &container.id), &["tap"]).expect_err("it does not run");
    assert!(trouble.what().as_str().contains("went away"), "{trouble}");
    nothing_is_left(lab, &container.id);
}
