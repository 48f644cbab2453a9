//! Adds members and names to a session while it runs.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::capture::{CaptureSettings, CompiledFilter};
use crate::link::NamespaceHandle;
use crate::peer::{Heartbeat, HeartbeatHandle};
use crate::safe_text::SafeText;
use crate::session::input::{Announcement, Member, Source};
use crate::waker::Waker;

/// Changes that may be pending while the reader of the stream stalls; sending more blocks.
const MAX_PENDING_CHANGES: usize = 64;

/// A change of a running session.
pub enum SessionChange {
    /// Captures this member, too.
    AddMember(Member),
    /// Adds a holder to the member in the same network namespace, which ends no sooner then.
    AddHolder(NamespaceHandle),
    /// Adds names for the following packets. They replace names of the same addresses.
    AddNames(Vec<(IpAddr, SafeText)>),
}

/// Sends changes to a session. While one of these exists, the session goes on even without sources.
#[derive(Clone, Debug)]
pub struct ChangeSender {
    changes: SyncSender<SessionChange>,
    announced: Weak<()>,
    // Dropped after the sender, so that the session notices when that was the last.
    waker: Waker,
    heartbeats: HeartbeatHandle,
    filter: CurrentFilter,
}

/// The capture filter, once it has been changed.
type CurrentFilter = Arc<Mutex<Option<CompiledFilter>>>;

/// The session's end of [`ChangeSender`], readable when there may be a change.
#[derive(Debug)]
pub struct ChangeReceiver {
    changes: Receiver<SessionChange>,
    /// Referenced by each [`Announcement`].
    announced: Arc<()>,
    waker: Waker,
    heartbeat: Heartbeat,
    filter: CurrentFilter,
}

/// The session has ended, or no changes can be sent to it any more.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionEnded;

/// Creates a channel for changes of a running session.
///
/// Fails if no file descriptors are left.
pub fn change_channel() -> io::Result<(ChangeSender, ChangeReceiver)> {
    let waker = Waker::new()?;
    let (changes, receiver) = mpsc::sync_channel(MAX_PENDING_CHANGES);
    let (heartbeat, filter) = (Heartbeat::new(), CurrentFilter::default());
    let announced = Arc::new(());
    let sender = ChangeSender {
        changes,
        announced: Arc::downgrade(&announced),
        waker: waker.clone(),
        heartbeats: heartbeat.handle(),
        filter: Arc::clone(&filter),
    };
    Ok((sender, ChangeReceiver { changes: receiver, announced, waker, heartbeat, filter }))
}

impl ChangeSender {
    /// Sends a change. Remote streams in it get heartbeats from now on, however long the session takes to receive them.
    ///
    /// Fails if the session has ended.
    pub fn send(&self, change: SessionChange) -> Result<(), SessionEnded> {
        if let SessionChange::AddMember(member) = &change {
            member.sources.iter().filter_map(Source::remote).for_each(|remote| self.heartbeats.add(remote));
        }
        self.changes.send(change).map_err(|_| SessionEnded)?;
        self.waker.wake();
        Ok(())
    }

    /// Announces that a member may be added with packets from a moment ago.
    pub fn announce(&self) -> Announcement {
        Announcement::new(&self.announced)
    }

    /// The settings for a new member: the `initial` ones, with the current capture filter.
    pub fn settings(&self, initial: &CaptureSettings) -> CaptureSettings {
        let changed = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let filter =
            changed.as_ref().map_or(initial.filter.clone(), |filter| filter.text().map(str::to_owned));
        CaptureSettings { filter, ..initial.clone() }
    }
}

impl ChangeReceiver {
    /// The heartbeat for remote streams of sent members, not started yet.
    pub(in crate::session) fn take_heartbeat(&mut self) -> Heartbeat {
        std::mem::take(&mut self.heartbeat)
    }

    /// Whether a member is announced.
    pub(in crate::session) fn expects_member(&self) -> bool {
        Arc::strong_count(&self.announced) > 1
    }

    /// Resets readability. Pending changes must be received afterwards.
    pub(in crate::session) fn clear_wake(&self) {
        self.waker.clear();
    }

    /// Sets the capture filter of new members.
    pub(in crate::session) fn set_filter(&self, filter: &CompiledFilter) {
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = Some(filter.clone());
    }

    /// The next pending change.
    ///
    /// Fails if all senders are gone.
    pub(in crate::session) fn try_next(&self) -> Result<Option<SessionChange>, SessionEnded> {
        match self.changes.try_recv() {
            Ok(change) => Ok(Some(change)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(SessionEnded),
        }
    }
}

impl AsFd for ChangeReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
