//! Programs that are not ours, such as `ssh`: started without capabilities, and ended within a limit.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;

use crate::privilege;

pub(crate) const CHILD_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Starts `command` on a thread without capabilities: a child has those of the thread that starts it (capabilities(7)). Its
/// environment is the user's, which `ssh` needs (agent, proxy commands, `SendEnv`), and can lend no rights then.
///
/// # Errors
/// The program or a thread cannot be started.
pub fn spawn_unprivileged(command: &mut Command) -> io::Result<Child> {
    let start = || {
        privilege::drop_on_this_thread()?;
        command.spawn()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, start)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    })
}

/// Waits for `child` to exit and kills it after `timeout`. Returns `None` if it had to be killed.
pub(crate) fn wait_or_kill(child: &mut Child, timeout: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => std::thread::sleep(CHILD_POLL_INTERVAL),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            Ok(status) => return status,
        }
    }
}

/// The output of a child, read without waiting: a process that it leaves behind may keep the pipe open.
pub(crate) struct ChildOutput<T> {
    pipe: T,
    max_len: usize,
    bytes: Vec<u8>,
}

impl<T: Read + AsFd> ChildOutput<T> {
    /// Of at most `max_len` bytes; the rest stays in the pipe.
    ///
    /// # Errors
    /// The pipe cannot be made non-blocking.
    pub(crate) fn new(pipe: T, max_len: usize) -> io::Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        Ok(Self { pipe, max_len, bytes: Vec::new() })
    }

    /// Reads what is in the pipe. Returns the output until now.
    pub(crate) fn read(&mut self) -> &[u8] {
        let mut some = [0; 4096];
        while self.bytes.len() < self.max_len {
            let room = some.len().min(self.max_len - self.bytes.len());
            match self.pipe.read(&mut some[..room]) {
                Ok(count) if count > 0 => self.bytes.extend_from_slice(&some[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn output_is_read_while_a_background_process_keeps_the_pipe_open() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo port 22; sleep 30 >&1 & echo $!"]).stdout(Stdio::piped());
        let mut child = spawn_unprivileged(&mut command).expect("it starts");
        assert!(wait_or_kill(&mut child, Duration::from_secs(20)).is_some());
        let mut output = ChildOutput::new(child.stdout.take().expect("a pipe"), 1000).expect("a pipe");
        let text = String::from_utf8(output.read().to_vec()).expect("text");
        let background = text.lines().nth(1).expect("a pid").to_owned();
        assert!(text.starts_with("port 22\n"), "{text}");
        assert!(Command::new("kill").arg(background).status().expect("it runs").success());
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let mut command = Command::new("echo");
        let mut child = spawn_unprivileged(command.arg("abcdef").stdout(Stdio::piped())).expect("it starts");
        wait_or_kill(&mut child, Duration::from_secs(20));
        let mut output = ChildOutput::new(child.stdout.take().expect("a pipe"), 4).expect("a pipe");
        assert_eq!(output.read(), b"abcd");
    }
}
