//! The connection to a host: one master process, which authenticates once, and the sessions over it.

use std::io;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::probe::PROBE_COMMAND;
use super::prompt::PromptSettings;
use super::socket_dir::SocketDir;
use super::{Host, Probe, PromptMode, RemoteStderr, SshSession, ciphers, diagnosis, errors};
use crate::child::{CHILD_POLL_INTERVAL, ChildOutput, spawn_unprivileged, wait_or_kill};
use crate::error::Error;
use crate::own_program;

/// For a master process to exit, and for a connection attempt to be cancelled.
const MASTER_EXIT_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_PROBE_LEN: usize = 64 * 1024;

/// Set whatever the configuration says. Keys, agent, jump hosts and the policy for host keys are the user's; the
/// remote host gets no way back to this machine.
const ENFORCED_OPTIONS: [&str; 8] = [
    // A dead link is detected after 12 seconds.
    "ServerAliveInterval=3",
    "ServerAliveCountMax=3",
    "ConnectTimeout=15",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
];
/// The master exits after this many seconds without a session, if this program was killed.
pub(super) const CONTROL_PERSIST: &str = "ControlPersist=10";

/// What a connection may do, and who is notified of its progress.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions {
    /// Whether the program may be uploaded to a host where it is not installed.
    pub may_upload: bool,
    /// Where `ssh` may ask for a passphrase.
    pub prompt_mode: PromptMode,
    /// Called on any thread.
    pub on_event: fn(&Host, &ConnectionEvent),
}

/// Progress of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEvent {
    /// The program is being uploaded.
    UploadProgress {
        /// Bytes that have arrived.
        received: usize,
        /// Bytes in all.
        total: usize,
    },
    /// The upload has ended, successfully or not.
    UploadEnded,
    /// A message for the user, without the name of the host.
    Message(String),
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { may_upload: true, prompt_mode: PromptMode::default(), on_event: |_, _| {} }
    }
}

/// A connection to a host. [`SshConnection::close`] or dropping the last clone ends it; if this program is killed, its
/// sessions end at once and the master after ten seconds.
#[derive(Clone, Debug)]
pub struct SshConnection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    host: Host,
    options: ConnectOptions,
    socket_dir: SocketDir,
    /// The `ssh` that is connecting.
    connecting: Mutex<Option<Child>>,
}

impl SshConnection {
    /// Prepares a connection to `host`; [`SshConnection::open`] connects.
    ///
    /// # Errors
    /// The folder for its socket cannot be created.
    pub fn new(host: &Host, options: ConnectOptions) -> Result<Self, Error> {
        let socket_dir = SocketDir::create().map_err(|error| {
            Error::new(
                format!("cannot create a folder in /tmp: {error}"),
                "check that /tmp has free space and is writable, or set XDG_RUNTIME_DIR",
            )
        })?;
        Ok(Self(Arc::new(Inner { host: host.clone(), options, socket_dir, connecting: Mutex::new(None) })))
    }

    /// The remote host.
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    pub(super) fn options(&self) -> ConnectOptions {
        self.0.options
    }

    /// Connects and probes the host. Another thread may cancel this with [`SshConnection::close`].
    ///
    /// # Errors
    /// `ssh` cannot be started or cannot connect, or the login shell does not run commands.
    pub fn open(&self) -> Result<Probe, Error> {
        let Inner { host, options, .. } = &*self.0;
        let prompt = options.prompt_mode.settings();
        let (mut stdout, mut stderr) =
            self.start_master(&prompt).map_err(|error| errors::cannot_start_ssh(host, &error))?;
        let deadline = Instant::now() + prompt.timeout;
        let status = loop {
            let exited = match &mut *self.0.connecting() {
                Some(child) => child.try_wait(),
                None => return Err(errors::cannot_connect(host, "interrupted", "connect again")),
            };
            match exited {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => {
                    stdout.read();
                    std::thread::sleep(CHILD_POLL_INTERVAL);
                }
                Ok(None) | Err(_) => break None,
            }
        };
        self.0.cancel_connecting();
        if status.is_none() {
            let cause = format!("no answer within {} seconds", prompt.timeout.as_secs());
            return Err(errors::cannot_connect(host, &cause, &errors::check_ssh(host)));
        }
        stderr.wait(MASTER_EXIT_TIMEOUT);
        match Probe::parse(&String::from_utf8_lossy(stdout.read())) {
            Some(probe) => Ok(probe),
            // 255 is the status of ssh itself: any other is that of the login shell.
            None if status.and_then(|status| status.code()) != Some(255) => {
                let remedy = format!("check the output of: {} uname", errors::ssh_command(host));
                Err(errors::cannot_connect(host, "the login shell does not run commands", &remedy))
            }
            None => Err(diagnosis::connection_error(host, prompt.can_prompt, &stderr.last_lines())),
        }
    }

