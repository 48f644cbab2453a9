//! A program on another host, started over an open connection.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Host, RemoteStderr, errors};
use crate::child::{spawn_unprivileged, wait_or_kill};
use crate::error::Error;
use crate::peer::{PROTOCOL, parse_hello};
use crate::safe_text::SafeText;

/// A busy host may need long to start the program.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that a login shell may print before the hello line.
const MAX_BEFORE_HELLO: usize = 64 * 1024;
const PROGRAM_EXIT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that `ssh` may write ahead. The kernel doubles it, up to `net.core.wmem_max`; its default is 208 KiB.
const SEND_BUFFER_LEN: usize = 256 * 1024;

/// A running remote program. Dropping it ends the program.
#[derive(Debug)]
pub struct SshSession {
    host: Host,
    child: Child,
    stream: UnixStream,
    stderr: RemoteStderr,
}

/// Starts a constant command on the host of a connection.
pub(super) type StartSession<'a> = &'a dyn Fn(&str) -> Result<SshSession, Error>;

impl SshSession {
    /// Starts `ssh` as given by `command`.
    pub(super) fn start(host: &Host, mut command: Command) -> io::Result<Self> {
        let (stream, remote_end) = UnixStream::pair()?;
        // A smaller buffer only means more wake-ups.
        let _ = SockRef::from(&remote_end).set_send_buffer_size(SEND_BUFFER_LEN);
        command.stdin(Stdio::from(OwnedFd::from(remote_end.try_clone()?)));
        command.stdout(Stdio::from(OwnedFd::from(remote_end))).stderr(Stdio::piped());
        // Ctrl-C must not reach ssh: the remote program is asked for its last packets first.
        let mut child = spawn_unprivileged(command.process_group(0))?;
        // Closes this process's copies of the remote end.
        drop(command);
        let to_close = stream.try_clone()?;
        let on_limit = move || drop(to_close.shutdown(Shutdown::Both));
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stderr = RemoteStderr::collect(stderr, on_limit)?;
        Ok(Self { host: host.clone(), child, stream, stderr })
    }

    /// Reads the hello line and sends `request`, one line.
    ///
    /// # Errors
    /// The program is not containerdump, has another protocol version, or ends.
    pub fn send_request(&mut self, request: &str) -> Result<(), Error> {
        self.read_hello()?;
        (&self.stream).write_all(request.as_bytes()).map_err(|_| self.end_with_error())
    }

    fn read_hello(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + HELLO_TIMEOUT;
        let (mut line, mut byte, mut total) = (Vec::new(), [0], 0);
        while total < MAX_BEFORE_HELLO {
            match self.read_until(deadline, &mut byte) {
                Ok(1) if byte[0] == b'\n' => {
                    if let Some((protocol, version)) = parse_hello(&String::from_utf8_lossy(&line)) {
                        let is_same = protocol == PROTOCOL;
                        let error = || errors::incompatible_version(&self.host, &SafeText::new(version));
                        return is_same.then_some(()).ok_or_else(error);
                    }
                    line.clear();
                }
                Ok(1) => line.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    let cause = format!("no output within {} seconds", HELLO_TIMEOUT.as_secs());
                    return Err(self.no_hello(&cause));
                }
                Ok(_) | Err(_) => return Err(self.end_with_error()),
            }
            total += 1;
        }
        Err(self.no_hello(&format!("unexpected output exceeds {} KiB", MAX_BEFORE_HELLO / 1024)))
    }

    fn no_hello(&self, cause: &str) -> Error {
        let host = &self.host;
        Error::new(
            format!("the answer of {host} is not from containerdump: {cause}"),
            format!("check the output of: {} containerdump serve --hello", errors::ssh_command(host)),
        )
    }

    fn read_until(&self, deadline: Instant, bytes: &mut [u8]) -> io::Result<usize> {
        let remaining = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(remaining))?;
        (&self.stream).read(bytes)
    }

    /// The standard input and output of the program.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn stream(&self) -> Result<UnixStream, Error> {
        self.stream.try_clone().map_err(|error| {
            Error::new(
                format!("cannot read from {}: {error}", self.host),
                "raise the limit of file descriptors: ulimit -n",
            )
        })
    }

    /// Reads the output to its end: at most `max_len` bytes within `timeout`.
    ///
    /// # Errors
    /// It is longer or takes longer, or the program fails.
    pub fn read_to_end(&mut self, max_len: usize, timeout: Duration) -> Result<Vec<u8>, Error> {
        let deadline = Instant::now() + timeout;
        let (mut output, mut bytes) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            match self.read_until(deadline, &mut bytes) {
                Ok(0) => break,
                Ok(count) => output.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    return Err(
                        self.answer_error(&format!("takes longer than {} seconds", timeout.as_secs()))
                    );
                }
                Err(_) => return Err(self.end_with_error()),
            }
            if output.len() > max_len {
                return Err(self.answer_error(&format!("is longer than {} MiB", max_len / (1024 * 1024))));
            }
        }
        if self.wait().is_some_and(|status| status.success()) {
            Ok(output)
        } else {
            Err(self.end_with_error())
        }
    }

    fn answer_error(&self, problem: &str) -> Error {
        let host = &self.host;
        Error::new(
            format!("the answer of containerdump on {host} {problem}"),
            format!("{} containerdump list", errors::check_ssh(host)),
        )
    }

    /// Takes the new lines of its standard error.
    pub fn take_stderr_lines(&self) -> Vec<SafeText> {
        self.stderr.take_lines()
    }

    /// Ends the program and returns why it failed, as far as it or `ssh` reported it, else `otherwise`.
    pub fn explain(&mut self, otherwise: Error) -> Error {
        let _ = self.stream.shutdown(Shutdown::Both);
        let status = self.wait();
        self.stderr.wait(PROGRAM_EXIT_TIMEOUT);
        let host = &self.host;
        if self.stderr.is_over_limit() {
            return Error::new(
                format!("containerdump on {host} writes too much to standard error"),
                format!("check the output of: {} containerdump list", errors::ssh_command(host)),
            );
        }
        match self.stderr.reported_error() {
            Some(reported) => errors::program_failed(host, &reported),
            // 255 is the status of ssh itself.
            None if status.and_then(|status| status.code()) == Some(255) => {
                errors::connection_lost(host, &self.stderr.last_lines())
            }
            None => otherwise,
        }
    }

    fn end_with_error(&mut self) -> Error {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.stderr.wait(PROGRAM_EXIT_TIMEOUT);
        let last = self.stderr.last_lines();
        self.explain(errors::program_failed(&self.host, &last))
    }

    /// Ends the program and returns why it failed, if it did.
    pub fn failure(&mut self) -> Option<Error> {
        let _ = self.stream.shutdown(Shutdown::Both);
        let failed = self.wait().and_then(|status| status.code()).is_some_and(|code| code != 0);
        (failed || self.stderr.is_over_limit()).then(|| self.end_with_error())
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        wait_or_kill(&mut self.child, PROGRAM_EXIT_TIMEOUT)
    }
}

impl Drop for SshSession {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.wait();
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
