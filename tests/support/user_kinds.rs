//! The program run by root, a member of the capture group, and a user of the engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::lab::{Lab, folder, output};

/// The user that runs a capture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserKind {
    Root,
    CaptureGroup,
    EngineGroup,
}

/// Copies of the program that all users may run, each with the static program beside it.
pub(crate) struct Programs {
    capable: PathBuf,
    plain: PathBuf,
    #[expect(dead_code)]
    folder: TempDir,
}

impl Programs {
    pub(crate) fn make() -> Self {
        let folder = folder();
        let beside = format!("containerdump-{}", std::env::consts::ARCH);
        let copy = |name: &str| {
            let path = folder.path().join(name).join("containerdump");
            fs::create_dir(path.parent().expect("a folder")).expect("a folder");
            let ours = Path::new(env!("CARGO_BIN_EXE_containerdump"));
            fs::copy(ours, &path).expect("a copy");
            fs::copy(ours.with_file_name(&beside), path.with_file_name(&beside))
                .expect("the static program, which make test builds");
            path
        };
        let (capable, plain) = (copy("capable"), copy("plain"));
        output(Command::new("setcap").arg("cap_net_raw=ep").arg(&capable));
        Self { capable, plain, folder }
    }

    /// The program, run by `user`.
    pub(crate) fn run_by(&self, user: UserKind, lab: &Lab) -> Command {
        let path = match user {
            UserKind::Root => {
                let mut program = lab.program();
                program.env_remove("CONTAINERDUMP_ENGINES");
                return program;
            }
            UserKind::CaptureGroup => &self.capable,
            UserKind::EngineGroup => &self.plain,
        };
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(path);
        command.env("DOCKER_HOST", &lab.endpoint).env_remove("XDG_RUNTIME_DIR");
        command
    }
}
