//! Opens new host veths before it is known which container they belong to.
//!
//! ```text
//! link::LinkMonitor ──> opened at once ──> adopted, with its packets, when its container turns out to be selected
//!                                    ──> closed, without writing anything, when it does not, or after a timeout
//! ```
//!
//! A veth pair exists before the first process of its container runs, and that before the engine reports it. Packets up
//! to then stay in the rings of the tap. A thread of its own opens veths, since looking containers up takes too long.

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

/// How long a veth stays open without a container. Its tap, which gets no heartbeat yet, ends after 10 seconds.
const ADOPTION_TIMEOUT: Duration = Duration::from_secs(8);
/// Veths opened within that time and not adopted: bounds processes and memory (`capture::PREOPENED_RINGS_KIB`) while links are
/// created by the thousand.
const MAX_PREOPENED: usize = 32;

/// Which new veths to open.
#[derive(Clone, Debug, Default)]
pub(super) struct ExpectedVeths {
    /// Whether any new container may be selected. Otherwise only captured containers may get further interfaces.
    pub(super) of_any_container: bool,
    /// The first processes of captured containers.
    pub(super) pids: Vec<i32>,
    /// Their host veths.
    pub(super) captured: Vec<LinkIndex>,
}

/// Opens veths in advance, and shares the memory for rings with all other taps.
pub(super) struct Preopener {
    settings: CaptureSettings,
    changes: ChangeSender,
    state: Mutex<PreopenState>,
}

struct PreopenState {
    budget: RingBudget,
    expected: ExpectedVeths,
    /// Until when any container may be one that is back, before the engine reports its end.
    any_container_until: Instant,
    /// When veths of captured containers were removed.
    removed: HashMap<LinkIndex, Instant>,
    preopened: Vec<PreopenedVeth>,
    /// When veths were opened that have not been adopted.
    opened_at: VecDeque<Instant>,
}

/// A veth that was opened in advance.
pub(super) struct PreopenedVeth {
    link: NewVeth,
    /// The settings it was opened with.
    pub(super) settings: CaptureSettings,
    pub(super) tap: PendingTap,
    /// When it was opened, in nanoseconds since the epoch.
    pub(super) since: u64,
    pub(super) ring_kib: u32,
    /// Set once its other end is in another namespace.
    pub(super) announcement: Option<Announcement>,
}

impl Preopener {
    pub(super) fn new(settings: CaptureSettings, changes: ChangeSender, budget: RingBudget) -> Self {
        let state = PreopenState {
            budget,
            expected: ExpectedVeths::default(),
            any_container_until: Instant::now(),
            removed: HashMap::new(),
            preopened: Vec::new(),
            opened_at: VecDeque::new(),
        };
        Self { settings, changes, state: Mutex::new(state) }
    }

    /// Sets which veths to open from now on.
    pub(super) fn expect(&self, expected: ExpectedVeths) {
        let mut state = self.state();
        state.removed.retain(|index, _| expected.captured.contains(index));
        state.expected = expected;
    }

    /// When the first of `veths` was removed, if one was.
    pub(super) fn removed_at(&self, veths: &[LinkIndex]) -> Option<Instant> {
        let state = self.state();
        veths.iter().filter_map(|index| state.removed.get(index)).min().copied()
    }

    /// Calls `work` with the memory for rings.
    pub(super) fn with_budget<T>(&self, work: impl FnOnce(&mut RingBudget) -> T) -> T {
        work(&mut self.state().budget)
    }

    /// Takes the veth at `tap`, whose other end is in `namespace`, if it was opened.
    pub(super) fn take(&self, tap: &Tap, namespace: NamespaceId) -> Option<PreopenedVeth> {
        let mut state = self.state();
        // The event that the other end was moved may still be pending.
        let leads_there = |veth: &PreopenedVeth| veth.link.namespace.is_none_or(|its| its == namespace);
        let matches = |veth: &PreopenedVeth| veth.link.tap() == *tap && leads_there(veth);
        let at = state.preopened.iter().position(matches)?;
        let veth = state.preopened.swap_remove(at);
        state.opened_at.pop_front();
        debug!("{} was opened {:?} ago", veth.link.name, veth.link.since.elapsed());
        Some(veth)
    }

