//! Which of many rings have packets, by one `epoll` call for all of them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// The rings that are watched.
pub(super) struct Readiness {
    /// `None` if no descriptor was available: then every ring is polled by itself.
    epoll: Option<OwnedFd>,
    /// Number of rings ever watched; each is identified by its number among them.
    watched: u64,
    events: Vec<Event>,
    /// Sorted.
    ready: Vec<u64>,
}

impl Readiness {
    pub(super) fn new() -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).ok();
        Self { epoll, watched: 0, events: Vec::new(), ready: Vec::new() }
    }

    /// Watches a ring until it is closed, and returns its number; `None` if it cannot be watched.
    pub(super) fn watch(&mut self, ring: BorrowedFd<'_>) -> Option<u64> {
        let number = self.watched;
        let epoll = self.epoll.as_ref()?;
        epoll::add(epoll, ring, EventData::new_u64(number), EventFlags::IN).ok()?;
        self.watched += 1;
        Some(number)
    }

    /// Stops watching a ring.
    pub(super) fn unwatch(&self, ring: BorrowedFd<'_>) {
        if let Some(epoll) = &self.epoll {
            // The kernel may have removed it already.
            let _ = epoll::delete(epoll, ring);
        }
    }

    /// A descriptor that is readable as soon as one of the rings is.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.epoll.as_ref().map(|epoll| epoll.as_fd())
    }

    /// The sorted numbers of the rings that have packets now; `None` if unknown.
    pub(super) fn ready(&mut self) -> Option<&[u64]> {
        let epoll = self.epoll.as_ref()?;
        self.events.clear();
        // Room for every ring, or some would seem empty; rustix panics if there is none at all.
        self.events.reserve(usize::try_from(self.watched).ok()?.max(1));
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(epoll, spare_capacity(&mut self.events), Some(&no_wait)).ok()?;
        self.ready.clear();
        self.ready.extend(self.events.iter().map(|event| event.data.u64()));
        self.ready.sort_unstable();
        Some(&self.ready)
    }
}
