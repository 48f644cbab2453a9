//! A real OpenSSH server at 127.0.0.1, and how it is reached.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::measure::support::lab::{eventually, output};

pub(crate) const PORT: &str = "2222";

/// It, with keys of its own. It ends with this.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts one, which finds in `folder` what stands for our program there: a replay of `stream` by this one.
    pub(crate) fn start(folder: &Path, stream: &Path) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        for name in ["there", "here", "runtime"] {
            fs::create_dir(path(name)).expect("a folder");
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o700)).expect("its mode");
        }
        for name in ["hostkey", "key"] {
            output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]));
        }
        let this = std::env::current_exe().expect("this program");
        let replay = format!("exec {} replay {} \"$@\"", this.display(), stream.display());
        let ssh = format!("exec /usr/bin/ssh -F {} \"$@\"", path("ssh_config"));
        for (name, line) in [("there/containerdump", replay), ("here/ssh", ssh)] {
            fs::write(path(name), format!("#!/bin/sh\n{line}\n")).expect("a script");
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        let settings = format!(
            "ListenAddress 127.0.0.1\nPort {PORT}\nHostKey {0}\nAuthorizedKeysFile {1}.pub\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPidFile none\nSetEnv PATH={2}:/usr/bin:/bin\n",
            path("hostkey"),
            path("key"),
            path("there"),
        );
        fs::write(path("sshd_config"), settings).expect("settings");
        let settings = format!(
            "Host there\n Hostname 127.0.0.1\n Port {PORT}\n User root\n IdentityFile {}\n StrictHostKeyChecking no\n \
             UserKnownHostsFile {}\n LogLevel ERROR\n",
            path("key"),
            path("known_hosts"),
        );
        fs::write(path("ssh_config"), settings).expect("settings");
        fs::create_dir_all("/run/sshd").expect("a folder in the sandbox");
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-f", &path("sshd_config"), "-E", &path("sshd.log")]);
        let server = Self { child: sshd.spawn().expect("sshd"), folder: folder.to_owned() };
        eventually("its server answers", || {
            server.ssh("true").output().is_ok_and(|output| output.status.success())
        });
        server
    }

    /// `ssh` that runs `command` there.
    pub(crate) fn ssh(&self, command: &str) -> Command {
        let mut ssh = Command::new(self.folder.join("here/ssh"));
        ssh.args(["there", command]);
        ssh
    }

    /// A key that it lets in.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// Where our own program finds `ssh`, and may put a socket.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        let here = self.folder.join("here");
        let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap_or_default());
        [("PATH", path), ("XDG_RUNTIME_DIR", self.folder.join("runtime").display().to_string())]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
