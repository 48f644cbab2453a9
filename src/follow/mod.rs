//! Captures containers that start, end or change during a capture.
//!
//! ```text
//! engine::ContainerWatcher ──> started and selected ──> looked up, opened by the broker or the engine ──> added
//!                              ended ──> forgotten (the session notices by itself)
//!                              renamed, other addresses ──> names sent to the session
//! link::LinkMonitor ──> new veth, opened before its container is known (preopen) ──> adopted by that container
//! ```

mod captured;
mod join;
mod preopen;

use std::collections::HashMap;
use std::io::PipeReader;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use captured::{CapturedContainer, CapturedContainers};

use crate::broker::Broker;
use crate::capture::{CaptureSettings, RingBudget};
use crate::container::address_names::{self, AddressHistory};
use crate::container::selection::Selection;
use crate::container::{Container, ContainerId};
use crate::engine::{ContainerChange, ContainerWatcher};
use crate::link::{self, LinkMonitor};
use crate::safe_text::SafeText;
use crate::session::{ChangeSender, SessionChange, SessionEnded};
use crate::tap::{TapKind, TapRights, TargetOptions};
use preopen::{ExpectedVeths, Preopener};

/// Ended containers remembered, to report how long each was away.
const MAX_ENDED: usize = 1000;
/// After an engine is back, how long and how often to check whether tap containers have ended with it: their connections
/// break one after the other.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
const RECOVERY_CHECK_INTERVAL_MS: u16 = 500;

/// What to capture of new containers.
pub struct FollowOptions {
    /// Which containers.
    pub selection: Selection,
    /// Which of their attachments, and how.
    pub target_options: TargetOptions,
    /// Filter, snap length and so on.
    pub settings: CaptureSettings,
    /// The memory left for rings.
    pub budget: RingBudget,
}

/// The containers when the capture begins.
pub struct InitialContainers {
    /// All that run.
    pub running: Vec<Container>,
    /// Those that are captured.
    pub captured: CapturedContainers,
}

/// Shows a message to the user.
pub type Notify<'a> = &'a (dyn Fn(&str) + Sync);

/// Follows containers while a session runs.
pub struct Follower {
    selection: Selection,
    target_options: TargetOptions,
    settings: CaptureSettings,
    watcher: ContainerWatcher,
    link_monitor: Option<LinkMonitor>,
    broker: Option<Arc<Broker>>,
    changes: ChangeSender,
    preopener: Arc<Preopener>,
    running: Vec<Container>,
    captured: CapturedContainers,
    /// When captured containers ended, by name.
    ended: HashMap<SafeText, Instant>,
    names: Vec<(IpAddr, SafeText)>,
    address_history: AddressHistory,
    /// When an engine last became available again.
    engine_back_at: Option<Instant>,
}

impl Follower {
    /// Follows from the `initial` containers on, and sends changes to a session.
    pub fn new(
        options: FollowOptions,
        initial: InitialContainers,
        watcher: ContainerWatcher,
        broker: Option<Broker>,
        changes: ChangeSender,
    ) -> Self {
        let FollowOptions { selection, target_options, settings, budget } = options;
        // A process with threads cannot enter a user namespace, so only the broker can.
        let rights = TapRights {
            capture: broker.as_ref().is_some_and(Broker::may_capture),
            enter: broker.as_ref().is_some_and(Broker::may_enter),
            enter_rootless: broker.is_some(),
            ..target_options.rights
        };
        let uses_host_veths = target_options.tap.is_none_or(|kind| kind == TapKind::Host);
        let link_monitor = (rights.capture && uses_host_veths).then(LinkMonitor::listen);
        let link_monitor = link_monitor.transpose().unwrap_or_else(|error| {
            warn!("{error}");
            None
        });
        let follower = Self {
            selection,
            target_options: TargetOptions { rights, ..target_options },
            watcher,
            link_monitor,
            broker: broker.map(Arc::new),
            preopener: Arc::new(Preopener::new(settings.clone(), changes.clone(), budget)),
            settings,
            changes,
            running: initial.running,
            captured: initial.captured,
            ended: HashMap::new(),
            names: Vec::new(),
            address_history: AddressHistory::default(),
            engine_back_at: None,
        };
        follower.preopener.expect(follower.expected_veths());
        follower
    }

    /// Follows until the other end of `end` is closed or the session ends.
    pub fn run(mut self, end: &PipeReader, notify: Notify) {
        let (link_monitor, broker, preopener) =
            (self.link_monitor.take(), self.broker.clone(), Arc::clone(&self.preopener));
        std::thread::scope(|scope| {
            if let (Some(link_monitor), Some(broker)) = (link_monitor, broker) {
                let preopen = move || preopener.run(link_monitor, &broker, end);
                let thread = std::thread::Builder::new().name("preopen".to_owned());
                if let Err(error) = thread.spawn_scoped(scope, preopen) {
                    warn!("new veth pairs are not opened in advance: {error}");
                }
            }
            // An error means that the session has ended.
            let _ = self.follow(end, notify);
        });
        self.captured.end_all();
    }

