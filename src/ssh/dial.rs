//! Remote commands that forward their standard streams to an engine, such as `docker system dial-stdio`.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::ioctl_fionbio;

use super::config::SshConfig;
use super::connection::{CONTROL_PERSIST, SshConnection, spawn_ssh};
use super::{PromptMode, diagnosis, errors};
use crate::error::Error;

const MAX_DIAL_STDERR_LEN: usize = 4096;

/// A running command whose standard streams are a connection. Dropping it ends the command.
#[derive(Debug)]
pub struct StdioConnection {
    connection: SshConnection,
    stream: UnixStream,
    child: Child,
    stderr: ChildStderr,
    can_prompt: bool,
}

static PROMPTS_DISABLED: AtomicBool = AtomicBool::new(false);

/// Keeps `ssh` from prompting in this process from now on, whatever its [`PromptMode`].
pub fn disable_prompts() {
    PROMPTS_DISABLED.store(true, Ordering::Relaxed);
}

impl SshConnection {
    /// The port of the SSH server according to the address or the SSH configuration, else 22.
    pub fn port(&self) -> u16 {
        if let Some(port) = self.host().port() {
            return port;
        }
        SshConfig::read(self.host()).port.unwrap_or(22)
    }

    /// Starts `command`, a constant of this program, without waiting for it. The first one connects, all others use its
    /// connection.
    ///
    /// # Errors
    /// `ssh` cannot be started.
    pub fn dial(&self, command: &str) -> io::Result<StdioConnection> {
        let (stream, remote_end) = UnixStream::pair()?;
        let mut arguments = self.base_arguments();
        let is_first = !self.is_open();
        let prompts_disabled = PROMPTS_DISABLED.load(Ordering::Relaxed);
        let mode = if prompts_disabled { PromptMode::Background } else { self.options().prompt_mode };
        let prompt = mode.settings();
        let may_prompt = is_first && prompt.can_prompt;
        let batch = if may_prompt { "BatchMode=no" } else { "BatchMode=yes" };
        for option in ["ControlMaster=auto", CONTROL_PERSIST, batch] {
            arguments.extend(["-o".to_owned(), option.to_owned()]);
        }
        arguments.extend(self.destination_arguments(command));
        let mut child = spawn_ssh(|ssh| {
            ssh.args(&arguments).envs(prompt.environment.iter().cloned()).stderr(Stdio::piped());
            ssh.stdin(OwnedFd::from(remote_end.try_clone()?)).stdout(OwnedFd::from(remote_end.try_clone()?));
            // Ctrl-C is for this program only; a passphrase prompt has to be in the foreground job of the terminal.
            if !may_prompt {
                ssh.process_group(0);
            }
            Ok(())
        })?;
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        ioctl_fionbio(&stderr, true)?;
        Ok(StdioConnection { connection: self.clone(), stream, child, stderr, can_prompt: prompt.can_prompt })
    }
}

impl StdioConnection {
    /// The standard input and output of the command.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Whether connecting is over: commands started from now on use this connection, or it has failed.
    pub fn is_connected(&mut self) -> bool {
        self.connection.is_open() || !matches!(self.child.try_wait(), Ok(None))
    }

    /// The outcome of the command, once it has exited.
    pub fn try_outcome(&mut self) -> Option<Result<(), Error>> {
        let status = self.child.try_wait().ok()??;
        let mut stderr = [0; MAX_DIAL_STDERR_LEN];
        // Not to its end: the master may keep it open.
        let count = self.stderr.read(&mut stderr).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&stderr[..count]);
        let host = self.connection.host();
        Some(match status.code() {
            Some(0) => Ok(()),
            Some(255) => Err(diagnosis::connection_error(host, self.can_prompt, &stderr)),
            _ => Err(errors::engine_command_failed(host, &stderr)),
        })
    }
}

impl Drop for StdioConnection {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
