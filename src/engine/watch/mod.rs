//! Changes among the containers of all engines while a capture runs.
//!
//! ```text
//! GET /events ── a hint, 20 ms for more ──> GET /containers/json ──> difference to the known containers
//!                                           GET /containers/ID/json of new ones ──> change reported
//! ```
//!
//! Events are only hints, and the difference between two lists decides: events may be lost, wrong or out of order, and
//! changes during an outage are found afterwards. An engine that refuses events is polled every second; the kernel is
//! scanned as often as takes less than 0.3 % of a CPU.
//!
//! One thread without capabilities does all of this.

mod engine;
pub(crate) mod events;
mod hints;
mod known;
mod namespaces;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::{ContainerInspection, discovery};
use crate::container::{Container, ContainerId, EngineKind};
use crate::error::Error;
use crate::link::NamedNamespaces;
use crate::privilege;
use crate::safe_text::SafeText;
use crate::waker::Waker;
use engine::EngineWatch;
use known::SharedWatchState;

/// Changes queued for the reader. When the queue is full, engines are listed again once there is room, and the
/// difference to what was delivered is reported.
const MAX_QUEUED_CHANGES: usize = 1024;

/// A change among containers. A restarted container is reported as stopped and started: its network is a new one.
#[derive(Clone, Debug)]
pub enum ContainerChange {
    /// It runs. Its interface value is unique among the containers of its engine.
    Started(Box<Container>, Option<ContainerInspection>),
    /// It no longer runs.
    Stopped(ContainerId),
    /// It has a new name.
    Renamed(Box<Container>),
    /// Its networks or its addresses there changed.
    NetworksChanged(Box<Container>),
    /// The engine at this address no longer answers. Its containers may still run.
    EngineLost(SafeText, Error),
    /// The engine at this address answers again; missed changes follow.
    EngineRestored(SafeText),
}

/// How soon changes among network namespaces that no engine lists are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceScans {
    /// Within a second mostly: one of them is, or may be, captured.
    Prompt,
    /// Within several seconds: only their names are of interest.
    Slow,
}

/// Reports changes among containers. Its descriptor (`AsFd`) is readable when there are any.
#[derive(Debug)]
pub struct ContainerWatcher {
    changes: Receiver<ContainerChange>,
    waker: Waker,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl ContainerWatcher {
    /// Watches all engines, also those that start later, and `named_namespaces`. Does not
    /// report `known` containers, given with the pids of their first processes where known.
    ///
    /// Starts a thread that drops every capability first and ends with this value. Fails when it cannot be started.
    pub fn start(
        known: impl IntoIterator<Item = (Container, Option<i32>)>,
        named_namespaces: NamedNamespaces,
        scans: NamespaceScans,
    ) -> Result<Self, Error> {
        let failed = |error: io::Error| {
            Error::new(
                format!("cannot watch for containers: {error}"),
                "free some processes and file descriptors: ulimit -u, ulimit -n",
            )
        };
        let known: Vec<_> = known.into_iter().collect();
        let waker = Waker::new().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let (sender, changes) = sync_channel(MAX_QUEUED_CHANGES);
        let reporter = ChangeReporter(Arc::new((sender, waker.clone())));
        let work = move || run(known, named_namespaces, scans, &reporter, stopped);
        std::thread::Builder::new().name("watch".to_owned()).spawn(work).map_err(failed)?;
        Ok(Self { changes, waker, _stop: stop })
    }

    /// The changes since the last call, without waiting.
    pub fn changes(&mut self) -> Vec<ContainerChange> {
        // Cleared first: a later change wakes again.
        self.waker.clear();
        self.changes.try_iter().collect()
    }
}

impl AsFd for ContainerWatcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

fn run(
    known: Vec<(Container, Option<i32>)>,
    named_namespaces: NamedNamespaces,
    scans: NamespaceScans,
    reporter: &ChangeReporter,
    stopped: oneshot::Receiver<()>,
) {
    // A capture checks that no thread of the process has a capability.
    let runtime = privilege::drop_on_this_thread()
        .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
    let Ok(runtime) = runtime.inspect_err(|error| log::warn!("cannot watch for containers: {error}")) else {
        return;
    };
    runtime.block_on(async {
        let shared = SharedWatchState::default();
        let (in_kernel, in_engines): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|(container, _)| container.engine == EngineKind::Kernel);
        for (number, candidate) in discovery::candidates().into_iter().enumerate() {
            let watch = EngineWatch::new(number, candidate, &in_engines, reporter.clone(), shared.clone());
            if let Some(watch) = watch {
                tokio::spawn(watch.run());
            }
        }
        if discovery::is_enabled(EngineKind::Kernel) {
            tokio::spawn(namespaces::run(in_kernel, named_namespaces, scans, reporter.clone(), shared));
        }
        // Fails when the watcher is dropped.
        let _ = stopped.await;
    });
    runtime.shutdown_background();
}

/// Queues changes and wakes the reader.
#[derive(Clone)]
struct ChangeReporter(Arc<(SyncSender<ContainerChange>, Waker)>);

impl ChangeReporter {
    /// False when the queue is full: the change must be reported again later.
    fn report(&self, change: ContainerChange) -> bool {
        let (sender, waker) = &*self.0;
        let is_queued = sender.try_send(change).is_ok();
        waker.wake();
        is_queued
    }
}

/// Locks state that no panic leaves inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
