//! An engine on another host: its containers run in processes and networks that are none of ours. It is
//! a second dockerd in a world of its own, of which nothing but the engine's socket is reached.

use std::process::{Child, Command};

use tempfile::TempDir;

use crate::Test;
use crate::lab::{Container, Lab, end_of, eventually, folder, output, signal, start};
use crate::listing::described_by;
use crate::recording::{Recording, Witness, assert_same, capinfos};

pub(crate) const TESTS: &[Test] = &[
    ("a_container_of_another_host_is_captured_through_its_engine", captured_through_its_engine),
    ("a_capture_on_another_host_ends_with_its_container", ends_with_its_container),
];

/// Another host, with an engine that has our image.
pub(crate) struct OtherHost {
    world: Child,
    folder: TempDir,
    pub(crate) lab: Lab,
}

impl OtherHost {
    pub(crate) fn start(lab: &Lab) -> Self {
        Self::start_with(lab, |_| {})
    }

    /// The same with the world it is in made by `prepare` as well.
    pub(crate) fn start_with(lab: &Lab, prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        lab.docker(&["save", "--output", &path("image.tar"), &lab.image]);
        let script =
            "tests/lab/engine up $0/engine $0/docker.sock; read -r stop; tests/lab/engine down $0/engine";
        let mut world = Command::new("tests/lab/world");
        world.args(["bash", "-c", script]).arg(folder.path());
        world.env("CONTAINERDUMP_WORLD_PID", path("pid")).stdin(std::process::Stdio::piped());
        prepare(&mut world);
        let world = world.spawn().expect("a world");
        let endpoint = format!("unix://{}", path("docker.sock"));
        let there = Lab { endpoint, image: lab.image.clone() };
        eventually("its engine answers", || {
            let mut docker = Command::new("docker");
            docker.args(["--host", &there.endpoint, "version"]);
            docker.output().is_ok_and(|output| output.status.success())
        });
        there.docker(&["load", "--quiet", "--input", &path("image.tar")]);
        Self { world, folder, lab: there }
    }

    /// Kills the engine hard.
    pub(crate) fn kill_engine(&self) {
        output(&mut self.inside("kill -KILL $(cat docker-engine/pid); while [ -e /proc/$(cat docker-engine/pid) ]; do sleep 0.05; done"));
    }

    /// Starts it again.
    pub(crate) fn start_engine(&self) {
        let engine = std::fs::canonicalize("tests/lab/engine").expect("the script");
        output(&mut self.inside(&format!("{} up engine $PWD/docker.sock", engine.display())));
    }

    /// Our program, run there; its pid is in the file `program` in our folder.
    pub(crate) fn program(&self) -> Command {
        let mut program = self.inside("echo $$ >program; exec \"$@\"");
        program.args(["sh", env!("CARGO_BIN_EXE_containerdump")]);
        program.env("DOCKER_HOST", &self.lab.endpoint).env("CONTAINERDUMP_ENGINES", "docker,netns");
        program
    }

    /// The number of its first process.
    pub(crate) fn process(&self) -> String {
        let process = std::fs::read_to_string(self.folder.path().join("pid"));
        process.expect("its first process").trim().to_owned()
    }

    /// A shell there, in our folder.
    pub(crate) fn inside(&self, script: &str) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--pid", "--net", "--target", &self.process(), "sh", "-c"]);
        enter.arg(format!("cd {}; {script}", self.folder.path().display()));
        enter
    }

    /// Runs a command there, in the network of a container.
    pub(crate) fn enter(&self, container: &Container, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--pid", "--net", "--target", &self.process()]);
        enter.args(["nsenter", "--net", "--target", &container.pid]).args(command);
        enter
    }

    /// Makes a request from one container to another there.
    pub(crate) fn fetch(&self, from: &Container, address: &str) {
        output(&mut self.enter(from, &["curl", "-s", "-o", "/dev/null", &format!("http://{address}/")]));
    }

    /// Makes a request from the host itself there.
    pub(crate) fn request(&self, address: &str) {
        output(&mut self.inside(&format!("curl -s -o /dev/null http://{address}/")));
    }

    /// Its address on its first interface, as it sees that itself: no engine need be there.
    pub(crate) fn address_inside(&self, container: &Container) -> String {
        let shown = output(&mut self.enter(container, &["ip", "-4", "-o", "address", "show", "eth0"]));
        let address = shown.split_whitespace().nth(3).expect("an address");
        address.split('/').next().expect("a prefix length").to_owned()
    }

    pub(crate) fn address(&self, container: &Container, network: &str) -> String {
        let template = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        self.lab.docker(&["inspect", "--format", &template, &container.name])
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        // Not by force: its engine takes its control groups away.
        drop(self.world.stdin.take());
        let _ = self.world.wait();
    }
}

