//! What changes while a capture runs: who joins, and names.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};

use rustix::event::{EventfdFlags, eventfd};

use super::Source;
use crate::link::Holder;
use crate::remote::{Beating, Heartbeat};
use crate::text::Label;

/// Changes that wait for a session whose reader holds it up; who makes more of them waits, too.
const MOST_WAITING: usize = 64;

/// Sources that come and go together: the attachments of one container.
#[derive(Default)]
pub struct Member {
    /// Where packets come from, in the order of the numbers of their interfaces. Rings have the block
    /// timeout of the session.
    pub sources: Vec<Source>,
    /// What keeps the namespace there: each process, where containers share it. Once all of it is gone, so
    /// are the sources, after what they still have is written; but for those elsewhere that none of it
    /// tells of.
    pub holders: Vec<Holder>,
}

/// A change of a capture that runs.
pub enum Change {
    /// From now on these are captured, too.
    Join(Member),
    /// Names for addresses, for the packets that come after; one that is known already is replaced.
    Names(Vec<(IpAddr, Label)>),
}

/// Tells a session what changes. The capture goes on for as long as one of these is there, even
/// without a source.
#[derive(Clone, Debug)]
pub struct Joining {
    changes: SyncSender<Change>,
    // Dropped after the sender: the session has to look whether that was the last.
    bell: Bell,
    beating: Beating,
}

/// Wakes a session, also with its end.
#[derive(Clone, Debug)]
struct Bell(Arc<OwnedFd>);

/// The session's end of [`Joining`].
#[derive(Debug)]
pub struct Changes {
    told: Receiver<Change>,
    bell: Arc<OwnedFd>,
    heartbeat: Heartbeat,
}

/// The capture is over, or not to be told anything any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Over;

/// A way to change a capture while it runs.
///
/// Fails when the process has no file descriptors left.
pub fn changes() -> io::Result<(Joining, Changes)> {
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sender, receiver) = mpsc::sync_channel(MOST_WAITING);
    let heartbeat = Heartbeat::new();
    let joining = Joining { changes: sender, bell: Bell(Arc::clone(&bell)), beating: heartbeat.beating() };
    Ok((joining, Changes { told: receiver, bell, heartbeat }))
}

impl Joining {
    /// Tells the session. A stream from elsewhere is kept going from now on, however long the
    /// session takes to come to it.
    ///
    /// Fails when the capture is over.
    pub fn tell(&self, change: Change) -> Result<(), Over> {
        if let Change::Join(member) = &change {
            member.sources.iter().filter_map(Source::remote).for_each(|remote| self.beating.keep(remote));
        }
        self.changes.send(change).map_err(|_| Over)?;
        self.bell.ring();
        Ok(())
    }
}

impl Bell {
    fn ring(&self) {
        // One that nobody hears is as loud as it can be.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

impl Changes {
    /// What keeps the streams going that are told of, not started yet.
    pub(super) fn take_heartbeat(&mut self) -> Heartbeat {
        std::mem::take(&mut self.heartbeat)
    }

    /// Makes it readable by the next change only; those before it have to be asked for afterwards.
    pub(super) fn hush(&self) {
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
    }

    /// The next change, if there is one now.
    ///
    /// Fails when there will be none any more.
    pub(super) fn next(&self) -> Result<Option<Change>, Over> {
        match self.told.try_recv() {
            Ok(change) => Ok(Some(change)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Over),
        }
    }
}

/// Readable when there may be a change.
impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
