//! The program for an ordinary user, and what the kernel lets a process do.

use super::lab::{Lab, end_of, eventually, fifo, folder, output, start};
use super::recording::Recording;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// User and group of nobody.
pub(crate) const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A copy of the program that ordinary users may run, with or without the right to capture.
pub(crate) fn copy(folder: &Path, capable: bool) -> PathBuf {
    let path = folder.join("containerdump");
    fs::copy(env!("CARGO_BIN_EXE_containerdump"), &path).expect("a copy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    if capable {
        output(Command::new("setcap").arg("cap_net_raw=ep").arg(&path));
    }
    path
}

/// Lets ordinary users speak to the engine, as members of its group may.
pub(crate) fn open_engine(lab: &Lab) {
    let socket = lab.endpoint.strip_prefix("unix://").expect("a socket");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).expect("its mode");
}

pub(crate) fn as_nobody(lab: &Lab, program: &Path) -> Command {
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).arg(program).env("DOCKER_HOST", &lab.endpoint);
    command
}

/// The lines of every thread's status that tell of rights.
pub(crate) fn rights(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let status =
        tasks.flatten().map(|task| fs::read_to_string(task.path().join("status")).expect("its status"));
    let wanted = |line: &&str| {
        ["CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"].iter().any(|key| line.starts_with(key))
    };
    status.flat_map(|status| status.lines().filter(wanted).map(str::to_owned).collect::<Vec<_>>()).collect()
}

pub(crate) fn assert_powerless(pid: u32) {
    let rights = rights(pid);
    assert!(rights.len() >= 5, "{rights:?}");
    for line in rights {
        let value = line.split_whitespace().nth(1).expect("a value");
        assert_eq!(value, if line.starts_with("NoNewPrivs") { "1" } else { "0000000000000000" }, "{line}");
    }
}
