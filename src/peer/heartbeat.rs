//! Heartbeats to the writers of streams, which end without them.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::PeerStream;

/// A heartbeat: the packets are still wanted.
pub const HEARTBEAT: u8 = b'.';
/// Asks the writer to write what is pending and to end (End of Transmission).
pub const FINISH: u8 = 4;
/// Five heartbeats may be missed until the writer ends.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// Sends heartbeats until it is dropped. It has its own thread, since a slow reader may block the session.
#[derive(Debug)]
pub struct Heartbeat {
    handle: HeartbeatHandle,
    commands: Option<Receiver<HeartbeatCommand>>,
    thread: Option<JoinHandle<()>>,
}

/// Adds streams to a heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatHandle(Sender<HeartbeatCommand>);

#[derive(Debug)]
enum HeartbeatCommand {
    /// Send heartbeats to the stream until it is dropped.
    Add(Weak<UnixStream>),
    Stop,
}

impl Heartbeat {
    /// Created without a thread; see [`start`](Self::start).
    pub fn new() -> Self {
        let (sender, commands) = mpsc::channel();
        Self { handle: HeartbeatHandle(sender), commands: Some(commands), thread: None }
    }

    /// A handle to add streams.
    pub fn handle(&self) -> HeartbeatHandle {
        self.handle.clone()
    }

    /// Starts the thread, which inherits the capabilities of the caller: drop them first.
    ///
    /// Fails when no thread can be created.
    pub fn start(&mut self) -> io::Result<()> {
        let Some(commands) = self.commands.take() else { return Ok(()) };
        let thread =
            std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || run(&commands))?;
        self.thread = Some(thread);
        Ok(())
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let _ = self.handle.0.send(HeartbeatCommand::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl HeartbeatHandle {
    /// Sends heartbeats to the writer of `stream` as long as it exists.
    pub fn add(&self, stream: &PeerStream) {
        // A heartbeat that has ended ignores it.
        let _ = self.0.send(HeartbeatCommand::Add(Arc::downgrade(&stream.stream)));
    }
}

fn run(commands: &Receiver<HeartbeatCommand>) {
    let mut streams: Vec<Weak<UnixStream>> = Vec::new();
    let mut next = Instant::now() + INTERVAL;
    loop {
        match commands.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(HeartbeatCommand::Add(stream)) => {
                stream.upgrade().iter().for_each(|stream| send(stream));
                streams.push(stream);
            }
            Ok(HeartbeatCommand::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                streams.retain(|stream| stream.upgrade().map(|stream| send(&stream)).is_some());
                next = Instant::now() + INTERVAL;
            }
        }
    }
}

/// Errors are noticed when the stream is read.
pub(super) fn send(mut stream: &UnixStream) {
    let _ = stream.write(&[HEARTBEAT]);
}
