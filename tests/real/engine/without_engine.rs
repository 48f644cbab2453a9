//! Containers found in the kernel without their engine, and not listed twice with it.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::harness::{Test, tests};
use crate::support::lab::{Lab, eventually, folder, output};
use crate::support::list_output::{listed, only};
use crate::support::namespaces::{Process, UserNamespaceProgram, ip};
use crate::support::podman::{Podman, PodmanResource};
use crate::support::recording::{Recording, assert_same, fields_of};
use crate::support::tcpdump::Tcpdump;

pub(crate) const TESTS: &[Test] = tests![
    podman_containers_are_found_without_its_service,
    a_pod_is_found_without_its_engine_and_lists_all_members,
    a_rootless_container_is_captured_by_its_owner_without_a_service,
    containers_of_an_inaccessible_docker_are_found,
    lxc_containers_are_listed_by_name,
    containers_of_an_engine_are_not_listed_again_by_the_kernel,
];

/// The program without any engine.
fn alone(lab: &Lab) -> Command {
    let mut program = lab.program();
    program.env("CONTAINERDUMP_ENGINES", "netns");
    program
}

fn frames(path: &std::path::Path, filter: &str) -> Vec<Vec<String>> {
    let mut frames = fields_of(path, filter, &["frame.len", "ip.src", "ip.dst", "ip.id", "ip.proto"]);
    frames.sort();
    frames
}

fn podman_containers_are_found_without_its_service(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let network = podman.network();
    let one = podman.container(&["--network", &network.name]);
    let id = podman.podman(&["inspect", "--format", "{{.Id}}", &one.name]);
    let value = format!("netns-{}", one.name);
    let interfaces = output(alone(lab).arg("--extcap-interfaces"));
    let line = format!("interface {{value={value}}}{{display={} · podman: httpd}}", one.name);
    assert_eq!(interfaces.lines().filter(|it| **it == line).count(), 1, "{line} in {interfaces}");
    let (objects, _) = listed(alone(lab));
    let object = only(&objects, "id", &id);
    assert_eq!([&object["engine"], &object["interface"]], ["netns", value.as_str()], "{object}");
    assert_eq!(object["attachments"][0]["host_veth"], one.host_veth(), "{object}");
    let witness = Tcpdump::begin(&one.host_veth(), "tcp");
    let recording = Recording::begin_with(alone(lab), &[&id[..12]], &["--filter", "tcp"]);
    one.fetch();
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let seen = frames(&recorded.path, "tcp");
    assert!(seen.len() > 5 && seen == frames(&witness, "tcp"), "{seen:?}");
    let rows = recorded.fields("http.request", &["frame.interface_name", "frame.packet_flags_direction"]);
    assert_eq!(rows, [[format!("{}:eth0", one.name), "0x00000001".to_owned()]]);
}

fn a_pod_is_found_without_its_engine_and_lists_all_members(lab: &Lab) {
    let podman = Podman::rootful(lab);
    let pod = podman.pod();
    let members = [
        podman.container(&["--pod", &pod.name]),
        podman.container(&["--pod", &pod.name, "--entrypoint", "/bin/yes"]),
    ];
    let infra = podman.podman(&["pod", "inspect", "--format", "{{.InfraContainerID}}", &pod.name]);
    let (objects, _) = listed(alone(lab));
    let object = only(&objects, "id", &infra);
    let name = object["name"].as_str().expect("a name").to_owned();
    for member in &members {
        assert!(!objects.iter().any(|object| object["name"] == member.name.as_str()), "{objects:?}");
    }
    // By the name of the pod or of a member.
    for wanted in [&name, &members[0].name] {
        let recording = Recording::begin_with(alone(lab), &[wanted], &["--filter", "tcp"]);
        members[0].fetch();
        let recorded = recording.stop();
        let rows = recorded.fields("http.request", &["frame.interface_name", "frame.interface_description"]);
        assert!(rows.len() == 1 && rows[0][0] == format!("{name}:eth0"), "{rows:?}");
        for member in &members {
            assert!(rows[0][1].contains(&member.name), "{rows:?}");
        }
    }
}

