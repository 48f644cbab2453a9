//! What keeps the programs at the other ends going.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::PeerStream;

/// What says that somebody still wants the packets.
pub const HEARTBEAT: u8 = b'.';
/// What asks the other end to write what it has and to end (End of Transmission).
pub const FINISH: u8 = 4;
/// How often it is said: five times in the silence that ends a tap.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// Keeps taps going until it is dropped. A thread of its own: a session may wait long for a reader
/// who takes nothing.
#[derive(Debug)]
pub struct Heartbeat {
    beating: HeartbeatHandle,
    told: Option<Receiver<Told>>,
    thread: Option<JoinHandle<()>>,
}

/// Tells a heartbeat what to keep going.
#[derive(Clone, Debug)]
pub struct HeartbeatHandle(Sender<Told>);

#[derive(Debug)]
enum Told {
    /// Until it is dropped elsewhere.
    Keep(Weak<UnixStream>),
    End,
}

impl Heartbeat {
    /// One that does not beat yet.
    pub fn new() -> Self {
        let (sender, told) = mpsc::channel();
        Self { beating: HeartbeatHandle(sender), told: Some(told), thread: None }
    }

    /// What it is told by.
    pub fn handle(&self) -> HeartbeatHandle {
        self.beating.clone()
    }

    /// Begins to beat. The calling thread must have no capability any more: the new one has the same.
    ///
    /// Fails when there are no threads left.
    pub fn start(&mut self) -> io::Result<()> {
        let Some(told) = self.told.take() else { return Ok(()) };
        let thread =
            std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || beat_on(&told))?;
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
        let _ = self.beating.0.send(Told::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl HeartbeatHandle {
    /// Keeps what writes `remote` going for as long as that is there.
    pub fn add(&self, remote: &PeerStream) {
        // One that has ended keeps nothing.
        let _ = self.0.send(Told::Keep(Arc::downgrade(&remote.stream)));
    }
}

fn beat_on(told: &Receiver<Told>) {
    let mut streams: Vec<Weak<UnixStream>> = Vec::new();
    let mut next = Instant::now() + EVERY;
    loop {
        match told.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Told::Keep(stream)) => {
                stream.upgrade().iter().for_each(|stream| beat(stream));
                streams.push(stream);
            }
            Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                streams.retain(|stream| stream.upgrade().map(|stream| beat(&stream)).is_some());
                next = Instant::now() + EVERY;
            }
        }
    }
}

/// Whether it can be written is seen by reading.
pub(super) fn beat(mut stream: &UnixStream) {
    let _ = stream.write(&[HEARTBEAT]);
}