    /// Closes the veths of a namespace whose container is not selected.
    pub(super) fn close_namespace(&self, namespace: NamespaceId) {
        self.state().close(|veth| veth.link.namespace == Some(namespace));
    }

    /// Opens veths as they are created, until the other end of `end` is closed.
    pub(super) fn run(&self, mut link_monitor: LinkMonitor, broker: &Broker, end: &PipeReader) {
        loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut polled = [readable(link_monitor.as_fd()), readable(end.as_fd())];
            let timeout = self.state().next_timeout().map_or(PollTimeout::NONE, |left| {
                PollTimeout::from(u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX))
            });
            // An interruption only shortens the wait.
            let _ = poll(&mut polled, timeout);
            if polled[1].any() == Some(true) {
                return;
            }
            let changes = match link_monitor.changes() {
                Ok(changes) => changes,
                Err(error) => {
                    warn!("{error}");
                    return;
                }
            };
            let mut state = self.state();
            for change in changes {
                match change {
                    LinkChange::Appeared(link) => self.open(link, &mut state, broker),
                    LinkChange::Moved(link) => self.set_namespace(link, &mut state, broker),
                    LinkChange::Removed(index) => state.record_removed(index),
                }
            }
            state.close(|veth| veth.link.since.elapsed() >= ADOPTION_TIMEOUT);
        }
    }

    /// The other end of `link` was moved to another namespace.
    fn set_namespace(&self, link: NewVeth, state: &mut PreopenState, broker: &Broker) {
        match state.preopened.iter_mut().find(|veth| veth.link.index == link.index) {
            Some(veth) => {
                veth.link.namespace = link.namespace;
                veth.announcement = Some(self.changes.announce());
            }
            None => self.open(link, state, broker),
        }
    }

    fn open(&self, link: NewVeth, state: &mut PreopenState, broker: &Broker) {
        if !state.is_expected(&link) {
            return;
        }
        while state.opened_at.front().is_some_and(|at| at.elapsed() >= ADOPTION_TIMEOUT) {
            state.opened_at.pop_front();
        }
        if state.opened_at.len() >= MAX_PREOPENED {
            debug!("{} is not opened in advance: too many new links", link.name);
            return;
        }
        let preopened_kib = state.preopened.iter().map(|veth| veth.ring_kib).sum();
        let Some(ring_kib) = state.budget.allocate_preopened(preopened_kib) else { return };
        let location =
            TapLocation::HostVeth { name: link.name.clone(), index: link.index.0, expected_holder: None };
        let settings = self.changes.settings(&self.settings);
        let request = TapRequest::new(location, &settings, ring_kib);
        match broker.request_tap(&request, &SafeText::new(&link.name)) {
            Ok(tap) => {
                state.opened_at.push_back(link.since);
                let announcement = link.namespace.map(|_| self.changes.announce());
                let since = capture::now();
                state.preopened.push(PreopenedVeth { link, settings, tap, since, ring_kib, announcement });
            }
            Err(error) => {
                state.budget.release(1, ring_kib);
                warn!("{error}");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, PreopenState> {
        // A panic of the other thread leaves it consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PreopenState {
    fn is_expected(&self, link: &NewVeth) -> bool {
        if self.expected.of_any_container || Instant::now() < self.any_container_until {
            return true;
        }
        let leads_to = |id| link.namespace.is_some() && link.namespace == id;
        self.expected.pids.iter().any(|pid| link::id_of_process(*pid).is_ok_and(leads_to))
    }

    fn record_removed(&mut self, index: LinkIndex) {
        self.close(|veth| veth.link.index == index);
        // Its container may have ended, and be back before the engine reports that.
        if self.expected.captured.contains(&index) {
            let now = Instant::now();
            self.removed.insert(index, now);
            self.any_container_until = now + ADOPTION_TIMEOUT;
        }
    }

    fn close(&mut self, is_closed: impl Fn(&PreopenedVeth) -> bool) {
        for closed in self.preopened.extract_if(.., |veth| is_closed(veth)) {
            self.budget.release(1, closed.ring_kib);
            debug!("{} does not belong to a selected container", closed.link.name);
        }
    }

    /// The time until the next veth is closed.
    fn next_timeout(&self) -> Option<Duration> {
        let left = |veth: &PreopenedVeth| ADOPTION_TIMEOUT.saturating_sub(veth.link.since.elapsed());
        self.preopened.iter().map(left).min()
    }
}
