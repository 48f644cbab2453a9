//! The connection to a host: one master, which authenticates once, and what runs over it.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::asking::Manner;
use super::folder::Folder;
use super::{Host, Probe, Said, Session, Terms, failure, probe};
use crate::broker::PROGRAM;
use crate::error::Error;

/// How long the master is waited for at the end, and one that connects.
const PATIENCE_AT_END: Duration = Duration::from_secs(2);
/// What a host says of itself has less.
const MOST_SAID: u64 = 64 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is asked of `ssh` whatever its settings say. Keys, agent, jumps and the policy for host keys are the
/// user's; the host gets no way back to this machine.
const OPTIONS: [&str; 8] = [
    // A link that is dead is known to be after 12 seconds.
    "ServerAliveInterval=3",
    "ServerAliveCountMax=3",
    "ConnectTimeout=15",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
];
/// The master stays this long, in seconds, once nothing runs over it and nobody ended it.
pub(super) const PERSIST: &str = "ControlPersist=10";

/// A connection. It ends with [`Connection::end`] or its last copy; where this program is killed, ten seconds
/// after what ran over it, which ends at once.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Host,
    terms: Terms,
    folder: Folder,
    /// `ssh` that connects, until it has.
    opening: Mutex<Option<Child>>,
}

impl Connection {
    /// One to `host`, which [`Connection::open`] opens.
    ///
    /// Fails when there is no place for its socket.
    pub fn to(host: &Host) -> Result<Self, Error> {
        Self::under(host, Terms::default())
    }

    /// The same on terms of its own.
    ///
    /// Fails when there is no place for its socket.
    pub fn under(host: &Host, terms: Terms) -> Result<Self, Error> {
        let folder = Folder::make().map_err(|error| {
            Error::new(
                format!("cannot make a folder in /tmp: {error}"),
                "see that it has room and may be written to",
            )
        })?;
        Ok(Self(Arc::new(Inner { host: host.clone(), terms, folder, opening: Mutex::new(None) })))
    }