    fn start_master(&self, prompt: &PromptSettings) -> io::Result<(ChildOutput<ChildStdout>, RemoteStderr)> {
        let mut arguments = Vec::new();
        let mut add = |option: &str| arguments.extend(["-o".to_owned(), option.to_owned()]);
        // The first value of an option wins.
        prompt.ssh_option.into_iter().for_each(&mut add);
        add("ControlMaster=yes");
        add(CONTROL_PERSIST);
        if !prompt.can_prompt {
            add("BatchMode=yes");
        }
        if let Some(option) = ciphers::option(&self.0.host) {
            add(&option);
        }
        arguments.extend(self.base_arguments());
        arguments.extend(self.destination_arguments(PROBE_COMMAND));
        let mut child = spawn_ssh(|ssh| {
            ssh.args(&arguments).envs(prompt.environment.iter().cloned());
            ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            Ok(())
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        *self.0.connecting() = Some(child);
        let (stdout, stderr) = stdout.zip(stderr).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((ChildOutput::new(stdout, MAX_PROBE_LEN)?, RemoteStderr::collect(stderr, || {})?))
    }

    /// Runs `command` on the host. It must be a constant of this program: nothing else may reach a remote shell.
    pub(super) fn start_session(&self, command: &str) -> Result<SshSession, Error> {
        let host = &self.0.host;
        let mut ssh = Command::new("ssh");
        ssh.args(self.base_arguments());
        // Without its master it must not connect a second time.
        for option in ["ControlMaster=no", "ProxyCommand=false", "BatchMode=yes"] {
            ssh.args(["-o", option]);
        }
        ssh.args(self.destination_arguments(command));
        SshSession::start(host, ssh).map_err(|error| errors::cannot_start_ssh(host, &error))
    }

    /// Ends the connection and its sessions.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether the master accepts sessions.
    pub(super) fn is_open(&self) -> bool {
        self.0.socket_dir.socket().exists()
    }

    /// The arguments of every `ssh` of this connection.
    pub(super) fn base_arguments(&self) -> Vec<String> {
        self.0.base_arguments()
    }

    pub(super) fn destination_arguments(&self, command: &str) -> Vec<String> {
        let Inner { host, .. } = &*self.0;
        let mut arguments = host.options().to_arguments();
        arguments.extend(host.login_arguments());
        arguments.extend(["--".to_owned(), host.name().to_owned(), command.to_owned()]);
        arguments
    }
}

impl Inner {
    fn close(&self) {
        self.cancel_connecting();
        let Self { host, socket_dir, .. } = self;
        if socket_dir.socket().exists() {
            let mut ssh = Command::new("ssh");
            ssh.args(self.base_arguments()).args(["-O", "exit", "--", host.name()]);
            ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            if let Ok(mut child) = spawn_unprivileged(&mut ssh) {
                wait_or_kill(&mut child, MASTER_EXIT_TIMEOUT);
            }
        }
        socket_dir.remove();
    }

    /// Ends an `ssh` that is still connecting. SIGTERM first, so that it restores the terminal.
    fn cancel_connecting(&self) {
        let Some(mut child) = self.connecting().take() else { return };
        if matches!(child.try_wait(), Ok(None)) {
            let pid = i32::try_from(child.id()).unwrap_or(0);
            if pid > 0 {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            wait_or_kill(&mut child, MASTER_EXIT_TIMEOUT);
        }
    }

    fn connecting(&self) -> MutexGuard<'_, Option<Child>> {
        self.connecting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn base_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["-T".to_owned()];
        let socket = format!("ControlPath={}", self.socket_dir.socket().display());
        for option in ENFORCED_OPTIONS.into_iter().chain(["LogLevel=ERROR", &socket]) {
            arguments.extend(["-o".to_owned(), option.to_owned()]);
        }
        arguments
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Spawns `ssh` through `containerdump ssh`, which unblocks the signals that this program blocks: Ctrl-C must end a
/// passphrase prompt.
pub(super) fn spawn_ssh(prepare: impl Fn(&mut Command) -> io::Result<()>) -> io::Result<Child> {
    let spawn = |mut ssh: Command| {
        prepare(&mut ssh)?;
        spawn_unprivileged(&mut ssh)
    };
    let mut through_own = Command::new(own_program::EXECUTABLE);
    through_own.args(["ssh", "--"]);
    spawn(through_own).or_else(|_| spawn(Command::new("ssh")))
}
