//! An OpenSSH server with keys of its own, and the client that is configured for it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::lab::{eventually, output};

/// Settings and keys of a server, in a directory: `sshd_config`, `hostkey`, `key` (accepted), `other` (refused), and those
/// of its client: `ssh_config`, `known_hosts`, `bin/ssh`.
pub(crate) struct Sshd {
    folder: PathBuf,
}

impl Sshd {
    /// Writes them, for a server with the further `settings` that the client knows by `names`.
    pub(crate) fn configure(folder: &Path, names: &str, address: &str, port: u16, settings: &str) -> Self {
        let sshd = Self { folder: folder.to_owned() };
        for name in ["hostkey", "key", "other"] {
            let mut keygen = Command::new("ssh-keygen");
            output(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(sshd.path(name)));
        }
        let folder = folder.display();
        let server = format!(
            "ListenAddress {address}\nPort {port}\nHostKey {folder}/hostkey\nAuthorizedKeysFile {folder}/key.pub\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile {folder}/sshd.pid\n{settings}\n"
        );
        fs::write(sshd.path("sshd_config"), server).expect("the server's settings");
        let client = format!(
            "Host {names}\n Hostname {address}\n Port {port}\n IdentityFile {folder}/key\n IdentitiesOnly yes\n \
             UserKnownHostsFile {folder}/known_hosts\n GlobalKnownHostsFile none\n HostKeyAlias build\n"
        );
        fs::write(sshd.path("ssh_config"), client).expect("the client's settings");
        set_mode(&sshd.path("ssh_config"), 0o644);
        fs::create_dir(sshd.path("bin")).expect("a directory");
        set_mode(&sshd.path("bin"), 0o755);
        let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config \"$@\"\n");
        fs::write(sshd.path("bin/ssh"), ssh).expect("the client");
        set_mode(&sshd.path("bin/ssh"), 0o755);
        sshd.trust("hostkey.pub");
        sshd
    }

    /// Sets the host key that the client knows.
    pub(crate) fn trust(&self, key: &str) {
        let key = fs::read_to_string(self.path(key)).expect("a key");
        fs::write(self.path("known_hosts"), format!("build {key}")).expect("known hosts");
    }

    /// Adds a line to the settings of the server, for its next start.
    pub(crate) fn add_setting(&self, line: &str) {
        let settings = fs::read_to_string(self.path("sshd_config")).expect("the server's settings");
        fs::write(self.path("sshd_config"), format!("{settings}{line}\n")).expect("the server's settings");
    }

    /// Adds entries to the settings of the client.
    pub(crate) fn add_client_entries(&self, entries: &str) {
        let settings = fs::read_to_string(self.path("ssh_config")).expect("the client's settings");
        fs::write(self.path("ssh_config"), settings + entries).expect("the client's settings");
    }

    /// The command line of the server, which becomes a daemon.
    pub(crate) fn command_line(&self) -> String {
        format!("/usr/sbin/sshd -f {0}/sshd_config -E {0}/sshd.log", self.folder.display())
    }

    /// A command on the host, by the client.
    pub(crate) fn ssh(&self, name: &str, command: &str) -> Command {
        let mut ssh = Command::new(self.path("bin/ssh"));
        ssh.args([name, command]);
        ssh
    }

    /// The `PATH` with the client first.
    pub(crate) fn path_variable(&self) -> String {
        format!("{}:{}", self.path("bin").display(), std::env::var("PATH").expect("a PATH"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A server at 127.0.0.1, until it is dropped.
pub(crate) struct LocalSshd {
    pub(crate) sshd: Sshd,
    process: Child,
}

impl LocalSshd {
    /// Starts it for root, who logs in as `local`.
    pub(crate) fn start(folder: &Path, port: u16, settings: &str) -> Self {
        let settings = format!("PermitRootLogin yes\n{settings}");
        let sshd = Sshd::configure(folder, "local", "127.0.0.1", port, &settings);
        sshd.add_client_entries(" User root\n LogLevel ERROR\n");
        fs::create_dir_all("/run/sshd").expect("a directory in the sandbox");
        let mut server = Command::new("/usr/sbin/sshd");
        server.arg("-D").arg("-f").arg(sshd.path("sshd_config")).arg("-E").arg(sshd.path("sshd.log"));
        let server = Self { process: server.spawn().expect("sshd"), sshd };
        eventually("the SSH server responds", || {
            server.ssh("true").output().is_ok_and(|output| output.status.success())
        });
        server
    }

    pub(crate) fn ssh(&self, command: &str) -> Command {
        self.sshd.ssh("local", command)
    }
}

impl Drop for LocalSshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}
