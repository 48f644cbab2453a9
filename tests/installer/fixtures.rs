//! Scratch roots, runs of the installer, and what tests need.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libtest_mimic::Trial;
use tempfile::TempDir;

/// An unprivileged user of every system.
pub(crate) const NOBODY: u32 = 65534;
/// A group of every system, without [`NOBODY`].
pub(crate) const GROUP: &str = "daemon";
/// Its number.
pub(crate) const GROUP_ID: u32 = 1;
/// The path of the program.
pub(crate) const PROGRAM: &str = "/usr/local/libexec/containerdump/containerdump";
/// The path of the static program.
pub(crate) const COMPANION: &str = if cfg!(target_arch = "aarch64") {
    "/usr/local/libexec/containerdump/containerdump-aarch64"
} else {
    "/usr/local/libexec/containerdump/containerdump-x86_64"
};
/// The path of the installer.
pub(crate) const INSTALLER: &str = "/usr/local/libexec/containerdump/containerdump-install";
/// The path of the command.
pub(crate) const COMMAND: &str = "/usr/local/bin/containerdump";

/// The variable with the engine under test.
pub(crate) const LAB: &str = "CONTAINERDUMP_LAB";

/// A requirement of a test.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    Root,
    Tshark,
    Ramfs,
    Engine,
}

impl Need {
    fn missing(self) -> Option<&'static str> {
        let (met, name) = match self {
            Self::Root => (nix::unistd::geteuid().is_root() && find("setcap").is_some(), "root and setcap"),
            Self::Tshark => (find("tshark").is_some(), "tshark"),
            Self::Engine => (std::env::var_os(LAB).is_some(), "a test engine (CONTAINERDUMP_LAB)"),
            Self::Ramfs => (knows_ramfs(), "a kernel with ramfs"),
        };
        (!met).then_some(name)
    }
}

fn knows_ramfs() -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.split_whitespace().any(|word| word == "ramfs")
}

/// A test named like its function.
macro_rules! trial {
    ($test:ident, $needs:expr) => {
        $crate::installer::fixtures::named_trial(stringify!($test), $needs, $test)
    };
}
pub(crate) use trial;

/// A test that is skipped with a message if the machine lacks something; with `CI=true` it fails.
pub(crate) fn named_trial(name: &'static str, needs: &[Need], body: fn()) -> Trial {
    let missing: Vec<&str> = needs.iter().filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        return Trial::test(name, move || {
            body();
            Ok(())
        });
    }
    let reason = format!("needs {}", missing.join(" and "));
    if std::env::var_os("CI").is_some_and(|value| value == "true") {
        return Trial::test(name, move || Err(reason.into()));
    }
    eprintln!("skipped: {name}: {reason}");
    Trial::test(name, || Ok(())).with_ignored_flag(true)
}

static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();

/// Copies both programs, stripped, to a directory of all users.
pub(crate) fn copy_programs() -> TempDir {
    let folder = open_folder();
    for (built, name) in [
        (env!("CARGO_BIN_EXE_containerdump"), "containerdump"),
        (env!("CARGO_BIN_EXE_containerdump-install"), "containerdump-install"),
    ] {
        let copy = folder.path().join(name);
        let stripped = Command::new("strip").arg("-o").arg(&copy).arg(built).status();
        if !stripped.is_ok_and(|status| status.success()) {
            fs::copy(built, &copy).expect("copy a program");
        }
        set_mode(&copy, 0o755);
    }
    PROGRAMS.get_or_init(|| folder.path().to_owned());
    folder
}

/// A folder with the program, and beside it a file like a static program of `version`.
pub(crate) fn with_companion(version: &str) -> TempDir {
    let folder = open_folder();
    fs::copy(built("containerdump"), folder.path().join("containerdump")).expect("copy a program");
    // An ELF header and one program header (include/uapi/linux/elf.h).
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let machine = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    (bytes[18], bytes[32], bytes[54], bytes[56]) = (machine, 64, 56, 1);
    bytes.extend([1, 0, 0, 0].into_iter().chain([0; 52]));
    bytes.extend(format!("\ncontainerdump {version}\n").as_bytes());
    let companion = folder.path().join(Path::new(COMPANION).file_name().expect("a name"));
    fs::write(&companion, bytes).expect("write a file");
    set_mode(&companion, 0o755);
    folder
}

/// One of the two programs.
pub(crate) fn built(name: &str) -> PathBuf {
    PROGRAMS.get().expect("copy_programs runs first").join(name)
}

/// A temporary folder that all users can enter.
pub(crate) fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("make a temporary folder");
    set_mode(folder.path(), 0o755);
    folder
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set a mode");
}

/// Finds a program in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}

/// The output and status of a program.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program to run, with its user and environment.
pub(crate) struct Run {
    command: Command,
}

impl Run {
    /// As the user of the tests.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self::with(Command::new(program))
    }

    /// As an unprivileged user with no group but `group`. Through `env`, since setpriv itself executes with root's
    /// capabilities.
    pub(crate) fn as_nobody(group: u32, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={group}"));
        command.args(["--clear-groups", "env"]).arg(program);
        Self::with(command)
    }

    fn with(mut command: Command) -> Self {
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin")
            .env("DOCKER_HOST", "unix:///nonexistent.sock")
            .env("CONTAINERDUMP_ENGINES", "docker");
        Self { command }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn run<Argument: AsRef<OsStr>>(mut self, arguments: &[Argument]) -> Said {
        let output = self.command.args(arguments).output().expect("run a program");
        Said {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// Asserts success.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:#?}");
        self
    }

    /// Asserts failure with a reason and a remedy.
    pub(crate) fn failed_saying(self, why: &str) -> Self {
        assert_eq!(self.status, Some(1), "{self:#?}");
        assert!(self.stderr.contains(why), "no word of {why:?} in {self:#?}");
        assert!(self.stderr.contains("Remedy: "), "no remedy in {self:#?}");
        self
    }
}

/// The capability of a file by getcap.
pub(crate) fn capability(path: &Path) -> String {
    let said = Run::new(find("getcap").expect("getcap")).run(&[path]).succeeded();
    said.stdout.trim().trim_start_matches(&*path.to_string_lossy()).trim().to_owned()
}

/// Everything below a folder, sorted.
pub(crate) fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("read a folder").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// A scratch root to install into.
pub(crate) struct Scratch {
    pub(crate) folder: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { folder: open_folder() }
    }

    /// A path in the scratch root.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// Creates a folder with root's owner and mode.
    pub(crate) fn make_folder(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(&path).expect("make a folder");
        path
    }

    pub(crate) fn run(&self, task: &str, arguments: &[&str]) -> Said {
        let mut all: Vec<OsString> = vec![task.into(), "--root".into(), self.folder.path().into()];
        all.extend(arguments.iter().map(OsString::from));
        Run::new(built("containerdump-install")).run(&all)
    }

    pub(crate) fn install(&self) -> Said {
        self.run("install", &["--group", GROUP])
    }
}
