//! What keeps the programs at the other ends going.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Remote;

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
    until: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// For all of `remotes`; no thread where there is none. To be started once the calling thread has
    /// no capability: the new one has the same.
    ///
    /// Fails when there are no descriptors left, or no threads.
    pub fn start<'a>(remotes: impl IntoIterator<Item = &'a Remote>) -> io::Result<Self> {
        let streams: io::Result<Vec<UnixStream>> =
            remotes.into_iter().map(|remote| remote.stream.try_clone()).collect();
        let streams = streams?;
        if streams.is_empty() {
            return Ok(Self { until: None, thread: None });
        }
        let (until, over) = mpsc::channel();
        let beating = move || {
            while let Err(RecvTimeoutError::Timeout) = {
                streams.iter().for_each(beat);
                over.recv_timeout(EVERY)
            } {}
        };
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(beating)?;
        Ok(Self { until: Some(until), thread: Some(thread) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.until = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether it can be written is seen by reading.
pub(super) fn beat(mut stream: &UnixStream) {
    let _ = stream.write(&[HEARTBEAT]);
}
