//! The writer's side of heartbeats and control messages, on its standard input. A dead connection closes nothing, so
//! that silence ends the capture, too.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::unistd::read;

use super::{ControlParser, SILENCE_TIMEOUT};

/// Watches standard input for heartbeats and control messages.
#[derive(Debug)]
pub(crate) struct Keepalive {
    input: OwnedFd,
    last_input: Cell<Instant>,
    ended: Cell<bool>,
    parser: RefCell<ControlParser>,
    /// Number and filter of a request that was not taken yet.
    filter_request: RefCell<Option<(u32, Option<String>)>>,
}

impl Keepalive {
    pub(crate) fn new(input: BorrowedFd<'_>) -> io::Result<Self> {
        let input = input.try_clone_to_owned()?;
        Ok(Self {
            input,
            last_input: Cell::new(Instant::now()),
            ended: Cell::new(false),
            parser: RefCell::default(),
            filter_request: RefCell::default(),
        })
    }

    /// Whether the capture shall end; `is_readable`: there is input to read.
    pub(crate) fn has_ended(&self, is_readable: bool) -> bool {
        if is_readable && !self.ended.get() {
            let mut bytes = [0; 512];
            match read(&self.input, &mut bytes) {
                Ok(count) if count > 0 => {
                    let events = self.parser.borrow_mut().parse(&bytes[..count]);
                    self.last_input.set(Instant::now());
                    self.ended.set(events.finish);
                    if events.filter.is_some() {
                        self.filter_request.replace(events.filter);
                    }
                }
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
                Ok(_) | Err(_) => self.ended.set(true),
            }
        }
        self.ended.get() || self.last_input.get().elapsed() > SILENCE_TIMEOUT
    }

    /// Number and filter of a request since the last call.
    pub(crate) fn take_filter_request(&self) -> Option<(u32, Option<String>)> {
        self.filter_request.take()
    }
}

impl AsFd for Keepalive {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::FINISH;

    fn keepalive() -> (Keepalive, io::PipeWriter) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (Keepalive::new(reader.as_fd()).expect("a descriptor"), writer)
    }

    #[test]
    fn a_heartbeat_keeps_the_capture_going_and_finish_ends_it() {
        use std::io::Write as _;
        let (keepalive, mut other) = keepalive();
        other.write_all(b"..").expect("a pipe");
        assert!(!keepalive.has_ended(true));
        other.write_all(&[b'.', FINISH, b'.']).expect("a pipe");
        assert!(keepalive.has_ended(true));
        assert!(keepalive.has_ended(false), "for good");
    }

    #[test]
    fn a_closed_input_and_silence_end_the_capture() {
        let (keepalive, other) = keepalive();
        drop(other);
        assert!(keepalive.has_ended(true));
        let (keepalive, _other) = self::keepalive();
        assert!(!keepalive.has_ended(false));
        let long_ago = Instant::now().checked_sub(SILENCE_TIMEOUT * 2);
        keepalive.last_input.set(long_ago.expect("the machine is up for longer"));
        assert!(keepalive.has_ended(false));
    }
}
