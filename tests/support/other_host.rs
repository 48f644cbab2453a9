//! Another host: a second dockerd in a sandbox, reached only by its socket.

use std::process::{Child, Command};

use tempfile::TempDir;

use super::lab::{Container, Lab, eventually, folder, output};

/// Another host, whose engine has the test image.
pub(crate) struct OtherHost {
    sandbox: Child,
    folder: TempDir,
    pub(crate) lab: Lab,
}

impl OtherHost {
    pub(crate) fn start(lab: &Lab) -> Self {
        Self::start_with(lab, |_| {})
    }

    /// With further settings of its sandbox by `prepare`.
    pub(crate) fn start_with(lab: &Lab, prepare: impl FnOnce(&mut Command)) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name).display().to_string();
        lab.docker(&["save", "--output", &path("image.tar"), &lab.image]);
        let script =
            "tests/lab/engine up $0/engine $0/docker.sock; read -r stop; tests/lab/engine down $0/engine";
        let mut sandbox = Command::new("tests/lab/sandbox");
        sandbox.args(["bash", "-c", script]).arg(folder.path());
        sandbox.env("CONTAINERDUMP_SANDBOX_PID", path("pid")).stdin(std::process::Stdio::piped());
        prepare(&mut sandbox);
        let sandbox = sandbox.spawn().expect("a sandbox");
        let endpoint = format!("unix://{}", path("docker.sock"));
        let there = Lab { endpoint, image: lab.image.clone() };
        eventually("its engine answers", || {
            let mut docker = Command::new("docker");
            docker.args(["--host", &there.endpoint, "version"]);
            docker.output().is_ok_and(|output| output.status.success())
        });
        there.docker(&["load", "--quiet", "--input", &path("image.tar")]);
        Self { sandbox, folder, lab: there }
    }

    /// Kills the engine with SIGKILL.
    pub(crate) fn kill_engine(&self) {
        output(&mut self.inside("kill -KILL $(cat docker-engine/pid); while [ -e /proc/$(cat docker-engine/pid) ]; do sleep 0.05; done"));
    }

    /// Starts the engine again.
    pub(crate) fn start_engine(&self) {
        let engine = std::fs::canonicalize("tests/lab/engine").expect("the script");
        output(&mut self.inside(&format!("{} up engine $PWD/docker.sock", engine.display())));
    }

    /// The program on the host; its pid is written to the file `program`.
    pub(crate) fn program(&self) -> Command {
        let mut program = self.inside("echo $$ >program; exec \"$@\"");
        program.args(["sh", env!("CARGO_BIN_EXE_containerdump")]);
        program.env("DOCKER_HOST", &self.lab.endpoint).env("CONTAINERDUMP_ENGINES", "docker,netns");
        program
    }

    /// The pid of its init process.
    pub(crate) fn process(&self) -> String {
        let process = std::fs::read_to_string(self.folder.path().join("pid"));
        process.expect("its first process").trim().to_owned()
    }

    /// A shell on the host, in the shared directory.
    pub(crate) fn inside(&self, script: &str) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--pid", "--net", "--target", &self.process(), "sh", "-c"]);
        enter.arg(format!("cd {}; {script}", self.folder.path().display()));
        enter
    }

    /// A command on the host in the network namespace of a container.
    pub(crate) fn enter(&self, container: &Container, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--pid", "--net", "--target", &self.process()]);
        enter.args(["nsenter", "--net", "--target", &container.pid]).args(command);
        enter
    }

    /// Sends a request from a container to an address.
    pub(crate) fn fetch(&self, from: &Container, address: &str) {
        output(&mut self.enter(from, &["curl", "-s", "-o", "/dev/null", &format!("http://{address}/")]));
    }

    /// Sends a request from the host.
    pub(crate) fn request(&self, address: &str) {
        output(&mut self.inside(&format!("curl -s -o /dev/null http://{address}/")));
    }

    /// The address of a container's first interface, without asking the engine.
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
        // Not killed: the engine removes its cgroups.
        drop(self.sandbox.stdin.take());
        let _ = self.sandbox.wait();
    }
}
