//! A capture that goes on as containers come and go.
//!
//! ```text
//! engine::Watch ──> who came, and is meant ──> looked up, opened by the opener or its engine ──> joins
//!                   who went                   (the session sees it by itself)
//!                   what is called how now ──────────────────────────────────────────> names
//! link::Newcomers ──> a cable, opened before it is known whose it is (early) ──> taken over by who joins
//! ```

mod captured;
mod early;
mod joins;

use std::collections::HashMap;
use std::io::PipeReader;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use captured::{Captured, Place};

use crate::broker::Broker;
use crate::capture::{CaptureSettings, RingBudget};
use crate::container::address_names::{self, AddressHistory};
use crate::container::selection::Selection;
use crate::container::{Container, ContainerId};
use crate::engine::{self, ContainerWatcher};
use crate::link::{self, LinkMonitor};
use crate::safe_text::SafeText;
use crate::session::{ChangeSender, SessionChange, SessionEnded};
use crate::tap::{TapKind, TapRights, TargetOptions};
use early::{Awaited, Early};

/// Names of containers that left, kept to tell how long each was away.
const MOST_LEFT: usize = 1000;

/// How long after an engine is back tap containers are looked at, since they may have ended with it: they notice
/// the end of their connection by and by.
const RECOVERY: Duration = Duration::from_secs(30);
/// How often.
const LOOK_EVERY: u16 = 500;

/// What those who join are captured like.
pub struct Terms {
    /// Who is meant.
    pub selection: Selection,
    /// What of them.
    pub wanted: TargetOptions,
    /// Filter, snap length and so on.
    pub settings: CaptureSettings,
    /// What is left of the memory for rings.
    pub budget: RingBudget,
}

/// What is known when the capture begins.
pub struct Known {
    /// Everybody who runs.
    pub running: Vec<Container>,
    /// Who is captured.
    pub captured: Captured,
}

/// Takes what a person shall read: who joins, and why somebody cannot.
pub type Notice<'a> = &'a (dyn Fn(&str) + Sync);

/// Follows containers for as long as a capture runs.
pub struct Follow {
    selection: Selection,
    wanted: TargetOptions,
    settings: CaptureSettings,
    watch: ContainerWatcher,
    newcomers: Option<LinkMonitor>,
    opener: Option<Arc<Broker>>,
    changes: ChangeSender,
    early: Arc<Early>,
    known: Known,
    /// When those left who were captured, by their names.
    left: HashMap<SafeText, Instant>,
    names: Vec<(IpAddr, SafeText)>,
    owners: AddressHistory,
    /// When an engine was back last.
    back: Option<Instant>,
}

impl Follow {
    /// Follows from what is `known`; tells `changes`.
    pub fn new(
        terms: Terms,
        known: Known,
        watch: ContainerWatcher,
        opener: Option<Broker>,
        changes: ChangeSender,
    ) -> Self {
        let Terms { selection, wanted, settings, budget } = terms;
        // Nobody enters a user namespace while threads run, and none could come back from there.
        let means = TapRights {
            capture: opener.as_ref().is_some_and(Broker::may_capture),
            enter: opener.as_ref().is_some_and(Broker::may_enter),
            enter_rootless: opener.is_some(),
            ..wanted.rights
        };
        let is_at_host = wanted.tap.is_none_or(|kind| kind == TapKind::Host);
        let newcomers = (means.capture && is_at_host).then(LinkMonitor::listen);
        let newcomers = newcomers.transpose().unwrap_or_else(|why| {
            warn!("{why}");
            None
        });
        let follow = Self {
            selection,
            wanted: TargetOptions { rights: means, ..wanted },
            watch,
            newcomers,
            opener: opener.map(Arc::new),
            early: Arc::new(Early::new(settings.clone(), changes.clone(), budget)),
            settings,
            changes,
            known,
            left: HashMap::new(),
            names: Vec::new(),
            owners: AddressHistory::default(),
            back: None,
        };
        follow.early.awaits(follow.awaited());
        follow
    }

    /// Does so until the other end of `end` is closed, or the capture is over.
    pub fn run(mut self, end: &PipeReader, notice: Notice) {
        let (newcomers, opener, early) =
            (self.newcomers.take(), self.opener.clone(), Arc::clone(&self.early));
        std::thread::scope(|scope| {
            if let (Some(newcomers), Some(opener)) = (newcomers, opener) {
                let watch = move || early.watch(newcomers, &opener, end);
                let thread = std::thread::Builder::new().name("newcomers".to_owned());
                if let Err(error) = thread.spawn_scoped(scope, watch) {
                    warn!("new cables are not watched for: {error}");
                }
            }
            // It is over when nobody can be told any more.
            let _ = self.follow(end, notice);
        });
        self.known.captured.end();
    }

