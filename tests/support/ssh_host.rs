//! Another host with a real OpenSSH server: a sandbox with an engine, connected by a veth pair.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::lab::{Container, Lab, eventually, folder, output};
use super::other_host::OtherHost;
use super::sshd::Sshd;

/// The host, and the client that reaches it by the names `build1`, `build2` and `build3`.
pub(crate) struct SshHost {
    pub(crate) host: OtherHost,
    pub(crate) address: String,
    pub(crate) cable: String,
    sshd: Sshd,
    /// Is removed with this value.
    #[expect(dead_code)]
    folder: TempDir,
}

impl SshHost {
    /// Starts a host with the program in its `PATH`.
    pub(crate) fn start(lab: &Lab) -> Self {
        let there = Self::bare(lab);
        // All users may run it; the static program is beside it.
        let ours = Path::new(env!("CARGO_BIN_EXE_containerdump"));
        let beside = format!("containerdump-{}", std::env::consts::ARCH);
        fs::copy(ours, there.path("commands/containerdump")).expect("a copy");
        fs::copy(ours.with_file_name(&beside), there.path("commands").join(&beside))
            .expect("the static program, which make test builds");
        there
    }

    /// Starts a host without the program.
    pub(crate) fn bare(lab: &Lab) -> Self {
        Self::bare_with(lab, |_| {})
    }

    /// With further settings of its sandbox by `prepare`.
    pub(crate) fn bare_with(lab: &Lab, prepare: impl FnOnce(&mut Command)) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (host, folder) = (OtherHost::start_with(lab, prepare), folder());
        let (cable, address) = (format!("ssh{number}"), format!("198.19.{number}.2"));
        let settings = format!(
            "SetEnv DOCKER_HOST={} CONTAINER_HOST=unix:///nonexistent.sock CONTAINERDUMP_ENGINES=docker \
             PATH={}/commands:/usr/bin:/bin:/usr/sbin",
            host.lab.endpoint,
            folder.path().display(),
        );
        let names = format!("build1 build2 build3 {address}");
        let sshd = Sshd::configure(folder.path(), &names, &address, 2222, &settings);
        fs::create_dir(sshd.path("commands")).expect("a directory");
        fs::set_permissions(sshd.path("commands"), fs::Permissions::from_mode(0o755)).expect("its mode");
        let there = Self { host, address, cable, sshd, folder };
        let ip = |line: &str| output(Command::new("ip").args(line.split(' ')));
        ip(&format!("link add {0} type veth peer name {0} netns {1}", there.cable, there.host.process()));
        ip(&format!("address add 198.19.{number}.1/30 dev {}", there.cable));
        ip(&format!("link set {} up", there.cable));
        let add_user = fs::canonicalize("tests/lab/add-user").expect("the script");
        there.inside(&format!(
            "{}; ip address add {}/30 dev {2}; ip link set {2} up; mkdir -p /run/sshd; chmod 666 {3}",
            add_user.display(),
            there.address,
            there.cable,
            there.host.lab.endpoint.trim_start_matches("unix://"),
        ));
        there.start_server();
        there
    }

    fn start_server(&self) {
        self.inside(&self.sshd.command_line());
        eventually("the SSH server runs", || self.path("sshd.pid").exists());
    }

    /// Restarts the server with a further line of settings.
    pub(crate) fn serve_with(&self, line: &str) {
        self.sshd.add_setting(line);
        let pid = self.path("sshd.pid");
        self.inside(&format!("kill $(cat {0}); while [ -e {0} ]; do sleep 0.05; done", pid.display()));
        self.start_server();
    }

    /// Adds entries to the settings of the client.
    pub(crate) fn configure(&self, entries: &str) {
        self.sshd.add_client_entries(entries);
    }

    /// Sets the host key that the client knows: `hostkey.pub`, or `other.pub`, which the server does not have.
    pub(crate) fn trust(&self, key: &str) {
        self.sshd.trust(key);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.sshd.path(name)
    }

    /// Writes an executable file.
    pub(crate) fn script(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a script");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    /// The program on this side, without a local engine.
    pub(crate) fn program(&self) -> Command {
        self.program_at(Path::new(env!("CARGO_BIN_EXE_containerdump")))
    }

    pub(crate) fn program_at(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.env("PATH", self.sshd.path_variable()).env("DOCKER_HOST", "unix:///nonexistent.sock");
        command.env("XDG_RUNTIME_DIR", self.path("runtime")).env_remove("SSH_ASKPASS");
        fs::create_dir_all(self.path("runtime")).expect("a folder");
        fs::set_permissions(self.path("runtime"), fs::Permissions::from_mode(0o700)).expect("its mode");
        command
    }

    /// Runs a shell script on the host. Returns its output.
    pub(crate) fn inside(&self, script: &str) -> String {
        output(&mut self.host.inside(script))
    }

    /// Bytes received over the veth pair, by the kernel's counter.
    pub(crate) fn came(&self) -> u64 {
        let counter = format!("/sys/class/net/{}/statistics/rx_bytes", self.cable);
        fs::read_to_string(counter).expect("a counter").trim().parse().expect("a number")
    }

    /// Sets the veth pair down, so that the connection is lost silently.
    pub(crate) fn cut(&self) {
        output(Command::new("ip").args(["link", "set", &self.cable, "down"]));
    }

    /// Command lines of the program on the host.
    pub(crate) fn runs(&self) -> Vec<String> {
        let all = self.inside("ps -A -o args");
        all.lines()
            .filter(|line| line.contains(" serve") && line.contains("containerdump"))
            .map(str::to_owned)
            .collect()
    }

    /// Waits until no process, connection or socket of a capture is left on either side.
    pub(crate) fn assert_cleaned_up(&self) {
        eventually("nothing of ours runs there", || self.runs().is_empty());
        let runtime = self.path("runtime").display().to_string();
        eventually("no connection is left", || {
            !output(Command::new("ps").args(["-A", "-o", "args"])).contains(&runtime)
        });
        let folders = fs::read_dir(self.path("runtime")).expect("the folder");
        let sockets = folders.flatten().filter(|entry| entry.path().join("s").exists()).count();
        assert_eq!(sockets, 0);
    }

    /// A tcpdump in the namespace of a container on the host.
    pub(crate) fn tcpdump(&self, container: &Container) -> Command {
        self.host.enter(container, &["tcpdump"])
    }
}

impl Drop for SshHost {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "delete", &self.cable]).output();
    }
}

/// Allows the unprivileged user of the host to run everything as root.
pub(crate) fn allow_sudo(there: &SshHost) {
    there.inside(
        "printf 'Defaults env_keep += \"DOCKER_HOST CONTAINERDUMP_ENGINES\"\\ncontainerdump-lab ALL = NOPASSWD: ALL\\n' \
         >/run/sudoers; chmod 440 /run/sudoers; mount --bind /run/sudoers /etc/sudoers; \
         (cat /etc/shadow; echo 'containerdump-lab:*:19000:0:99999:7:::') >/run/shadow; chmod 600 /run/shadow; \
         mount --bind /run/shadow /etc/shadow",
    );
}