fn a_rootless_container_is_captured_by_its_owner_without_a_service(lab: &Lab) {
    const FILTER: &str = "icmp and host 10.0.2.2";
    let podman = Podman::rootless(lab);
    let container = podman.container(&[]);
    let owner = UserNamespaceProgram::new(4242);
    let value = format!("netns-{}", container.name);
    let (objects, _) = listed(owner.program());
    let object = only(&objects, "interface", &value);
    assert_eq!(object["attachments"][0]["interface"], "tap0", "{object}");
    let pid = podman.podman(&["inspect", "--format", "{{.State.Pid}}", &container.name]);
    let inside = |command: &str| {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--net", "--target", &pid, command]);
        nsenter
    };
    let witness = Tcpdump::with(inside("tcpdump"), "tap0", FILTER);
    let recording = Recording::begin_with(owner.program(), &[&value], &["--filter", FILTER]);
    output(inside("busybox").args(["ping", "-c", "3", "10.0.2.2"]));
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    assert_eq!(frames(&recorded.path, "icmp").len(), 6);
    assert_same(&recorded.path, &witness);
}

fn containers_of_an_inaccessible_docker_are_found(lab: &Lab) {
    let container = lab.container(&[]);
    let user = UserNamespaceProgram::new(4343);
    let mut program = user.program();
    program.env("DOCKER_HOST", &lab.endpoint).env("CONTAINERDUMP_ENGINES", "docker,netns");
    let interfaces = output(program.arg("--extcap-interfaces"));
    let short = &container.id[..12];
    for line in [
        format!("interface {{value=netns-{short}}}{{display={short} · docker: httpd}}"),
        "interface {value=containerdump-docker}{display=Docker: permission denied, double-click for help}"
            .to_owned(),
    ] {
        assert_eq!(interfaces.lines().filter(|it| **it == line).count(), 1, "{line} in {interfaces}");
    }
    let (objects, said) = listed({
        let mut program = user.program();
        program.env("DOCKER_HOST", &lab.endpoint).env("CONTAINERDUMP_ENGINES", "docker,netns");
        program
    });
    assert_eq!(
        only(&objects, "id", &container.id)["attachments"][0]["host_veth"],
        container.host_veth("eth0")
    );
    assert!(said.contains("permission denied"), "{said}");
    let witness = Tcpdump::begin(&container.host_veth("eth0"), "tcp");
    let recording = Recording::begin_with(alone(lab), &[&format!("netns-{short}")], &["--filter", "tcp"]);
    container.fetch(2);
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let seen = frames(&recorded.path, "tcp");
    assert!(seen.len() > 10 && seen == frames(&witness, "tcp"), "{seen:?}");
}

/// An LXC container with this machine's busybox.
struct LxcContainer {
    name: String,
    folder: TempDir,
    #[expect(dead_code)]
    monitor: Process,
}

impl LxcContainer {
    /// Its address is 203.0.113.2; this host's is 203.0.113.1, at bridge `lxc-lab`.
    fn start() -> Self {
        let (name, folder) = (format!("box{}", std::process::id()), folder());
        let root = folder.path().join("root");
        for part in ["bin", "dev", "proc", "sys"] {
            std::fs::create_dir_all(root.join(part)).expect("a folder");
        }
        let busybox = output(Command::new("which").arg("busybox"));
        std::fs::copy(busybox, root.join("bin/busybox")).expect("a copy");
        symlink("busybox", root.join("bin/sleep")).expect("a link");
        ip(&["link", "add", "lxc-lab", "type", "bridge"]);
        ip(&["address", "add", "203.0.113.1/24", "dev", "lxc-lab"]);
        ip(&["link", "set", "lxc-lab", "up"]);
        let settings = [
            format!("lxc.rootfs.path = dir:{}", root.display()),
            "lxc.console.path = none\nlxc.tty.max = 0\nlxc.autodev = 0\nlxc.init.cmd = /bin/sleep 9999"
                .to_owned(),
            "lxc.net.0.type = veth\nlxc.net.0.link = lxc-lab\nlxc.net.0.flags = up".to_owned(),
            "lxc.net.0.ipv4.address = 203.0.113.2/24\n".to_owned(),
        ];
        let path = folder.path().join("settings");
        std::fs::write(&path, settings.join("\n")).expect("a file");
        let mut lxc = Command::new("lxc-start");
        lxc.args(["--foreground", "--name", &name, "--lxcpath"]).arg(folder.path()).arg("--rcfile").arg(path);
        let started = Self { name, folder, monitor: Process::start(&mut lxc) };
        eventually("the container runs", || started.info("-p").is_some_and(|pid| !pid.is_empty()));
        started
    }

    fn info(&self, what: &str) -> Option<String> {
        let mut info = Command::new("lxc-info");
        info.args(["--name", &self.name, "--lxcpath"]).arg(self.folder.path()).args([what, "--no-humanize"]);
        let told = info.output().expect("lxc-info, which tests/lab/packages test installs");
        told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
    }
}

