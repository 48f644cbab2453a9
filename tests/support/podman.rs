//! The Podman services of `make test`.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::lab::{Lab, output};

/// A Podman service, used by its own client.
pub(crate) struct Podman {
    pub(crate) url: String,
    image: String,
}

impl Podman {
    pub(crate) fn rootful(lab: &Lab) -> Self {
        Self::at("CONTAINERDUMP_LAB_PODMAN", lab)
    }

    pub(crate) fn rootless(lab: &Lab) -> Self {
        Self::at("CONTAINERDUMP_LAB_ROOTLESS", lab)
    }

    fn at(variable: &str, lab: &Lab) -> Self {
        let url = std::env::var(variable).expect("Podman, which tests/lab/packages test installs");
        Self { url, image: lab.image.clone() }
    }

    pub(crate) fn podman(&self, arguments: &[&str]) -> String {
        output(Command::new("podman").args(["--remote", "--url", &self.url]).args(arguments))
    }

    /// A resource that `podman REMOVE NAME` removes.
    fn thing(&self, remove: &[&str]) -> PodmanResource<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("p{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        PodmanResource { podman: self, remove: remove.iter().map(ToString::to_string).collect(), name }
    }

    /// Starts a container that serves HTTP on port 80, with further options of `podman run`.
    pub(crate) fn container(&self, options: &[&str]) -> PodmanResource<'_> {
        self.container_with(options, &[])
    }

    /// The same with a command.
    pub(crate) fn container_with(&self, options: &[&str], command: &[&str]) -> PodmanResource<'_> {
        let thing = self.thing(&["rm", "--force", "--time", "0"]);
        let run = [&["run", "--detach", "--name", &thing.name], options, &[&self.image], command].concat();
        self.podman(&run);
        thing
    }

    pub(crate) fn network(&self) -> PodmanResource<'_> {
        let thing = self.thing(&["network", "rm", "--force"]);
        self.podman(&["network", "create", &thing.name]);
        thing
    }

    /// Creates a pod; its infra container uses the test image, since none is pulled.
    pub(crate) fn pod(&self) -> PodmanResource<'_> {
        let thing = self.thing(&["pod", "rm", "--force", "--time", "0"]);
        let infra = ["--infra-image", &self.image, "--infra-command", "sleep 9999"];
        self.podman(&[&["pod", "create"], &infra[..], &["--name", &thing.name]].concat());
        thing
    }
}

pub(crate) struct PodmanResource<'a> {
    podman: &'a Podman,
    remove: Vec<String>,
    pub(crate) name: String,
}

impl PodmanResource<'_> {
    /// The pid of its first process.
    pub(crate) fn pid(&self) -> String {
        self.podman.podman(&["inspect", "--format", "{{.State.Pid}}", &self.name])
    }

    /// A command of this machine in the container's network namespace.
    pub(crate) fn enter(&self, command: &[&str]) -> String {
        output(Command::new("nsenter").args(["--net", "--target", &self.pid()]).args(command))
    }

    pub(crate) fn address(&self) -> String {
        let shown = self.enter(&["ip", "-4", "-o", "address", "show", "eth0"]);
        let address = shown.split_whitespace().nth(3).expect("an address");
        address.split('/').next().expect("a prefix length").to_owned()
    }

    /// The host veth of `eth0`, found by `ip link`.
    pub(crate) fn host_veth(&self) -> String {
        let shown = self.enter(&["ip", "-o", "link", "show", "eth0"]);
        let index = shown.split("eth0@if").nth(1).and_then(|rest| rest.split(':').next()).expect("an index");
        let links = output(Command::new("ip").args(["-o", "link"]));
        let line = links.lines().find(|line| line.starts_with(&format!("{index}: "))).expect("its end");
        line.split([':', '@']).nth(1).expect("a name").trim().to_owned()
    }

    pub(crate) fn fetch(&self) {
        output(Command::new("curl").args(["-s", "-o", "/dev/null", &format!("http://{}/", self.address())]));
    }
}

impl Drop for PodmanResource<'_> {
    fn drop(&mut self) {
        let mut podman = Command::new("podman");
        let _ =
            podman.args(["--remote", "--url", &self.podman.url]).args(&self.remove).arg(&self.name).output();
    }
}

/// The program under test, which has to find Podman.
pub(crate) fn program(lab: &Lab) -> Command {
    let mut program = lab.program();
    program.env_remove("CONTAINERDUMP_ENGINES");
    program
}
