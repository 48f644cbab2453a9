//! The engine under test, its containers and networks, and processes.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The timeout of everything a test waits for.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// The engine under test.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) endpoint: String,
    pub(crate) image: String,
}

impl Lab {
    /// The engine that `make test` started.
    pub(crate) fn find() -> Result<Self, String> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err("they need root".to_owned());
        }
        let variable =
            |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set: run make test"));
        Ok(Self { endpoint: variable("CONTAINERDUMP_LAB")?, image: variable("CONTAINERDUMP_LAB_IMAGE")? })
    }

    /// Starts a container that serves HTTP on port 80, with further options of `docker run`.
    pub(crate) fn container(&self, options: &[&str]) -> Container {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut run = vec!["run", "--detach", "--name", &name];
        run.extend(options);
        run.push(&self.image);
        self.docker(&run);
        self.found(&name)
    }

    /// A running container, which is removed on drop.
    pub(crate) fn found(&self, name: &str) -> Container {
        let inspect = self.docker(&["inspect", "--format", "{{.State.Pid}} {{.Id}}", name]);
        let (pid, id) = inspect.split_once(' ').expect("a pid and an id");
        Container { lab: self.clone(), pid: pid.to_owned(), id: id.to_owned(), name: name.to_owned() }
    }

    /// A restarted container with its new process.
    pub(crate) fn restarted(&self, container: Container) -> Container {
        let again = self.found(&container.name);
        std::mem::forget(container);
        again
    }

    /// A renamed container.
    pub(crate) fn renamed(&self, container: Container, name: &str) -> Container {
        std::mem::forget(container);
        self.found(name)
    }

    /// Creates a network.
    pub(crate) fn network(&self) -> Network {
        self.network_with(&[])
    }

    /// Creates a network with further options of `docker network create`.
    pub(crate) fn network_with(&self, options: &[&str]) -> Network {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("n{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut create = vec!["network", "create"];
        create.extend(options);
        create.push(&name);
        self.docker(&create);
        Network { lab: self.clone(), name }
    }

    /// Creates a macvlan network. Its parent can have only one, so other tests wait.
    pub(crate) fn macvlan(&self) -> Exclusive<Network> {
        static ONE: Mutex<()> = Mutex::new(());
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let options = ["--driver", "macvlan", "--subnet", "198.51.100.0/24", "--opt", "parent=eth0"];
        Exclusive { thing: self.network_with(&options), _turn: turn }
    }

    /// Makes the engine the only member of a swarm until the value is dropped. Other tests wait.
    pub(crate) fn swarm(&self) -> Exclusive<Swarm> {
        static ONE: Mutex<()> = Mutex::new(());
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        self.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        Exclusive { thing: Swarm(self.clone()), _turn: turn }
    }

    /// Runs the Docker client. Returns its output.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        output(Command::new("docker").args(["--host", &self.endpoint]).args(arguments))
    }

    /// The program under test with this engine; `CONTAINERDUMP_PROGRAM` names another one.
    pub(crate) fn program(&self) -> Command {
        let program = std::env::var_os("CONTAINERDUMP_PROGRAM");
        self.program_at(program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_containerdump").as_ref()).as_ref())
    }

    /// The program, in which a system call fails, as in a sandbox.
    pub(crate) fn program_without(&self, call: &str) -> Command {
        let program = self.program();
        let mut strace = Command::new("strace");
        let rule = format!("inject={call}:error=EPERM");
        strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &rule]);
        strace.arg(program.get_program());
        for (name, value) in program.get_envs() {
            strace.env(name, value.expect("a value"));
        }
        strace
    }

    pub(crate) fn program_at(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.env("DOCKER_HOST", &self.endpoint).env("CONTAINERDUMP_ENGINES", "docker,netns");
        // Without the saved hosts of the tester.
        command.env("XDG_CONFIG_HOME", "/nonexistent");
        command
    }
}

/// A running container, which is removed on drop.
pub(crate) struct Container {
    lab: Lab,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) pid: String,
}

impl Container {
    /// Its interface value in Wireshark.
    pub(crate) fn interface(&self) -> String {
        format!("docker-{}", self.name)
    }

    /// A command of this machine in the container's network namespace.
    pub(crate) fn enter(&self, command: &[&str]) -> Command {
        let mut enter = Command::new("nsenter");
        enter.args(["--net", "--target", &self.pid]).args(command);
        enter
    }

    /// The address of its first interface, read in the container.
    pub(crate) fn address(&self) -> String {
        self.address_on("eth0")
    }

    pub(crate) fn address_on(&self, interface: &str) -> String {
        let shown = output(&mut self.enter(&["ip", "-4", "-o", "address", "show", interface]));
        let address = shown.split_whitespace().nth(3).expect("an address");
        address.split('/').next().expect("a prefix length").to_owned()
    }

    /// The host veth of an interface, found by `iflink` and `ip link`.
    pub(crate) fn host_veth(&self, interface: &str) -> String {
        let path = format!("/sys/class/net/{interface}/iflink");
        let index = self.lab.docker(&["exec", &self.name, "cat", &path]);
        let links = output(Command::new("ip").args(["-o", "link"]));
        let line = links.lines().find(|line| line.starts_with(&format!("{index}: "))).expect("the other end");
        let name = line.split([':', '@']).nth(1).expect("a name");
        name.trim().to_owned()
    }

    /// Sends HTTP requests to the container.
    pub(crate) fn fetch(&self, times: usize) {
        for _ in 0..times {
            output(Command::new("curl").args([
                "-s",
                "-o",
                "/dev/null",
                &format!("http://{}/", self.address()),
            ]));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ =
            Command::new("docker").args(["--host", &self.lab.endpoint, "rm", "--force", &self.name]).output();
    }
}

/// A network, which is removed on drop.
pub(crate) struct Network {
    lab: Lab,
    pub(crate) name: String,
}

impl Drop for Network {
    fn drop(&mut self) {
        // A busy engine may still hold the endpoint of a removed container.
        for _ in 0..20 {
            let mut remove = Command::new("docker");
            remove.args(["--host", &self.lab.endpoint, "network", "rm", &self.name]);
            let said = remove.output().map(|ended| ended.stderr).unwrap_or_default();
            if !String::from_utf8_lossy(&said).contains("active endpoints") {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A value of which only one exists at a time.
pub(crate) struct Exclusive<T> {
    thing: T,
    _turn: MutexGuard<'static, ()>,
}

impl<T> Deref for Exclusive<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

/// A swarm, which the engine leaves on drop.
pub(crate) struct Swarm(Lab);

impl Swarm {
    /// Creates an overlay network.
    pub(crate) fn overlay(&self) -> Network {
        self.0.network_with(&["--driver", "overlay", "--attachable"])
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _ =
            Command::new("docker").args(["--host", &self.0.endpoint, "swarm", "leave", "--force"]).output();
    }
}

/// Runs a command, which must succeed. Returns its output without the last newline.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Sends a signal.
pub(crate) fn signal(child: &Child, name: &str) {
    output(Command::new("kill").args(["-s", name, &child.id().to_string()]));
}

/// Waits for the end of a child. Returns its status and output.
pub(crate) fn end_of(mut child: Child) -> Output {
    eventually("the program ends", || child.try_wait().expect("a child").is_some());
    child.wait_with_output().expect("its output")
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < TIMEOUT, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A temporary directory that all users can read and write.
pub(crate) fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::Builder::new().prefix("containerdump").tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("its mode");
    folder
}

/// A FIFO as created by Wireshark.
pub(crate) fn fifo(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a FIFO");
    path
}

/// Starts a command with its output captured.
pub(crate) fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