    fn follow(&mut self, end: &PipeReader, notice: Notice) -> Result<(), SessionEnded> {
        loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut watched = [readable(self.watch.as_fd()), readable(end.as_fd())];
            self.back = self.back.filter(|back| back.elapsed() < RECOVERY);
            let timeout = self.back.map_or(PollTimeout::NONE, |_| PollTimeout::from(LOOK_EVERY));
            // An interrupted wait is a short wait.
            let _ = poll(&mut watched, timeout);
            if watched[1].any() == Some(true) {
                return Ok(());
            }
            for change in self.watch.changes() {
                self.change(change, notice)?;
            }
            if self.back.is_some() {
                self.join_again(notice)?;
            }
            self.early.awaits(self.awaited());
            self.tell_names()?;
        }
    }

    fn change(&mut self, change: engine::ContainerChange, notice: Notice) -> Result<(), SessionEnded> {
        match change {
            engine::ContainerChange::Started(container, told) => {
                self.comes(&container, told.map(|told| told.pid), notice)
            }
            engine::ContainerChange::Renamed(container)
            | engine::ContainerChange::NetworksChanged(container) => self.comes(&container, None, notice),
            engine::ContainerChange::Stopped(id) => {
                self.goes(&id, notice);
                Ok(())
            }
            engine::ContainerChange::EngineLost(place, why) => {
                warn!("{why}");
                notice(&format!("{place} does not answer any more ({}); the capture goes on", why.message()));
                Ok(())
            }
            engine::ContainerChange::EngineRestored(place) => {
                notice(&format!("{place} answers again"));
                self.back = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// `container` is there, or is there in another way than before; `pid` is its first process.
    fn comes(&mut self, container: &Container, pid: Option<i32>, notice: Notice) -> Result<(), SessionEnded> {
        self.known.running.retain(|one| one.id != container.id);
        self.known.running.push(container.clone());
        if self.is_meant(container) {
            return self.join(container, notice);
        }
        if let Some(namespace) = pid.and_then(|pid| link::id_of_process(pid).ok().flatten()) {
            self.early.close(namespace);
        }
        Ok(())
    }

    fn goes(&mut self, id: &ContainerId, notice: Notice) {
        let Some(at) = self.known.running.iter().position(|one| one.id == *id) else { return };
        let gone = self.known.running.swap_remove(at);
        let cables = self.known.captured.cables_of(id);
        let Some(rings) = self.known.captured.remove(id) else { return };
        self.give_back(rings);
        notice(&format!("{} has ended", gone.name));
        if self.left.len() >= MOST_LEFT
            && let Some(oldest) = self.left.iter().min_by_key(|(_, since)| **since)
        {
            let oldest = oldest.0.clone();
            self.left.remove(&oldest);
        }
        // The kernel is sooner to tell than an engine that was away itself.
        self.left.insert(gone.name, self.early.gone_since(&cables).unwrap_or_else(Instant::now));
    }

    fn give_back(&self, rings: Vec<(usize, u32)>) {
        self.early.budget(|budget| rings.into_iter().for_each(|(count, each)| budget.release(count, each)));
    }

    fn is_meant(&self, container: &Container) -> bool {
        let (chosen, _) = self.selection.resolve(&self.known.running);
        chosen.iter().any(|chosen| chosen.container.id == container.id)
    }

    /// Whose cables may appear.
    fn awaited(&self) -> Awaited {
        let captured = &self.known.captured;
        let (chosen, missed) = self.selection.resolve(&self.known.running);
        let all_are_there =
            missed.is_empty() && chosen.iter().all(|chosen| captured.has(&chosen.container.id));
        Awaited {
            anybody: self.selection.has_criteria() || !all_are_there,
            pids: captured.pids(),
            cables: captured.cables(),
        }
    }

    fn tell_names(&mut self) -> Result<(), SessionEnded> {
        let Known { running, captured } = &self.known;
        let mut captured: Vec<&Container> = running.iter().filter(|one| captured.has(&one.id)).collect();
        address_names::sort_by_name_priority(&mut captured);
        let mut names = address_names::address_names(running, &captured, &link::own_addresses());
        self.owners.add_shared_names(&mut names, running);
        if names == self.names {
            return Ok(());
        }
        self.names.clone_from(&names);
        self.changes.send(SessionChange::AddNames(names))
    }
}
