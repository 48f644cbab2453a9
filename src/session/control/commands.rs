//! Commands of the user to a running session. Unlike a [`ChangeSender`](super::ChangeSender), their sender does not keep
//! the session running.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, SyncSender};

use super::changes::SessionEnded;
use super::filtering::FilterOutcome;
use crate::capture::CompiledFilter;
use crate::waker::Waker;

/// Commands that may be pending while the reader of the stream stalls; sending more blocks.
const MAX_PENDING_COMMANDS: usize = 8;

/// A command to a running session.
pub enum CaptureCommand {
    /// Skip packets from this time on, in nanoseconds since the epoch.
    Pause(u64),
    /// Capture packets again from this time on.
    Resume(u64),
    /// Set the capture filter. Calls the function with each outcome as it comes.
    SetFilter(CompiledFilter, Box<dyn FnMut(FilterOutcome) + Send>),
}

/// Sends commands to a session.
#[derive(Clone, Debug)]
pub struct CommandSender {
    commands: SyncSender<CaptureCommand>,
    waker: Waker,
}

/// The session's end of [`CommandSender`], readable when there may be a command.
#[derive(Debug)]
pub struct CommandReceiver {
    commands: Receiver<CaptureCommand>,
    waker: Waker,
}

/// Creates a channel for commands to a running session.
///
/// Fails if no file descriptors are left.
pub fn command_channel() -> io::Result<(CommandSender, CommandReceiver)> {
    let waker = Waker::new()?;
    let (sender, receiver) = mpsc::sync_channel(MAX_PENDING_COMMANDS);
    Ok((
        CommandSender { commands: sender, waker: waker.clone() },
        CommandReceiver { commands: receiver, waker },
    ))
}

impl CommandSender {
    /// Sends a command, waiting while too many are pending.
    ///
    /// Fails if the session has ended.
    pub fn send(&self, command: CaptureCommand) -> Result<(), SessionEnded> {
        self.commands.send(command).map_err(|_| SessionEnded)?;
        self.waker.wake();
        Ok(())
    }
}

impl CommandReceiver {
    /// Resets readability. Pending commands must be received afterwards.
    pub(in crate::session) fn clear_wake(&self) {
        self.waker.clear();
    }

    /// The next pending command.
    pub(in crate::session) fn try_next(&self) -> Option<CaptureCommand> {
        self.commands.try_recv().ok()
    }
}

impl AsFd for CommandReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
