//! A user of Wireshark with an account on another host.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lab::{Lab, output};
use super::ssh_host::SshHost;
use super::wireshark::WiresharkUser;

/// The user, with a key of the host.
pub(crate) struct Analyst<'a> {
    pub(crate) user: WiresharkUser,
    there: &'a SshHost,
    pub(crate) key: PathBuf,
}

impl<'a> Analyst<'a> {
    pub(crate) fn new(lab: &Lab, there: &'a SshHost) -> Self {
        let user = WiresharkUser::new(lab);
        let key = user.home.path().join("a key");
        fs::copy(there.path("key"), &key).expect("a copy");
        own(&key);
        own(user.home.path());
        Self { user, there, key }
    }

    pub(crate) fn runs(&self, program: &str) -> Command {
        let mut command = self.user.runs(program);
        let path = std::env::var("PATH").expect("a PATH");
        command.env("PATH", format!("{}:{path}", self.there.path("bin").display()));
        command.env_remove("SSH_ASKPASS").env_remove("DISPLAY").env_remove("XDG_RUNTIME_DIR");
        command.env("TMPDIR", self.user.home.path());
        command
    }

    /// tshark with a container of the host.
    pub(crate) fn tshark(&self, container: &str, options: &[&str]) -> Command {
        let mut tshark = self.runs("tshark");
        tshark.args(["-q", "-i", "containerdump-ssh"]);
        let key = self.key.display().to_string();
        for (name, value) in [
            ("remotehost", self.there.address.as_str()),
            ("remoteport", "2222"),
            ("remoteusername", "root"),
            ("sshkey", &key),
            ("remotecontainer", container),
        ] {
            tshark.args(["-o", &format!("extcap.containerdump_ssh.{name}:{value}")]);
        }
        tshark.args(options);
        tshark
    }

    /// The list of containers loaded by the dialog, with or without a window for prompts.
    pub(crate) fn loaded(&self, has_window: bool) -> String {
        self.loaded_option("remote-container", has_window)
    }

    pub(crate) fn loaded_option(&self, option: &str, has_window: bool) -> String {
        let program = self.user.program.to_str().expect("a path");
        let mut command = self.runs(program);
        let key = self.key.display().to_string();
        command.args(["--extcap-config", "--extcap-interface", "containerdump-ssh"]);
        command.args(["--extcap-reload-option", option, "--remote-host", "build1", "--remote-port", "0"]);
        command.args(["--remote-username", "root", "--sshkey", &key, "--remote-noprom", "true"]);
        if has_window {
            command.env("DISPLAY", ":99").env("SSH_ASKPASS", self.user.home.path().join("askpass"));
        }
        output(&mut command)
    }
}

pub(crate) fn own(path: &Path) {
    chown(path, Some(65534), Some(65534)).expect("its owner");
}
