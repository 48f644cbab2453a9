//! A program on another host that hands its standard streams on to somebody else there, such as an engine: each
//! one that is started is a connection to that.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::ioctl_fionbio;

use super::connection::{Connection, PERSIST};
use super::settings::Settings;
use super::{Asking, failure};
use crate::broker::PROGRAM;
use crate::error::Error;

/// Most bytes read of why it failed.
const MOST_SAID: usize = 4096;

/// One of them. Dropping it ends it.
#[derive(Debug)]
pub struct Dialled {
    connection: Connection,
    stream: UnixStream,
    child: Child,
    errors: ChildStderr,
    /// Whether it could ask for a passphrase.
    can_ask: bool,
}

/// Whether nobody may be asked for a passphrase, whatever there is to ask in.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// From now on nobody is asked for anything: who waits does not see it.
pub fn ask_nobody() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

impl Connection {
    /// The port that it leads to, as the settings of `ssh` say; 22 where they cannot be asked.
    pub fn port(&self) -> u16 {
        if let Some(port) = self.host().port() {
            return port;
        }
        Settings::read(self.host()).port.unwrap_or(22)
    }

    /// Starts `command` there, which is text of this program. The first one connects, and all others use its
    /// connection. Nothing is waited for.
    ///
    /// Fails when `ssh` does not start.
    pub fn dial(&self, command: &str) -> io::Result<Dialled> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut arguments = self.arguments();
        let is_first = !self.is_open();
        let asking = if IS_QUIET.load(Ordering::Relaxed) { Asking::Nobody } else { self.terms().asking };
        let manner = asking.manner();
        let people = is_first && manner.people;
        let batch = if people { "BatchMode=no" } else { "BatchMode=yes" };
        for option in ["ControlMaster=auto", PERSIST, batch] {
            arguments.extend(["-o".to_owned(), option.to_owned()]);
        }
        arguments.extend(self.destination(command));
        let start = |ssh: &mut Command| {
            ssh.args(&arguments).envs(manner.environment.iter().cloned()).stderr(Stdio::piped());
            ssh.stdin(OwnedFd::from(theirs.try_clone()?)).stdout(OwnedFd::from(theirs.try_clone()?));
            // What is typed to end a capture is for us; but what asks for a passphrase has to be in the terminal's job.
            if !people {
                ssh.process_group(0);
            }
            ssh.spawn()
        };
        // Signals are kept from this program, and would be from what it starts.
        let mut child =
            start(Command::new(PROGRAM).args(["ssh", "--"])).or_else(|_| start(&mut Command::new("ssh")))?;
        let errors = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        ioctl_fionbio(&errors, true)?;
        Ok(Dialled { connection: self.clone(), stream, child, errors, can_ask: manner.people })
    }
}

impl Dialled {
    /// What comes and goes.
    ///
    /// Fails when there is no file descriptor left.
    pub fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// Whether what is started later will use the connection of this one, or none: its own connecting is over.
    pub fn is_connected(&mut self) -> bool {
        self.connection.is_open() || !matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, once it has: why, where it was without success.
    pub fn ended(&mut self) -> Option<Result<(), Error>> {
        let status = self.child.try_wait().ok()??;
        let mut said = [0; MOST_SAID];
        // Its master may keep it open: it is not read to its end.
        let count = self.errors.read(&mut said).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[..count]);
        let host = self.connection.host();
        Some(match status.code() {
            Some(0) => Ok(()),
            Some(255) => Err(failure::connecting(host, self.can_ask, &said)),
            _ => Err(failure::of_command(host, &said)),
        })
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
