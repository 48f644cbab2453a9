//! Changes of containers, reported by the watch and compared with docker and podman.

use std::process::Command;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, output};
use crate::support::other_host::OtherHost;
use crate::support::podman::Podman;
use crate::support::watcher::Watcher;

pub(crate) const TESTS: &[Test] = tests![
    watch_reports_containers_that_start_stop_and_restart,
    watch_reports_changed_networks_and_names,
    watch_reports_podman_containers_that_start_and_stop,
    watch_reports_twenty_containers_started_at_once,
    watch_resumes_after_an_engine_was_killed,
    watch_reports_network_namespaces_that_appear_and_disappear,
    the_watch_thread_has_no_capabilities,
];

const NO_ENGINE: &str = "unix:///nonexistent.sock";

fn watcher(lab: &Lab) -> Watcher {
    Watcher::start(&lab.endpoint, NO_ENGINE, "docker")
}

fn watch_reports_containers_that_start_stop_and_restart(lab: &Lab) {
    let before = lab.container(&[]);
    let watcher = watcher(lab);
    watcher.wait(0, "came", &before.id);
    let web = lab.container(&[]);
    let (line, at) = watcher.wait(0, "came", &web.id);
    // Everything needed to add it.
    let expected =
        format!("came docker-{0} {1} {0} bridge={2} pid {3}", web.name, web.id, web.address(), web.pid);
    assert_eq!(line, expected);
    lab.docker(&["restart", "--time", "0", &web.name]);
    let (_, at) = watcher.wait(at, "went", &web.id);
    let (line, at) = watcher.wait(at, "came", &web.id);
    let pid = lab.docker(&["inspect", "--format", "{{.State.Pid}}", &web.name]);
    assert!(line.ends_with(&format!(" pid {pid}")), "{line} {pid}");
    lab.docker(&["kill", &web.name]);
    let (_, at) = watcher.wait(at, "went", &web.id);
    // Another one of that name.
    lab.docker(&["rm", &web.name]);
    lab.docker(&["run", "--detach", "--name", &web.name, &lab.image]);
    let id = lab.docker(&["inspect", "--format", "{{.Id}}", &web.name]);
    let (line, _) = watcher.wait(at, "came", &id);
    assert!(line.starts_with(&format!("came docker-{} {id} ", web.name)), "{line}");
    let told = watcher.told();
    let its = |id: &str| told.iter().filter(|line| line.contains(id)).count();
    assert_eq!((its(&before.id), its(&web.id), its(&id)), (1, 4, 1), "{told:#?}");
}

fn watch_reports_changed_networks_and_names(lab: &Lab) {
    let (network, watcher) = (lab.network(), watcher(lab));
    let web = lab.container(&[]);
    let (_, at) = watcher.wait(0, "came", &web.id);
    lab.docker(&["network", "connect", &network.name, &web.name]);
    let address = web.address_on("eth1");
    let (_, at) = watcher.wait(at, "networks", &format!("{}={address}", network.name));
    lab.docker(&["network", "disconnect", "bridge", &web.name]);
    let (line, at) = watcher.wait(at, "networks", &web.id);
    assert!(!line.contains("bridge="), "{line}");
    let renamed = format!("{}-renamed", web.name);
    lab.docker(&["rename", &web.name, &renamed]);
    let (line, _) = watcher.wait(at, "renamed", &web.id);
    assert!(line.starts_with(&format!("renamed docker-{renamed} {} {renamed} ", web.id)), "{line}");
    lab.docker(&["rename", &renamed, &web.name]);
}

