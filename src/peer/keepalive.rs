//! What keeps a capture alive that a program elsewhere asked for: somebody at the other end of its
//! standard input.
//!
//! A link that is dead closes nothing. So the other end writes a byte now and then
//! ([`crate::peer`]), and silence is an end, too.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::unistd::read;

use crate::peer::ControlParser;

/// How long the other end may be silent: five of its bytes are missing then.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// Standard input, and when something was last read from it.
#[derive(Debug)]
pub(crate) struct Keepalive {
    input: OwnedFd,
    heard: Cell<Instant>,
    cut: Cell<bool>,
    listener: RefCell<ControlParser>,
    /// A capture filter that is asked for, and its number.
    filter: RefCell<Option<(u32, Option<String>)>>,
}

impl Keepalive {
    pub(crate) fn new(input: BorrowedFd<'_>) -> io::Result<Self> {
        let input = input.try_clone_to_owned()?;
        Ok(Self {
            input,
            heard: Cell::new(Instant::now()),
            cut: Cell::new(false),
            listener: RefCell::default(),
            filter: RefCell::default(),
        })
    }

    /// Whether nobody wants the capture any more; `speaks` tells whether there is something to be
    /// read.
    pub(crate) fn has_ended(&self, speaks: bool) -> bool {
        if speaks && !self.cut.get() {
            let mut bytes = [0; 512];
            match read(&self.input, &mut bytes) {
                Ok(count) if count > 0 => {
                    let heard = self.listener.borrow_mut().hear(&bytes[..count]);
                    self.heard.set(Instant::now());
                    self.cut.set(heard.finish);
                    if heard.filter.is_some() {
                        self.filter.replace(heard.filter);
                    }
                }
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
                Ok(_) | Err(_) => self.cut.set(true),
            }
        }
        self.cut.get() || self.heard.get().elapsed() > LONGEST_SILENCE
    }

    /// The capture filter that was asked for since this was last asked, and its number.
    pub(crate) fn take_filter_request(&self) -> Option<(u32, Option<String>)> {
        self.filter.take()
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

    fn lifeline() -> (Keepalive, io::PipeWriter) {
        let (reader, writer) = io::pipe().expect("a pipe");
        (Keepalive::new(reader.as_fd()).expect("a descriptor"), writer)
    }

    #[test]
    fn a_byte_is_heard_and_the_one_that_says_so_is_the_end() {
        use std::io::Write as _;
        let (lifeline, mut other) = lifeline();
        other.write_all(b"..").expect("a pipe");
        assert!(!lifeline.has_ended(true));
        other.write_all(&[b'.', FINISH, b'.']).expect("a pipe");
        assert!(lifeline.has_ended(true));
        assert!(lifeline.has_ended(false), "it stays so");
    }

    #[test]
    fn leaving_is_the_end_and_so_is_silence() {
        let (lifeline, other) = lifeline();
        drop(other);
        assert!(lifeline.has_ended(true));
        let (lifeline, _other) = self::lifeline();
        assert!(!lifeline.has_ended(false));
        let long_ago = Instant::now().checked_sub(LONGEST_SILENCE * 2);
        lifeline.heard.set(long_ago.expect("the machine is up for longer"));
        assert!(lifeline.has_ended(false));
    }
}
