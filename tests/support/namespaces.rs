//! Named network namespaces, processes, and unprivileged users.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::lab::{eventually, folder, output, start};

/// A network namespace of `ip netns add`, which is deleted on drop.
pub(crate) struct Namespace {
    pub(crate) name: String,
    /// Its host veth, if any.
    pub(crate) veth: Option<String>,
    number: u32,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lab{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        Self { name, veth: None, number }
    }

    /// A namespace with a veth pair to this host and an address `192.0.2.x`.
    pub(crate) fn with_veth() -> Self {
        let mut namespace = Self::new();
        let veth = format!("nv{}-{}", std::process::id() % 100_000, namespace.number);
        ip(&["link", "add", &veth, "type", "veth", "peer", "name", "inner0", "netns", &namespace.name]);
        ip(&["address", "add", &format!("{}/30", namespace.address(1)), "dev", &veth]);
        ip(&["link", "set", &veth, "up"]);
        namespace.set_up("inner0", &format!("{}/30", namespace.address(2)));
        namespace.veth = Some(veth);
        namespace
    }

    pub(crate) fn address(&self, host: u32) -> String {
        format!("192.0.2.{}", self.number * 4 + host)
    }

    pub(crate) fn set_up(&self, link: &str, address: &str) {
        ip(&["-n", &self.name, "address", "add", address, "dev", link]);
        ip(&["-n", &self.name, "link", "set", link, "up"]);
    }

    pub(crate) fn enter(&self, command: &[&str]) -> Command {
        let mut enter = Command::new("ip");
        enter.args(["netns", "exec", &self.name]).args(command);
        enter
    }

    pub(crate) fn interface(&self) -> String {
        format!("netns-{}", self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

pub(crate) fn ip(arguments: &[&str]) -> String {
    output(Command::new("ip").args(arguments))
}

/// A process, which is killed on drop.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(start(command))
    }

    /// Waits until its network namespace has `link`.
    pub(crate) fn with_link(self, link: &str) -> Self {
        let path = format!("/proc/{}/net/dev", self.0.id());
        eventually("the link is there", || std::fs::read_to_string(&path).is_ok_and(|it| it.contains(link)));
        self
    }

    /// The id of its network namespace, as shown by `list`.
    pub(crate) fn namespace(&self) -> String {
        output(Command::new("stat").args(["-c", "%i", &format!("/proc/{}/net/dev", self.0.id())]))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program for an unprivileged user, who cannot read the build directory.
pub(crate) struct UserNamespaceProgram {
    pub(crate) folder: TempDir,
    user: u32,
}

impl UserNamespaceProgram {
    pub(crate) fn new(user: u32) -> Self {
        let folder = folder();
        std::fs::copy(env!("CARGO_BIN_EXE_containerdump"), folder.path().join("containerdump"))
            .expect("a copy");
        std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).expect("its owner");
        Self { folder, user }
    }

    pub(crate) fn run_as(&self, options: &[&str], program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={}", self.user), &format!("--regid={}", self.user)]);
        command.arg("--clear-groups").args(options).arg(program).current_dir(self.folder.path());
        command.env("CONTAINERDUMP_ENGINES", "netns").env("XDG_RUNTIME_DIR", "/nonexistent");
        command
    }

    /// Without capabilities.
    pub(crate) fn program(&self) -> Command {
        self.run_as(&[], &self.path().to_string_lossy())
    }

    /// With CAP_NET_RAW, as when installed.
    pub(crate) fn capturing(&self) -> Command {
        let options =
            ["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw"];
        self.run_as(&options, &self.path().to_string_lossy())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("containerdump")
    }
}