fn watch_reports_podman_containers_that_start_and_stop(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let watcher = Watcher::start(NO_ENGINE, &podman.url, "podman");
    let (network, web) = (podman.network(), podman.container(&[]));
    let id = podman.podman(&["inspect", "--format", "{{.Id}}", &web.name]);
    let (line, at) = watcher.wait(0, "came", &id);
    let expected = format!("came podman-{0} {id} {0} podman={1} pid {2}", web.name, web.address(), web.pid());
    assert_eq!(line, expected);
    podman.podman(&["restart", "--time", "0", &web.name]);
    let (_, at) = watcher.wait(at, "went", &id);
    let (line, at) = watcher.wait(at, "came", &id);
    assert!(line.ends_with(&format!(" pid {}", web.pid())), "{line}");
    podman.podman(&["network", "connect", &network.name, &web.name]);
    let (_, at) = watcher.wait(at, "networks", &format!(" {}=", network.name));
    podman.podman(&["network", "disconnect", &network.name, &web.name]);
    let (line, at) = watcher.wait(at, "networks", &id);
    assert!(!line.contains(&network.name), "{line}");
    podman.podman(&["kill", &web.name]);
    watcher.wait(at, "went", &id);
}

fn watch_reports_twenty_containers_started_at_once(lab: &Lab) {
    let watcher = watcher(lab);
    let containers: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..20).map(|_| scope.spawn(|| lab.container(&[]))).collect();
        starts.into_iter().map(|start| start.join().expect("a container")).collect()
    });
    for container in &containers {
        let (line, _) = watcher.wait(0, "came", &container.id);
        let expected = format!(" bridge={} pid {}", container.address(), container.pid);
        assert!(line.ends_with(&expected), "{line} {expected}");
    }
    let told = watcher.told();
    for container in &containers {
        assert_eq!(told.iter().filter(|line| line.contains(&container.id)).count(), 1, "{told:#?}");
    }
}

fn watch_resumes_after_an_engine_was_killed(lab: &Lab) {
    let host = OtherHost::start(lab);
    let watcher = watcher(&host.lab);
    let (gone, web) = (host.lab.container(&[]), host.lab.container(&[]));
    watcher.wait(0, "came", &gone.id);
    let (_, at) = watcher.wait(0, "came", &web.id);
    host.kill_engine();
    let (_, at) = watcher.wait(at, "lost", "");
    host.start_engine();
    let (_, at) = watcher.wait(at, "back", "");
    watcher.wait(at, "went", &gone.id);
    watcher.wait(at, "went", &web.id);
    host.lab.docker(&["start", &web.name]);
    let (line, _) = watcher.wait(at, "came", &web.id);
    let pid = host.lab.docker(&["inspect", "--format", "{{.State.Pid}}", &web.name]);
    assert!(line.ends_with(&format!(" pid {pid}")), "{line} {pid}");
}

fn watch_reports_network_namespaces_that_appear_and_disappear(_: &Lab) {
    let watcher = Watcher::start(NO_ENGINE, NO_ENGINE, "netns");
    let name = format!("watched-{}", std::process::id());
    output(Command::new("ip").args(["netns", "add", &name]));
    // The peer of its veth distinguishes it.
    let link = format!("w{}", std::process::id());
    output(
        Command::new("ip")
            .args(["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &name]),
    );
    let (_, at) = watcher.wait(0, "came", &format!("netns-{name} "));
    output(Command::new("ip").args(["netns", "delete", &name]));
    watcher.wait(at, "went", "");
}

fn the_watch_thread_has_no_capabilities(lab: &Lab) {
    let watcher = watcher(lab);
    let tasks = format!("/proc/{}/task", watcher.child.id());
    let statuses = || {
        let tasks = std::fs::read_dir(&tasks).expect("its threads").flatten();
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).collect::<Vec<_>>()
    };
    let watching = || statuses().into_iter().find(|status| status.starts_with("Name:\twatch\n"));
    eventually("it watches", || watching().is_some());
    let web = lab.container(&[]);
    watcher.wait(0, "came", &web.id);
    let status = watching().expect("the thread");
    for set in ["CapPrm:\t", "CapEff:\t"] {
        let line = status.lines().find_map(|line| line.strip_prefix(set)).expect(set);
        assert_eq!(line.trim_matches('0'), "", "{set}{line}");
    }
}
