//! Runs another program: by absolute path, with a clean environment, and not for ever.

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

/// Where programs of the system are.
const SEARCHED: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/bin"];
/// More than any program asked here has to say, in bytes.
const LONGEST: u64 = 4 << 20;
/// How long output may stay open after its program has ended.
const GRACE: Duration = Duration::from_millis(500);

/// What a program said.
pub(crate) struct Answer {
    /// Whether it ended with status 0.
    pub(crate) success: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// What of our own environment a program gets to see.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// Nothing.
    Clean,
    /// What decides where this user's Wireshark looks and which engine is asked.
    OfUser,
}

impl Environment {
    fn variables(self) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ];
        if self == Self::OfUser {
            variables.extend(std::env::vars_os().filter(|(name, _)| is_kept(&name.to_string_lossy())));
        }
        variables
    }
}

fn is_kept(name: &str) -> bool {
    ["HOME", "USER", "LOGNAME", "CONTAINER_HOST", "WIRESHARK_EXTCAP_DIR"].contains(&name)
        || name.starts_with("XDG_")
        || name.starts_with("DOCKER_")
}

/// Finds a program. Root finds it only where the system keeps its programs; anybody else also
/// where their own `PATH` leads.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_all(name).into_iter().next()
}

/// Finds every program of that name.
pub(crate) fn find_all(name: &str) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if !geteuid().is_root()
        && let Some(path) = std::env::var_os("PATH")
    {
        folders.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()));
    }
    folders.extend(SEARCHED.map(PathBuf::from));
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

/// Runs `program` for at most `longest` and returns what it said.
pub(crate) fn run<Argument: AsRef<OsStr>>(
    program: &Path,
    arguments: &[Argument],
    environment: Environment,
    longest: Duration,
) -> Result<Answer, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::new(format!("cannot run {}: {why}", shown(program)), "run it by hand and see what it says")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.variables())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own, so that whatever it starts can be ended with it.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let Some(success) = wait(&mut child, longest).map_err(|error| failed(&error))? else {
        return Err(Error::new(
            format!("{} did not end within {} seconds and was stopped", shown(program), longest.as_secs()),
            "run it by hand; where it is Wireshark's, one of the programs in its extcap folders hangs",
        ));
    };
    let group = group_of(&child);
    Ok(Answer { success, stdout: collected(stdout, group), stderr: collected(stderr, group) })
}

/// Whether the child succeeded; `None` where it had to be stopped.
fn wait(child: &mut Child, longest: Duration) -> std::io::Result<Option<bool>> {
    let deadline = Instant::now() + longest;
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
        let _ = from.take(LONGEST).read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn collected(from: Option<Receiver<String>>, group: Pid) -> String {
    let Some(receiver) = from else {
        return String::new();
    };
    receiver
        .recv_timeout(GRACE)
        .or_else(|_| {
            // Something it left behind still holds the pipe.
            let _ = killpg(group, Signal::SIGKILL);
            receiver.recv_timeout(GRACE)
        })
        .unwrap_or_default()
}