fn captured_through_its_engine(lab: &Lab) {
    let host = OtherHost::start(lab);
    let network = host.lab.network();
    let (web, other) = (host.lab.container(&[]), host.lab.container(&["--network", &network.name]));
    host.lab.docker(&["network", "connect", &network.name, &web.name]);
    let listed = described_by(host.lab.program(), &web.name);
    for (attachment, name) in
        listed["attachments"].as_array().expect("two").iter().zip(["bridge", &network.name])
    {
        assert_eq!([&attachment["network"], &attachment["tap"]], [name, "engine"], "{listed}");
    }
    let filter = "tcp port 80";
    let tcpdump = host.enter(&web, &["tcpdump"]);
    let witness = Witness::of(tcpdump, "eth1", filter);
    let recording = Recording::begin(&host.lab, &[&web], &["-f", filter]);
    host.fetch(&other, &host.address(&web, &network.name));
    witness.settle();
    let recorded = recording.stop();
    let (witness, _folder) = witness.stop();
    assert_same(&recorded.path, &witness);
    let fields = ["frame.interface_name", "frame.packet_flags", "frame.interface_description"];
    let request = recorded.fields("http.request", &fields).concat();
    assert_eq!(request[..2], [format!("{}:eth1", web.name), "0x00000001".to_owned()]);
    let place = format!("network {}, eth1 through the engine (its engine runs elsewhere)", network.name);
    assert!(request[2].ends_with(&place), "{request:?}");
    // What is in the file by the far side's count.
    let statistics = recorded.statistics();
    assert!(statistics.values().any(|one| one.packets > 0), "{statistics:?}");
    for one in statistics.values() {
        assert_eq!((one.received, one.lost), (one.packets, 0), "{statistics:?}");
    }
    // One network of two, by the name it has there.
    let recording = Recording::begin(&host.lab, &[&web], &["-i", &network.name, "-a", "duration:0.5"]);
    assert_eq!(capinfos(&recording.end().path, "Number of interfaces in file"), "1");
    assert_eq!(host.lab.docker(&["ps", "--quiet", "--all"]).lines().count(), 2, "tap containers are gone");
}

fn ends_with_its_container(lab: &Lab) {
    let host = OtherHost::start(lab);
    let web = host.lab.container(&[]);
    let folder = folder();
    let path = folder.path().join("out.pcapng");
    let mut program = host.lab.program();
    let child = start(program.args(["capture", &web.name, "-w"]).arg(&path));
    eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
    host.lab.docker(&["kill", &web.name]);
    let ended = end_of(child);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(capinfos(&path, "Number of interfaces in file"), "1");
    // Nor is it kept there by a tap container of ours.
    host.lab.docker(&["rm", &web.name]);
    eventually("tap containers are gone", || host.lab.docker(&["ps", "--quiet", "--all"]).is_empty());
    // Ours can be stopped like any other.
    let web = host.lab.container(&[]);
    let child = start(host.lab.program().args(["capture", &web.name, "-w", "/dev/null", "--overwrite"]));
    eventually("its tap container runs", || host.lab.docker(&["ps", "--quiet"]).lines().count() == 2);
    signal(&child, "INT");
    assert!(end_of(child).status.success());
}
