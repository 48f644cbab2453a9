//! The user of the rootless engines, with the program without privileges.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::lab::{end_of, eventually, folder, output, signal, start};
use super::recording::fields_of;
use super::tcpdump::Tcpdump;

/// The uid of `tests/lab/add-user`.
pub(crate) const OWNER: u32 = 4242;

pub(crate) const TRAFFIC: &str = "icmp";

/// A copy of the program without capabilities, run by that user.
pub(crate) struct RootlessUser {
    program: PathBuf,
    folder: TempDir,
}

impl RootlessUser {
    pub(crate) fn new() -> Self {
        let folder = Self::folder();
        let program = folder.path().join("containerdump");
        std::fs::copy(env!("CARGO_BIN_EXE_containerdump"), &program).expect("a copy");
        Self { program, folder }
    }

    /// A temporary directory of that user.
    pub(crate) fn folder() -> TempDir {
        let folder = folder();
        std::os::unix::fs::chown(folder.path(), Some(OWNER), Some(OWNER)).expect("its owner");
        folder
    }

    pub(crate) fn program(&self) -> &std::path::Path {
        &self.program
    }

    pub(crate) fn run(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=4242", "--regid=4242", "--clear-groups"]).arg(&self.program);
        command.env("XDG_RUNTIME_DIR", "/run/user/4242").env("HOME", self.folder.path());
        command.env_remove("DOCKER_HOST").env_remove("CONTAINER_HOST");
        command
    }

    /// Captures a container while `address` is pinged in the namespace of process `pid`, and compares with tcpdump on
    /// `interface` there.
    pub(crate) fn captures(&self, name: &str, pid: &str, interface: &str, address: &str) {
        let inside = || {
            let mut nsenter = Command::new("nsenter");
            nsenter.args(["--net", "--target", pid]);
            nsenter
        };
        let mut tcpdump = inside();
        tcpdump.arg("tcpdump");
        let witness = Tcpdump::with(tcpdump, interface, TRAFFIC);
        let path = self.folder.path().join("out.pcapng");
        let mut capture = self.run();
        let capture = start(capture.args(["capture", name, "--filter", TRAFFIC, "--write"]).arg(&path));
        eventually("the capture begins", || path.metadata().is_ok_and(|about| about.len() > 100));
        assert_unprivileged(capture.id());
        output(inside().args(["busybox", "ping", "-c", "3", address]));
        witness.settle();
        signal(&capture, "INT");
        let ended = end_of(capture);
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        witness.assert_same(&path);
        let fields = ["frame.interface_name", "frame.packet_flags_direction"];
        let requests = fields_of(&path, "icmp.type == 8", &fields);
        assert_eq!(requests, vec![[format!("{name}:{interface}"), "0x00000002".to_owned()]; 3]);
        let described = fields_of(&path, "icmp.type == 8", &["frame.interface_description"]).concat();
        assert!(described[0].contains("inside the container"), "{described:?}");
        assert_eq!(std::fs::metadata(&path).map(|about| about.uid()).ok(), Some(OWNER));
    }
}

pub(crate) fn assert_unprivileged(pid: u32) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    for set in ["CapPrm:\t", "CapEff:\t"] {
        assert!(status.contains(&format!("{set}0000000000000000")), "{status}");
    }
}
