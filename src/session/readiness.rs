//! Which of many rings have something: told by the kernel for all of them at once.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::stage::Stage;

/// The rings that are watched.
pub(super) struct Readiness {
    /// `None` where there is no descriptor to be had: every ring is asked itself then.
    epoll: Option<OwnedFd>,
    /// Rings that were ever watched, each of which is known by its number among them.
    watched: u64,
    events: Vec<Event>,
    /// In order.
    ready: Vec<u64>,
}

impl Readiness {
    pub(super) fn new() -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).ok();
        Self { epoll, watched: 0, events: Vec::new(), ready: Vec::new() }
    }

    /// Watches the ring of `stage` from now on, until that is closed. `None` where it cannot be watched.
    pub(super) fn watch(&mut self, stage: &Stage) -> Option<u64> {
        let number = self.watched;
        let epoll = self.epoll.as_ref()?;
        epoll::add(epoll, stage.as_fd(), EventData::new_u64(number), EventFlags::IN).ok()?;
        self.watched += 1;
        Some(number)
    }

    /// Watches the ring of `stage` no more.
    pub(super) fn forget(&self, stage: &Stage) {
        if let Some(epoll) = &self.epoll {
            // It may have gone by itself.
            let _ = epoll::delete(epoll, stage.as_fd());
        }
    }

    /// What is ready itself as soon as one of the rings is.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.epoll.as_ref().map(|epoll| epoll.as_fd())
    }

    /// The numbers of the rings that have something now, in order; `None` where that is not known.
    pub(super) fn ready(&mut self) -> Option<&[u64]> {
        let epoll = self.epoll.as_ref()?;
        self.events.clear();
        // There is room for every ring: one that found none would seem empty. No room at all is a panic of rustix.
        self.events.reserve(usize::try_from(self.watched).ok()?.max(1));
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(epoll, spare_capacity(&mut self.events), Some(&at_once)).ok()?;
        self.ready.clear();
        self.ready.extend(self.events.iter().map(|event| event.data.u64()));
        self.ready.sort_unstable();
        Some(&self.ready)
    }
}
