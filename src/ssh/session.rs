//! A program that runs on another host, over a connection that is there already.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Host, Said, failure};
use crate::error::Error;
use crate::peer::{self, PROTOCOL, PeerRequest};
use crate::safe_text::SafeText;

/// How long the program may take to say its first word: it may have to wait for a busy machine there.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that a login shell may say before.
const MOST_BEFORE_HELLO: usize = 64 * 1024;
/// How long an end that has come is waited for.
const PATIENCE_FOR_END: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Bytes that `ssh` may write ahead: the kernel gives twice as much, as far as `net.core.wmem_max` goes, or 208 KiB where
/// it is not asked.
const ROOM: usize = 256 * 1024;

/// One of them. Dropping it ends the program there.
#[derive(Debug)]
pub struct Session {
    host: Host,
    child: Child,
    stream: UnixStream,
    said: Said,
}

impl Session {
    /// Starts `command`, which is `ssh`.
    pub(super) fn start(host: &Host, mut command: Command) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        // Less only means more waits.
        let _ = SockRef::from(&theirs).set_send_buffer_size(ROOM);
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs.try_clone()?)));
        command.stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stderr(Stdio::piped());
        // What is typed to end the capture is for us: we ask the program there for what is left.
        let mut child = command.process_group(0).spawn()?;
        // Its ends of the stream are its own only.
        drop(command);
        let of_stream = stream.try_clone()?;
        let end = move || drop(of_stream.shutdown(Shutdown::Both));
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let said = Said::read(stderr, end)?;
        Ok(Self { host: host.clone(), child, stream, said })
    }

    /// Asks our program there for something, once it has said what it speaks.
    ///
    /// Fails when it does not, or speaks something else.
    pub fn ask(&mut self, request: &PeerRequest) -> Result<(), Error> {
        self.greet()?;
        (&self.stream).write_all(request.line().as_bytes()).map_err(|_| self.broke_off())
    }

    fn greet(&mut self) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        let (mut line, mut byte, mut total) = (Vec::new(), [0], 0);
        while total < MOST_BEFORE_HELLO {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| (&self.stream).read(&mut byte));
            match read {
                Ok(1) if byte[0] == b'\n' => {
                    if let Some((protocol, version)) = peer::parse_hello(&String::from_utf8_lossy(&line)) {
                        return self.same_protocol(protocol, &SafeText::new(version));
                    }
                    line.clear();
                }
                Ok(1) => line.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(self.no_hello(&format!("no output within {} seconds", PATIENCE.as_secs())));
                }
                Ok(_) | Err(_) => return Err(self.broke_off()),
            }
            total += 1;
        }
        Err(self.no_hello(&format!("unexpected output exceeds {} KiB", MOST_BEFORE_HELLO / 1024)))
    }

    fn no_hello(&self, why: &str) -> Error {
        let host = &self.host;
        Error::new(
            format!("what answers on {host} is not containerdump: {why}"),
            format!("see what this prints: {} containerdump far --hello", failure::command(host)),
        )
    }

    fn same_protocol(&self, protocol: u32, version: &SafeText) -> Result<(), Error> {
        if protocol == PROTOCOL {
            return Ok(());
        }
        Err(other_protocol(&self.host, version))
    }

    /// What comes out of it.
    ///
    /// Fails when there are no file descriptors left.
    pub fn stream(&self) -> Result<UnixStream, Error> {
        self.stream.try_clone().map_err(|error| {
            Error::new(
                format!("cannot read from {}: {error}", self.host),
                "free some file descriptors: ulimit -n",
            )
        })
    }

    /// All that comes out of it, at most `most` bytes within `patience`.
    ///
    /// Fails when it is more or takes longer, or the program there fails.
    pub fn read_to_end(&mut self, most: usize, patience: Duration) -> Result<Vec<u8>, Error> {
        let until = Instant::now() + patience;
        let (mut all, mut bytes) = (Vec::new(), vec![0; 64 * 1024]);
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let read =
                self.stream.set_read_timeout(Some(left)).and_then(|()| (&self.stream).read(&mut bytes));
            match read {
                Ok(0) => break,
                Ok(count) => all.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(self.too(&format!("takes longer than {} seconds", patience.as_secs())));
                }
                Err(_) => return Err(self.broke_off()),
            }
            if all.len() > most {
                return Err(self.too(&format!("is longer than {} MiB", most / (1024 * 1024))));
            }
        }
        if self.status().is_some_and(|status| status.success()) { Ok(all) } else { Err(self.broke_off()) }
    }

    fn too(&self, what: &str) -> Error {
        let host = &self.host;
        Error::new(
            format!("the answer of containerdump on {host} {what}"),
            format!("see that this works: {} containerdump list", failure::command(host)),
        )
    }

    /// What it says on its standard error meanwhile, each line once.
    pub fn lines(&self) -> Vec<SafeText> {
        self.said.lines()
    }

    /// Why it failed, as far as it or `ssh` said; else `otherwise`. It ends.
    pub fn explain(&mut self, otherwise: Error) -> Error {
        let _ = self.stream.shutdown(Shutdown::Both);
        let status = self.status();
        self.said.wait(PATIENCE_FOR_END);
        let host = &self.host;
        if self.said.is_flood() {
            return Error::new(
                format!("containerdump on {host} floods its standard error"),
                format!("see what this prints: {} containerdump list", failure::command(host)),
            );
        }
        match self.said.reason() {
            Some(reason) => {
                let told = failure::broke_off(host, &reason);
                Error::new(format!("on {host}: {}", told.message()), told.remedy().as_str())
            }
            None if status.and_then(|status| status.code()) == Some(255) => lost(host, &self.said.last()),
            None => otherwise,
        }
    }

    fn broke_off(&mut self) -> Error {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.said.wait(PATIENCE_FOR_END);
        let last = self.said.last();
        self.explain(failure::broke_off(&self.host, &last))
    }

    /// Why it failed, if it did. It ends.
    pub fn failure(&mut self) -> Option<Error> {
        let _ = self.stream.shutdown(Shutdown::Both);
        let failed = self.status().and_then(|status| status.code()).is_some_and(|code| code != 0);
        (failed || self.said.is_flood()).then(|| self.broke_off())
    }

    /// Its status, once it has ended; it is made to.
    fn status(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + PATIENCE_FOR_END;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
                Ok(None) | Err(_) => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return None;
                }
                Ok(status) => return status,
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.status();
    }
}

fn lost(host: &Host, said: &str) -> Error {
    let why =
        said.lines().last().map(|line| format!(": {}", SafeText::with_limit(line, 200))).unwrap_or_default();
    Error::new(
        format!("the connection to {host} ended{why}"),
        format!("see that it runs and can be reached: {}", failure::command(host)),
    )
}

/// The program on `host` speaks something else.
pub(super) fn other_protocol(host: &Host, version: &SafeText) -> Error {
    Error::new(
        format!("containerdump on {host} is of version {version}, which does not understand this one"),
        format!("install the same version on both: {}", env!("CARGO_PKG_VERSION")),
    )
}
