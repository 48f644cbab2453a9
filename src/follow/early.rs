//! Cables opened before it is known whose they are.
//!
//! ```text
//! link::Newcomers ──> opened at once ──> whose it is, is told within some seconds ──> joins with its packets
//!                                        it is nobody's who is meant, or nobody's ──> closed, nothing is written
//! ```
//!
//! A container's cable is there before its first process runs, and that before its engine tells of it. What
//! comes meanwhile waits in the tap and its rings, and is not read here: a tap that is closed has taken it
//! along. That is a thread of its own, since looking a container up takes longer than the cable is there before
//! the first packet.

use std::collections::{HashMap, VecDeque};
use std::io::PipeReader;
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{debug, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::broker::{Broker, PendingTap, TapLocation, TapRequest};
use crate::capture::{self, CaptureSettings, RingBudget};
use crate::link::{self, LinkChange, LinkIndex, LinkMonitor, NamespaceId, NewVeth, Tap};
use crate::safe_text::SafeText;
use crate::session::{Announcement, ChangeSender};

/// How long it is waited until somebody tells whose a cable is. A tap ends by itself when it heard
/// nothing for 10 seconds, and nobody speaks to these.
const PATIENCE: Duration = Duration::from_secs(8);
/// How many are opened within that time, but for those that have joined: whoever makes links by the
/// thousand makes no more processes than that, and has no more memory than `capture::EARLY_RINGS_MIB`.
const MOST: usize = 32;

/// Whose cables are opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Awaited {
    /// Whether anybody who comes may be meant. Else all who are meant are there, and may get further cables.
    pub(super) anybody: bool,
    /// The first processes of those who are captured.
    pub(super) pids: Vec<i32>,
    /// Their cables so far.
    pub(super) cables: Vec<LinkIndex>,
}

/// What is open, and the memory for that and all others.
pub(super) struct Early {
    settings: CaptureSettings,
    changes: ChangeSender,
    state: Mutex<State>,
}

struct State {
    budget: RingBudget,
    awaited: Awaited,
    /// Until when anybody may be somebody who comes back: sooner than the engine tells.
    anybody_until: Instant,
    /// When cables of those who are captured were gone.
    gone: HashMap<LinkIndex, Instant>,
    held: Vec<Held>,
    /// When cables were opened that have not joined.
    opened: VecDeque<Instant>,
}

/// A cable that is open.
struct Held {
    newcomer: NewVeth,
    settings: CaptureSettings,
    asked: PendingTap,
    /// When that was, in nanoseconds since the epoch.
    since: u64,
    ring_mib: u32,
    /// Once it leads into another namespace.
    expected: Option<Announcement>,
}

/// What was opened for somebody who joins.
pub(super) struct Adopted {
    pub(super) asked: PendingTap,
    /// How it was opened.
    pub(super) settings: CaptureSettings,
    pub(super) since: u64,
    pub(super) ring_mib: u32,
    pub(super) expected: Option<Announcement>,
}

impl Early {
    pub(super) fn new(settings: CaptureSettings, changes: ChangeSender, budget: RingBudget) -> Self {
        let state = State {
            budget,
            awaited: Awaited::default(),
            anybody_until: Instant::now(),
            gone: HashMap::new(),
            held: Vec::new(),
            opened: VecDeque::new(),
        };
        Self { settings, changes, state: Mutex::new(state) }
    }

    /// From now on opens the cables of `awaited`.
    pub(super) fn awaits(&self, awaited: Awaited) {
        let mut state = self.state();
        state.gone.retain(|index, _| awaited.cables.contains(index));
        state.awaited = awaited;
    }

    /// Since when the first of `cables` is gone, if one is.
    pub(super) fn gone_since(&self, cables: &[LinkIndex]) -> Option<Instant> {
        let state = self.state();
        cables.iter().filter_map(|index| state.gone.get(index)).min().copied()
    }

    /// Does something about the memory for rings.
    pub(super) fn budget<T>(&self, work: impl FnOnce(&mut RingBudget) -> T) -> T {
        work(&mut self.state().budget)
    }

    /// What was opened at `tap`, whose other end is in `namespace`, as was just looked up.
    pub(super) fn take(&self, tap: &Tap, namespace: NamespaceId) -> Option<Adopted> {
        let mut state = self.state();
        // That it leads away may be told to the other thread yet.
        let leads_there = |held: &Held| held.newcomer.namespace.is_none_or(|its| its == namespace);
        let is_it = |held: &Held| held.newcomer.tap() == *tap && leads_there(held);
        let at = state.held.iter().position(is_it)?;
        let Held { newcomer, settings, asked, since, ring_mib, expected } = state.held.swap_remove(at);
        state.opened.pop_front();
        debug!("{} was opened {:?} ago", newcomer.name, newcomer.since.elapsed());
        Some(Adopted { asked, settings, since, ring_mib, expected })
    }

