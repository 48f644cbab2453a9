//! What changes while a capture runs: who joins, and names.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Source;
use crate::capture::{CaptureSettings, CompiledFilter};
use crate::link::Holder;
use crate::peer::{Heartbeat, HeartbeatHandle};
use crate::safe_text::SafeText;
use crate::waker::Waker;

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
    /// Since when it is captured, in nanoseconds since the epoch, where that was before it joins.
    pub since: Option<u64>,
    /// What made the session wait for it.
    pub expected: Vec<Expected>,
}

/// Somebody may join with packets from a moment ago: as long as this is there, those of others wait for
/// them as they do for a stream from elsewhere that is quiet.
#[derive(Debug)]
pub struct Expected {
    _counted: Option<Arc<()>>,
}

/// A change of a capture that runs.
pub enum Change {
    /// From now on these are captured, too.
    Join(Member),
    /// This one keeps its namespace there, too, and with it who is captured in it.
    Stay(Holder),
    /// Names for addresses, for the packets that come after; one that is known already is replaced.
    Names(Vec<(IpAddr, SafeText)>),
}

/// Tells a session what changes. The capture goes on for as long as one of these is there, even
/// without a source.
#[derive(Clone, Debug)]
pub struct Joining {
    changes: SyncSender<Change>,
    expected: Weak<()>,
    // Dropped after the sender: the session has to look whether that was the last.
    bell: Waker,
    beating: HeartbeatHandle,
    filter: ChangedFilter,
}

/// The capture filter, once it is another than at the begin.
type ChangedFilter = Arc<Mutex<Option<CompiledFilter>>>;

/// The session's end of [`Joining`].
#[derive(Debug)]
pub struct Changes {
    told: Receiver<Change>,
    /// Counts who is expected, and itself.
    expected: Arc<()>,
    bell: Waker,
    heartbeat: Heartbeat,
    filter: ChangedFilter,
}

/// The capture is over, or not to be told anything any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Over;

/// A way to change a capture while it runs.
///
/// Fails when the process has no file descriptors left.
pub fn changes() -> io::Result<(Joining, Changes)> {
    let bell = Waker::new()?;
    let (sender, receiver) = mpsc::sync_channel(MOST_WAITING);
    let (heartbeat, filter) = (Heartbeat::new(), ChangedFilter::default());
    let expected = Arc::new(());
    let joining = Joining {
        changes: sender,
        expected: Arc::downgrade(&expected),
        bell: bell.clone(),
        beating: heartbeat.beating(),
        filter: Arc::clone(&filter),
    };
    Ok((joining, Changes { told: receiver, expected, bell, heartbeat, filter }))
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
        self.bell.wake();
        Ok(())
    }

    /// Has the session wait for packets of somebody who may join.
    pub fn expect(&self) -> Expected {
        Expected { _counted: self.expected.upgrade() }
    }

    /// How to take the packets of whoever joins: as at the `begin`, with the capture filter that is in force now.
    pub fn settings(&self, begin: &CaptureSettings) -> CaptureSettings {
        let changed = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let filter = changed.as_ref().map_or(begin.filter.clone(), |filter| filter.text().map(str::to_owned));
        CaptureSettings { filter, ..begin.clone() }
    }
}

impl Changes {
    /// What keeps the streams going that are told of, not started yet.
    pub(super) fn take_heartbeat(&mut self) -> Heartbeat {
        std::mem::take(&mut self.heartbeat)
    }

    /// Whether somebody is expected.
    pub(super) fn expects(&self) -> bool {
        Arc::strong_count(&self.expected) > 1
    }

    /// Makes it readable by the next change only; those before it have to be asked for afterwards.
    pub(super) fn hush(&self) {
        self.bell.clear();
    }

    /// Whoever joins shall have this filter.
    pub(super) fn tell_filter(&self, filter: &CompiledFilter) {
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = Some(filter.clone());
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
