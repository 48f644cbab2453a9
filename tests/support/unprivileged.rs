//! The program for an unprivileged user.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lab::{Lab, output};

/// User and group of nobody.
pub(crate) const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A copy of the program that all users may run, with or without CAP_NET_RAW.
pub(crate) fn copy(folder: &Path, capable: bool) -> PathBuf {
    let path = folder.join("containerdump");
    fs::copy(env!("CARGO_BIN_EXE_containerdump"), &path).expect("a copy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    if capable {
        output(Command::new("setcap").arg("cap_net_raw=ep").arg(&path));
    }
    path
}

/// Gives all users access to the engine, like members of its group.
pub(crate) fn allow_engine_access(lab: &Lab) {
    let socket = lab.endpoint.strip_prefix("unix://").expect("a socket");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).expect("its mode");
}

pub(crate) fn as_nobody(lab: &Lab, program: &Path) -> Command {
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).arg(program).env("DOCKER_HOST", &lab.endpoint);
    command
}
