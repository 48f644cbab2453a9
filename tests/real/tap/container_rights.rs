//! Capabilities of tap containers, and their image.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use containerdump::container::EngineKind;
use containerdump::engine::TapContainer;
use containerdump::static_program::{Architecture, StaticProgram};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::real::tap::{container_end, container_stream};
use crate::real::wireshark::toolbar;
use crate::support::harness::{Test, explain, tests, trial};
use crate::support::lab::{Lab, eventually, folder, output};
use crate::support::podman::Podman;
use crate::support::tap_container::{
    assert_no_tap_container, companion, docker, in_podman, socket, tap, taps_of, target,
};

const TESTS: &[Test] = tests![
    a_tap_container_has_only_cap_net_raw,
    a_podman_tap_container_has_only_cap_net_raw,
    concurrent_imports_of_the_tap_image_succeed,
    tap_containers_are_not_listed_and_their_label_alone_hides_nothing,
];

/// The tests that run the static program beside the program under test.
pub(crate) fn trials(lab: &Result<Lab, String>) -> Vec<Trial> {
    let path = companion();
    let is_built = path.is_file().then_some(()).ok_or(format!("no {}: run make test", path.display()));
    explain("tests of tap containers", &is_built);
    let need = is_built.and(lab.clone());
    let all = [TESTS, container_end::TESTS, container_stream::TESTS, toolbar::THROUGH_ENGINE].concat();
    all.into_iter().map(|(name, test)| trial(name, need.clone(), test)).collect()
}

/// Asserts that a process has only CAP_NET_RAW, a read-only root, and the namespace of `target`.
fn assert_only_cap_net_raw(pid: &str, target: &str) {
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

/// The status of threads of this process by name.
fn threads_named(name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
    let all: Vec<String> =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).collect();
    let named: Vec<String> =
        all.into_iter().filter(|status| status.starts_with(&format!("Name:\t{name}\n"))).collect();
    assert!(!named.is_empty());
    named
}

fn has_capabilities(status: &str) -> bool {
    ["CapPrm", "CapEff", "CapInh", "CapAmb"]
        .iter()
        .any(|set| !status.contains(&format!("{set}:\t0000000000000000")))
}

fn a_tap_container_has_only_cap_net_raw(lab: &Lab) {
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
    assert_only_cap_net_raw(&told[0]["State"]["Pid"].to_string(), &container.pid);
    // The threads that forward streams: of root, without capabilities.
    eventually("no thread has a right", || {
        threads_named("tap container").iter().all(|it| !has_capabilities(it))
    });
    let end = tap.end();
    assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""));
    assert_no_tap_container(lab, &container.id);
}

fn a_podman_tap_container_has_only_cap_net_raw(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let container = podman.container(&[]);
    let pid = podman.podman(&["inspect", "--format", "{{.State.Pid}}", &container.name]);
    let (id, taps) = in_podman(&podman, &container.name);
    let tap = tap(&target(EngineKind::Podman, socket(&podman.url), &id), &["tap"]).expect("a tap container");
    let told: Value = serde_json::from_str(&podman.podman(&["inspect", &taps()])).expect("JSON");
    assert_eq!(told[0]["EffectiveCaps"], serde_json::json!(["CAP_NET_RAW"]));
    assert_eq!(told[0]["HostConfig"]["LogConfig"]["Type"], "none");
    assert!(told[0]["HostConfig"]["AutoRemove"] == true && told[0]["Mounts"] == serde_json::json!([]));
    assert_only_cap_net_raw(&told[0]["State"]["Pid"].to_string(), &pid);
    let said = output(
        lab.program()
            .env("CONTAINER_HOST", &podman.url)
            .env_remove("CONTAINERDUMP_ENGINES")
            .arg("--extcap-interfaces"),
    );
    assert!(said.contains(&container.name) && !said.contains("containerdump-tap"), "{said}");
    let end = tap.end();
    assert_eq!((end.status, end.stderr.as_str()), (Some(0), ""));
    eventually("no tap container is left", || taps().is_empty());
}

fn concurrent_imports_of_the_tap_image_succeed(lab: &Lab) {
    // A program different from that of other tests, so that its image is missing.
    let folder = folder();
    let path = folder.path().join("another");
    let bytes = [std::fs::read(companion()).expect("the companion"), b"another".to_vec()].concat();
    std::fs::write(&path, bytes).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    let another =
        StaticProgram::open(&path, Architecture::current().expect("a known processor")).expect("a program");
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
    assert_no_tap_container(lab, &container.id);
    let label = format!("label=org.containerdump.digest={}", another.digest());
    let images = lab.docker(&["images", "--quiet", "--filter", &label]);
    lab.docker(&[&["rmi", "--force"], &images.lines().collect::<Vec<_>>()[..]].concat());
}

fn tap_containers_are_not_listed_and_their_label_alone_hides_nothing(lab: &Lab) {
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
