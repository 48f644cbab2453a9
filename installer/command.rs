//! Runs other programs: by absolute path, with a minimal environment and a timeout.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};

use containerdump::error::Error;

use crate::layout::shown;

/// Folders of the system's programs.
const SYSTEM_FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/bin"];
/// More than any program asked here has to print_line, in bytes.
const MAX_OUTPUT_LEN: u64 = 4 << 20;
/// How long output may stay open after its program has exited.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);

/// The result of a program.
pub(crate) struct CommandOutput {
    /// Whether its exit status was 0.
    pub(crate) success: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// The environment variables that a program gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// `PATH` and `LC_ALL` only.
    Clean,
    /// Also those that decide which folders Wireshark uses and which engine is connected to.
    User,
}

impl Environment {
    fn variables(self) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ];
        if self == Self::User {
            variables.extend(std::env::vars_os().filter(|(name, _)| is_passed_on(&name.to_string_lossy())));
        }
        variables
    }
}

fn is_passed_on(name: &str) -> bool {
    ["HOME", "USER", "LOGNAME", "CONTAINER_HOST", "WIRESHARK_EXTCAP_DIR"].contains(&name)
        || name.starts_with("XDG_")
        || name.starts_with("DOCKER_")
}

/// Finds a program: for root in the system's folders only, for other users also in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_all(name).into_iter().next()
}

/// Finds all programs of that name, each file once.
pub(crate) fn find_all(name: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if !geteuid().is_root()
        && let Some(path) = std::env::var_os("PATH")
    {
        folders.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()));
    }
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    let mut found: Vec<PathBuf> = Vec::new();
    let mut real: Vec<PathBuf> = Vec::new();
    for program in folders.into_iter().map(|folder| folder.join(name)) {
        if let Ok(place) = program.canonicalize()
            && place.is_file()
            && !real.contains(&place)
        {
            real.push(place);
            found.push(program);
        }
    }
    found
}

/// Runs `program` and returns its output.
///
/// Fails when it cannot be started, or has not exited after `timeout`; it is killed then.
pub(crate) fn run<Argument: AsRef<OsStr>>(
    program: &Path,
    arguments: &[Argument],
    environment: Environment,
    timeout: Duration,
) -> Result<CommandOutput, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(format!("cannot run {}: {why}", shown(program)), "run it yourself to see its messages")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.variables())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own process group, so that its children are killed with it.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let Some(success) = wait(&mut child, timeout).map_err(|error| failed(&error))? else {
        return Err(Error::new(
            format!("{} did not exit within {} seconds and was killed", shown(program), timeout.as_secs()),
            "run it yourself; if it belongs to Wireshark, a program in one of its extcap folders hangs",
        ));
    };
    let group = group_of(&child);
    Ok(CommandOutput { success, stdout: collected(stdout, group), stderr: collected(stderr, group) })
}

/// Whether the child succeeded; `None` where it was killed after `timeout`.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<bool>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= deadline {
            let _ = killpg(group_of(child), Signal::SIGKILL);
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn group_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}

fn collect(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.take(MAX_OUTPUT_LEN).read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn collected(from: Option<Receiver<String>>, group: Pid) -> String {
    let Some(receiver) = from else {
        return String::new();
    };
    receiver
        .recv_timeout(OUTPUT_TIMEOUT)
        .or_else(|_| {
            // A process that it started still holds the pipe.
            let _ = killpg(group, Signal::SIGKILL);
            receiver.recv_timeout(OUTPUT_TIMEOUT)
        })
        .unwrap_or_default()
}
