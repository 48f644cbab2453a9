//! The OpenSSH server at 127.0.0.1 that all programs use.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::support::sshd::LocalSshd;

pub(crate) const PORT: u16 = 2222;

/// A server whose logins run a replay of a stream instead of `containerdump`.
pub(crate) struct Server {
    server: LocalSshd,
    folder: PathBuf,
}

impl Server {
    /// Starts it with a replay of `stream`, by this program.
    pub(crate) fn start(folder: &Path, stream: &Path) -> Self {
        for name in ["commands", "runtime"] {
            fs::create_dir(folder.join(name)).expect("a folder");
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o700)).expect("its mode");
        }
        let this = std::env::current_exe().expect("this program");
        let script = format!("#!/bin/sh\nexec {} replay {} \"$@\"\n", this.display(), stream.display());
        let replay = folder.join("commands/containerdump");
        fs::write(&replay, script).expect("a script");
        fs::set_permissions(&replay, fs::Permissions::from_mode(0o755)).expect("its mode");
        let settings = format!("SetEnv PATH={}/commands:/usr/bin:/bin", folder.display());
        Self { server: LocalSshd::start(folder, PORT, &settings), folder: folder.to_owned() }
    }

    /// `ssh` that runs `command` on the host.
    pub(crate) fn ssh(&self, command: &str) -> Command {
        self.server.ssh(command)
    }

    /// A key that the server accepts.
    pub(crate) fn key(&self) -> PathBuf {
        self.server.sshd.path("key")
    }

    /// Where the program under test finds `ssh`, and may create a socket.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        let runtime = self.folder.join("runtime").display().to_string();
        [("PATH", self.server.sshd.path_variable()), ("XDG_RUNTIME_DIR", runtime)]
    }
}
