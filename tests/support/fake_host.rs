//! A hostile host, played by a fake `ssh`.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use containerdump::pcapng::{BlockWriter, InterfaceDescription};
use containerdump::safe_text::SafeText;
use tempfile::TempDir;

use super::program::{Ended, NO_ENGINE, Running, program};

pub(crate) const PROBE: &str = "echo containerdump-probe; echo system Linux x86_64; echo user 0; \
    echo program containerdump-peer 2 0.1.0";
pub(crate) const HELLO: &str = "echo containerdump-peer 2 0.1.0; read -r request";
pub(crate) const ESCAPE: &str = r"\033]0;x\007\033[2J\302\233\342\200\256";

/// A host that runs shell scripts in reply to the probe and to requests.
pub(crate) struct FakeHost(pub(crate) TempDir);

impl FakeHost {
    pub(crate) fn new(probe: &str, far: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ssh");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" -- >>{0}/arguments; grep ^Cap /proc/$$/status >>{0}/rights\n\
             for last; do :; done\n\
             case $last in *containerdump-probe*) {probe} ;; *serve*) cd {0}; {far} ;; esac\n",
            folder.path().display(),
        );
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        Self(folder)
    }

    /// A host with a valid greeting, which replies to requests with the script `far`.
    pub(crate) fn answering(far: &str) -> Self {
        Self::new(PROBE, &format!("{HELLO}; {far}"))
    }

    /// Replies to commands that match `pattern`, and to no request or probe, with `script`.
    pub(crate) fn with_command(self, pattern: &str, script: &str) -> Self {
        let path = self.0.path().join("ssh");
        let before = std::fs::read_to_string(&path).expect("the script");
        let more = before.replacen(" esac\n", &format!(" {pattern}) {script} ;; esac\n"), 1);
        std::fs::write(&path, more).expect("the script");
        self
    }

    /// Adds a file for the scripts.
    pub(crate) fn with(self, name: &str, content: &[u8]) -> Self {
        std::fs::write(self.0.path().join(name), content).expect("a file");
        self
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(arguments))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").expect("a PATH"));
        let mut command = program(NO_ENGINE);
        command.env("PATH", path).args(arguments);
        command
    }

    pub(crate) fn list(&self) -> Ended {
        self.start(&["list", "--host", "ann@build1"]).ended()
    }

    /// The error message of a failed capture.
    pub(crate) fn complaint_of_capture(&self) -> String {
        let ended = self.start(&["capture", "--host", "build1", "web", "-w", "-"]).ended_with_bytes();
        assert_eq!(ended.0, Some(1), "{}", ended.1);
        ended.1
    }

    /// The lines of `/proc/PID/status` on the capabilities of each call of `ssh`.
    pub(crate) fn rights(&self) -> String {
        std::fs::read_to_string(self.0.path().join("rights")).expect("it was called")
    }

    /// The arguments of each call of `ssh`.
    pub(crate) fn arguments(&self) -> Vec<Vec<String>> {
        let all = std::fs::read_to_string(self.0.path().join("arguments")).expect("it was called");
        all.split("\n--\n").map(|call| call.lines().map(str::to_owned).collect()).collect()
    }
}

/// A valid stream up to its first packet.
pub(crate) fn begin(name: &str) -> Vec<u8> {
    let mut blocks = BlockWriter::begin_section();
    blocks.add_interface(&InterfaceDescription {
        name: SafeText::new(name),
        description: SafeText::new("y"),
        hardware_address: None,
        filter: None,
        snap_length: 2000,
        link_type: 1,
    });
    blocks.take()
}