    fn follow(&mut self, end: &PipeReader, notify: Notify) -> Result<(), SessionEnded> {
        loop {
            let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
            let mut polled = [readable(self.watcher.as_fd()), readable(end.as_fd())];
            self.engine_back_at = self.engine_back_at.filter(|at| at.elapsed() < RECOVERY_TIMEOUT);
            let check = |_| PollTimeout::from(RECOVERY_CHECK_INTERVAL_MS);
            // An interruption only shortens the wait.
            let _ = poll(&mut polled, self.engine_back_at.map_or(PollTimeout::NONE, check));
            if polled[1].any() == Some(true) {
                return Ok(());
            }
            for change in self.watcher.changes() {
                self.apply(change, notify)?;
            }
            if self.engine_back_at.is_some() {
                self.recapture_broken(notify)?;
            }
            self.preopener.expect(self.expected_veths());
            self.send_names()?;
        }
    }

    fn apply(&mut self, change: ContainerChange, notify: Notify) -> Result<(), SessionEnded> {
        match change {
            ContainerChange::Started(container, process) => {
                self.update(&container, process.map(|process| process.pid), notify)
            }
            ContainerChange::Renamed(container) | ContainerChange::NetworksChanged(container) => {
                self.update(&container, None, notify)
            }
            ContainerChange::Stopped(id) => {
                self.remove(&id, notify);
                Ok(())
            }
            ContainerChange::EngineLost(engine, error) => {
                warn!("{error}");
                notify(&format!("{engine} no longer responds ({}); the capture continues", error.message()));
                Ok(())
            }
            ContainerChange::EngineRestored(engine) => {
                notify(&format!("{engine} responds again"));
                self.engine_back_at = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Adds a container that has started, or captures what is new of one that has changed. `pid` is its first process.
    fn update(
        &mut self,
        container: &Container,
        pid: Option<i32>,
        notify: Notify,
    ) -> Result<(), SessionEnded> {
        self.running.retain(|other| other.id != container.id);
        self.running.push(container.clone());
        if self.is_selected(container) {
            return self.join(container, notify);
        }
        if let Some(namespace) = pid.and_then(|pid| link::id_of_process(pid).ok().flatten()) {
            self.preopener.close_namespace(namespace);
        }
        Ok(())
    }

    fn remove(&mut self, id: &ContainerId, notify: Notify) {
        let Some(at) = self.running.iter().position(|container| container.id == *id) else { return };
        let container = self.running.swap_remove(at);
        let host_veths = self.captured.host_veths_of(id);
        let Some(rings) = self.captured.remove(id) else { return };
        self.release_rings(rings);
        notify(&format!("{} has ended", container.name));
        if self.ended.len() >= MAX_ENDED
            && let Some(oldest) = self.ended.iter().min_by_key(|(_, since)| **since)
        {
            let oldest = oldest.0.clone();
            self.ended.remove(&oldest);
        }
        // The kernel reports the end earlier than an engine that is being restarted.
        let ended_at = self.preopener.removed_at(&host_veths).unwrap_or_else(Instant::now);
        self.ended.insert(container.name, ended_at);
    }

    fn release_rings(&self, rings: Vec<(usize, u32)>) {
        self.preopener
            .with_budget(|budget| rings.into_iter().for_each(|(count, mib)| budget.release(count, mib)));
    }

    fn is_selected(&self, container: &Container) -> bool {
        let (selected, _) = self.selection.resolve(&self.running);
        selected.iter().any(|one| one.container.id == container.id)
    }

    /// The veth pairs that may be created for selected containers.
    fn expected_veths(&self) -> ExpectedVeths {
        let (selected, missing) = self.selection.resolve(&self.running);
        let all_captured =
            missing.is_empty() && selected.iter().all(|one| self.captured.contains(&one.container.id));
        ExpectedVeths {
            of_any_container: self.selection.has_criteria() || !all_captured,
            pids: self.captured.pids(),
            captured: self.captured.host_veths(),
        }
    }

    fn send_names(&mut self) -> Result<(), SessionEnded> {
        let is_captured = |container: &&Container| self.captured.contains(&container.id);
        let mut captured: Vec<&Container> = self.running.iter().filter(is_captured).collect();
        address_names::sort_by_name_priority(&mut captured);
        let mut names = address_names::address_names(&self.running, &captured, &link::own_addresses());
        self.address_history.add_shared_names(&mut names, &self.running);
        if names == self.names {
            return Ok(());
        }
        self.names.clone_from(&names);
        self.changes.send(SessionChange::AddNames(names))
    }
}
