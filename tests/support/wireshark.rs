//! An ordinary user with Wireshark and the program in an extcap folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::lab::{Lab, folder, output};

/// A user with Wireshark, the program in its extcap folder, and access to the engine.
pub(crate) struct WiresharkUser {
    pub(crate) home: TempDir,
    /// The path of the program.
    pub(crate) program: PathBuf,
    endpoint: String,
}

impl WiresharkUser {
    pub(crate) fn new(lab: &Lab) -> Self {
        let home = folder();
        let extcap = home.path().join("extcap");
        fs::create_dir(&extcap).expect("a folder");
        let program = extcap.join("containerdump");
        fs::copy(env!("CARGO_BIN_EXE_containerdump"), &program).expect("a copy");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
        output(Command::new("setcap").arg("cap_net_raw=ep").arg(&program));
        let socket = lab.endpoint.strip_prefix("unix://").expect("a socket");
        fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).expect("its mode");
        Self { home, program, endpoint: lab.endpoint.clone() }
    }

    pub(crate) fn tshark(&self) -> Command {
        self.runs("tshark")
    }

    /// A program of this machine, run by this user.
    pub(crate) fn runs(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        self.prepare(command)
    }

    /// Sets this user's home, extcap folder and engine for a command.
    pub(crate) fn prepare(&self, mut command: Command) -> Command {
        command.env("HOME", self.home.path()).env("XDG_CONFIG_HOME", self.home.path().join("config"));
        command
            .env("WIRESHARK_EXTCAP_DIR", self.home.path().join("extcap"))
            .env("DOCKER_HOST", &self.endpoint);
        command
    }

    /// Whether a capture of this user runs.
    pub(crate) fn captures(&self) -> bool {
        let path = &self.program;
        let processes = output(Command::new("ps").args(["-e", "-o", "args="]));
        processes
            .lines()
            .any(|line| line.starts_with(path.to_str().expect("a path")) && line.contains("--capture"))
    }
}