    /// Closes what leads to `namespace`: whoever is there is not meant.
    pub(super) fn close(&self, namespace: NamespaceId) {
        self.state().close(|held| held.newcomer.namespace == Some(namespace));
    }

    /// Opens cables as they appear, until the other end of `end` is closed.
    pub(super) fn watch(&self, mut newcomers: LinkMonitor, opener: &Broker, end: &PipeReader) {
        loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut watched = [readable(newcomers.as_fd()), readable(end.as_fd())];
            let timeout = self.state().next_end().map_or(PollTimeout::NONE, |left| {
                PollTimeout::from(u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX))
            });
            // An interrupted wait is a short wait.
            let _ = poll(&mut watched, timeout);
            if watched[1].any() == Some(true) {
                return;
            }
            let changes = match newcomers.changes() {
                Ok(changes) => changes,
                Err(why) => {
                    warn!("{why}");
                    return;
                }
            };
            let mut state = self.state();
            for change in changes {
                match change {
                    LinkChange::Appeared(newcomer) => self.open(newcomer, &mut state, opener),
                    LinkChange::Moved(newcomer) => self.leads(newcomer, &mut state, opener),
                    LinkChange::Removed(index) => state.gone(index),
                }
            }
            state.close(|held| held.newcomer.since.elapsed() >= PATIENCE);
        }
    }

    fn leads(&self, newcomer: NewVeth, state: &mut State, opener: &Broker) {
        let known = state.held.iter_mut().find(|held| held.newcomer.index == newcomer.index);
        match known {
            Some(held) => {
                held.newcomer.namespace = newcomer.namespace;
                held.expected = Some(self.changes.announce());
            }
            None => self.open(newcomer, state, opener),
        }
    }

    fn open(&self, newcomer: NewVeth, state: &mut State, opener: &Broker) {
        if !state.is_awaited(&newcomer) {
            return;
        }
        while state.opened.front().is_some_and(|opened| opened.elapsed() >= PATIENCE) {
            state.opened.pop_front();
        }
        if state.opened.len() >= MOST {
            debug!("{} is not opened before it is known whose it is: too many appear", newcomer.name);
            return;
        }
        let held = state.held.iter().map(|held| held.ring_mib).sum();
        let Some(ring_mib) = state.budget.allocate_preopened(held) else { return };
        let place = TapLocation::HostVeth {
            name: newcomer.name.clone(),
            index: newcomer.index.0,
            expected_holder: None,
        };
        let settings = self.changes.settings(&self.settings);
        let request = TapRequest::new(place, &settings, ring_mib);
        match opener.request_tap(&request, &SafeText::new(&newcomer.name)) {
            Ok(asked) => {
                state.opened.push_back(newcomer.since);
                let expected = newcomer.namespace.map(|_| self.changes.announce());
                let since = capture::now();
                state.held.push(Held { newcomer, settings, asked, since, ring_mib, expected });
            }
            Err(why) => {
                state.budget.release(1, ring_mib);
                warn!("{why}");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic leaves it halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_awaited(&self, newcomer: &NewVeth) -> bool {
        if self.awaited.anybody || Instant::now() < self.anybody_until {
            return true;
        }
        let leads_to = |id| newcomer.namespace.is_some() && newcomer.namespace == id;
        let is_its = |pid: &i32| link::id_of_process(*pid).is_ok_and(leads_to);
        self.awaited.pids.iter().any(is_its)
    }

    fn gone(&mut self, index: LinkIndex) {
        self.close(|held| held.newcomer.index == index);
        // It may be the end of somebody who will come back sooner than the engine tells.
        if self.awaited.cables.contains(&index) {
            let now = Instant::now();
            self.gone.insert(index, now);
            self.anybody_until = now + PATIENCE;
        }
    }

    fn close(&mut self, is_closed: impl Fn(&Held) -> bool) {
        for closed in self.held.extract_if(.., |held| is_closed(held)) {
            self.budget.release(1, closed.ring_mib);
            debug!("{} was nobody's who is meant", closed.newcomer.name);
        }
    }

    fn next_end(&self) -> Option<Duration> {
        self.held.iter().map(|held| PATIENCE.saturating_sub(held.newcomer.since.elapsed())).min()
    }
}