impl Drop for LxcContainer {
    fn drop(&mut self) {
        let mut stop = Command::new("lxc-stop");
        let _ = stop.args(["--kill", "--name", &self.name, "--lxcpath"]).arg(self.folder.path()).output();
        let _ = Command::new("ip").args(["link", "delete", "lxc-lab"]).output();
    }
}

fn lxc_containers_are_listed_by_name(lab: &Lab) {
    let container = LxcContainer::start();
    let user = UserNamespaceProgram::new(4343);
    let (objects, _) = listed(user.program());
    let object = only(&objects, "name", &container.name);
    assert_eq!([&object["engine"], &object["image"]], ["netns", "lxc: sleep"], "{object}");
    let links = ip(&["-o", "link", "show", "master", "lxc-lab"]);
    let veth = links.split([' ', '@']).nth(1).expect("its veth").to_owned();
    let attachment = &object["attachments"][0];
    assert_eq!([&attachment["host_veth"], &attachment["network"]], [veth.as_str(), "lxc-lab"], "{object}");
    let witness = Tcpdump::begin(&veth, "icmp");
    let recording = Recording::begin_with(alone(lab), &[&container.name], &["--filter", "icmp"]);
    output(Command::new("busybox").args(["ping", "-c", "3", "203.0.113.2"]));
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    let seen = frames(&recorded.path, "icmp");
    assert!(seen.len() == 6 && seen == frames(&witness, "icmp"), "{seen:?}");
}

fn containers_of_an_engine_are_not_listed_again_by_the_kernel(lab: &Lab) {
    let (podman, rootless) = (Podman::rootful(lab), Podman::rootless(lab));
    let one = lab.container(&[]);
    // Port 80 is in use there.
    let shared =
        ["--network", &format!("container:{}", one.name), "--interactive", "--entrypoint", "/bin/cat"];
    let shared = lab.container(&shared);
    let (host, none) = (lab.container(&["--network", "host"]), lab.container(&["--network", "none"]));
    let pod = podman.pod();
    let things: [PodmanResource<'_>; 3] =
        [podman.container(&["--pod", &pod.name]), podman.container(&[]), rootless.container(&[])];
    let mut ids = vec![one.id.clone(), shared.id.clone(), host.id.clone(), none.id.clone()];
    for thing in &things[..2] {
        ids.push(podman.podman(&["inspect", "--format", "{{.Id}}", &thing.name]));
    }
    let of_user = rootless.podman(&["inspect", "--format", "{{.Id}}", &things[2].name]);
    // Younger processes are not listed because their engine may still report them.
    std::thread::sleep(Duration::from_secs(11));
    let owner = UserNamespaceProgram::new(4242);
    let mut program = owner.program();
    program.env("CONTAINERDUMP_ENGINES", "podman,netns").env("XDG_RUNTIME_DIR", "/run/user/4242");
    let (objects, _) = listed(program);
    assert_eq!(only(&objects, "id", &of_user)["engine"], "podman");
    // Without querying Podman, its user sees the process, so it is left out above.
    let (unasked, _) = listed(owner.program());
    assert_eq!(only(&unasked, "id", &of_user)["engine"], "netns");
    let mut program = lab.program();
    program.env_remove("CONTAINERDUMP_ENGINES");
    let (objects, said) = listed(program);
    assert_eq!(said, "");
    let (unasked, _) = listed(alone(lab));
    assert_eq!(only(&unasked, "id", &one.id)["engine"], "netns");
    for id in &ids {
        assert_ne!(only(&objects, "id", id)["engine"], "netns");
    }
    // By namespace ids read independently.
    let pids = ids.iter().filter_map(|id| {
        let pids =
            output(Command::new("sh").args(["-c", &format!("grep -ls {id} /proc/[0-9]*/cgroup || :")]));
        pids.lines().next().and_then(|path| path.split('/').nth(2)).map(str::to_owned)
    });
    let told: Vec<String> = pids
        .map(|pid| output(Command::new("stat").args(["-c", "%i", &format!("/proc/{pid}/net/dev")])))
        .collect();
    assert!(told.len() >= 6, "{told:?}");
    for object in objects.iter().filter(|object| object["engine"] == "netns") {
        let id = object["id"].as_str().expect("an id");
        assert!(!told.iter().any(|namespace| namespace == id), "{object}");
        assert!(!ids.iter().any(|other| other == id), "{object}");
    }
}