    /// Where it leads.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    pub(super) fn terms(&self) -> Terms {
        self.0.terms
    }

    /// Connects, and looks what is there. Any thread may call [`Connection::end`] meanwhile.
    ///
    /// Fails when there is no `ssh`, it says why it cannot, or what answers cannot be used.
    pub fn open(&self) -> Result<Probe, Error> {
        let Inner { host, terms, .. } = &*self.0;
        let manner = terms.asking.manner();
        let (stdout, mut said) = self.start(&manner).map_err(|error| {
            let remedy = "see that ssh is installed (Debian: openssh-client) and can be started";
            failure::cannot_connect(host, &format!("ssh does not start: {error}"), remedy)
        })?;
        let answer = std::thread::Builder::new().spawn(move || {
            let mut text = Vec::new();
            let _ = stdout.take(MOST_SAID).read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let answer =
            answer.map_err(|error| failure::cannot_connect(host, &error.to_string(), "ulimit -u"))?;
        let until = Instant::now() + manner.patience;
        let status = loop {
            let ended = match &mut *self.opening() {
                Some(child) => child.try_wait(),
                None => return Err(failure::cannot_connect(host, "interrupted", "connect again")),
            };
            match ended {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                Ok(None) | Err(_) => break None,
            }
        };
        self.0.give_up_opening();
        if status.is_none() {
            let remedy = format!("see that this works: {}", failure::command(host));
            return Err(failure::cannot_connect(host, "it does not answer", &remedy));
        }
        said.wait(PATIENCE_AT_END);
        let answer = answer.join().unwrap_or_default();
        match Probe::read(&answer) {
            Some(probe) => Ok(probe),
            // It came as far as a shell, or what stands for one.
            None if status.and_then(|status| status.code()) != Some(255) => {
                let why = "the login does not run commands";
                let remedy = format!("see what this prints: {} uname", failure::command(host));
                Err(failure::cannot_connect(host, why, &remedy))
            }
            None => Err(failure::connecting(host, manner.people, &said.last())),
        }
    }

    fn start(&self, manner: &Manner) -> io::Result<(ChildStdout, Said)> {
        let mut arguments = Vec::new();
        let mut add = |option: &str| arguments.extend(["-o".to_owned(), option.to_owned()]);
        // The first that is said of something counts.
        manner.option.into_iter().for_each(&mut add);
        add("ControlMaster=yes");
        add(PERSIST);
        if !manner.people {
            add("BatchMode=yes");
        }
        arguments.extend(self.arguments());
        arguments.extend(self.destination(probe::COMMAND));
        let start = |command: &mut Command| {
            command.args(&arguments).envs(manner.environment.iter().cloned());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        };
        // Signals are kept from this program, and would be from what it starts: a key typed to end it
        // must end a question for a password.
        let mut child =
            start(Command::new(PROGRAM).args(["ssh", "--"])).or_else(|_| start(&mut Command::new("ssh")))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        *self.opening() = Some(child);
        let (stdout, stderr) = stdout.zip(stderr).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((stdout, Said::read(stderr, || {})?))
    }

    /// Runs `command` there. It is text of this program: nothing else may reach the shell there.
    pub(super) fn session(&self, command: &str) -> Result<Session, Error> {
        let host = &self.0.host;
        let mut ssh = Command::new("ssh");
        ssh.args(self.arguments());
        // Without its master it must not connect a second time.
        for option in ["ControlMaster=no", "ProxyCommand=false", "BatchMode=yes"] {
            ssh.args(["-o", option]);
        }
        ssh.args(self.destination(command));
        Session::start(host, ssh).map_err(|error| {
            let remedy = "see that ssh is installed (Debian: openssh-client) and can be started";
            failure::cannot_connect(host, &format!("ssh does not start: {error}"), remedy)
        })
    }

    /// Ends it, and what runs over it.
    pub fn end(&self) {
        self.0.end();
    }

    fn opening(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.opening()
    }

    /// Whether it is there to be used.
    pub(super) fn is_open(&self) -> bool {
        self.0.folder.socket().exists()
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        self.0.arguments()
    }

    pub(super) fn destination(&self, command: &str) -> Vec<String> {
        let Inner { host, .. } = &*self.0;
        let mut arguments = host.way().arguments();
        arguments.extend(host.login_arguments());
        arguments.extend(["--".to_owned(), host.name().to_owned(), command.to_owned()]);
        arguments
    }
}

impl Inner {
    fn end(&self) {
        self.give_up_opening();
        let Self { host, folder, .. } = self;
        if folder.socket().exists() {
            let mut ssh = Command::new("ssh");
            ssh.args(self.arguments()).args(["-O", "exit", "--", host.name()]);
            ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Ok(mut child) = ssh.spawn() {
                end_within(&mut child, PATIENCE_AT_END);
            }
        }
        folder.remove();
    }

    /// Ends `ssh` that still connects, if there is one: it has to leave a terminal as it was.
    fn give_up_opening(&self) {
        let Some(mut child) = self.opening().take() else { return };
        if matches!(child.try_wait(), Ok(None)) {
            let pid = i32::try_from(child.id()).unwrap_or(0);
            if pid > 0 {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            end_within(&mut child, PATIENCE_AT_END);
        }
    }

    fn opening(&self) -> MutexGuard<'_, Option<Child>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every `ssh` of this connection is told.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["-T".to_owned()];
        let socket: PathBuf = self.folder.socket();
        // Its path is plain (see `Folder`).
        let socket = format!("ControlPath={}", socket.display());
        for option in OPTIONS.into_iter().chain(["LogLevel=ERROR", &socket]) {
            arguments.extend(["-o".to_owned(), option.to_owned()]);
        }
        arguments
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.end();
    }
}

fn end_within(child: &mut Child, patience: Duration) {
    let until = Instant::now() + patience;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
    let _ = child.kill();
    let _ = child.wait();
}
