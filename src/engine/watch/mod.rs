//! What changes among the containers of all engines, as it happens.
//!
//! ```text
//! GET /events ── a hint, 20 ms for more ──> GET /containers/json ──> the difference to what was known
//!                                           GET /containers/ID/json of what is new ──> a change is told
//! ```
//!
//! An event says only that it is worth asking. So nothing depends on events being complete, in order or
//! true, and when an engine was away, the difference is made up. Where an engine has no events for us, it is
//! asked every second; the kernel alone is looked at as often as that costs less than 1 % of a core.
//!
//! All of that is one thread without any capability. From Docker's start event to the change, with all
//! that joining needs, it took 27 to 62 ms, from Podman's 85 to 195 ms (2 cores, 5 starts each).

mod hints;
mod known;
mod namespaces;
mod place;

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt as _;

use super::{ContainerInspection, places};
use crate::container::{Container, ContainerId, EngineKind};
use crate::error::Error;
use crate::link::Entered;
use crate::privilege;
use crate::safe_text::SafeText;
use known::Share;
use place::Watched;

/// Changes that may wait to be taken. When there are more, engines are asked anew once there is room, and
/// what is told then is the difference to what was taken.
const MOST_WAITING: usize = 1024;

/// A change among containers. A container that was started anew went and came: its network is another.
#[derive(Clone, Debug)]
pub enum ContainerChange {
    /// It runs. Its interface value is the only one of its kind among the containers of its engine.
    Started(Box<Container>, Option<ContainerInspection>),
    /// It does not run any more.
    Stopped(ContainerId),
    /// It has another name.
    Renamed(Box<Container>),
    /// It is in other networks than it was, or has other addresses there.
    NetworksChanged(Box<Container>),
    /// The engine at this place does not answer any more. Its containers may run on.
    EngineLost(SafeText, Error),
    /// It answers again; the changes that were missed come after this.
    EngineRestored(SafeText),
}

/// Tells what changes. Ready for reading (`AsFd`) when there is something.
#[derive(Debug)]
pub struct ContainerWatcher {
    changes: Receiver<ContainerChange>,
    bell: UnixStream,
}

impl ContainerWatcher {
    /// Begins to watch all engines that are there or will be, and network namespaces by the names that
    /// `entered` knows. `known` containers, with the pids of their first processes where these were
    /// asked for, are not told of again. Starts a thread, which ends with this value and drops every capability before
    /// anything else.
    ///
    /// Fails when the thread cannot be started.
    pub fn start(
        known: impl IntoIterator<Item = (Container, Option<i32>)>,
        entered: Entered,
    ) -> Result<Self, Error> {
        let cannot = |error: io::Error| {
            Error::new(
                format!("cannot watch for containers: {error}"),
                "free some processes and file descriptors: ulimit -u, ulimit -n",
            )
        };
        let known: Vec<_> = known.into_iter().collect();
        let (bell, rope) = UnixStream::pair().map_err(cannot)?;
        bell.set_nonblocking(true).map_err(cannot)?;
        rope.set_nonblocking(true).map_err(cannot)?;
        let (sender, changes) = sync_channel(MOST_WAITING);
        let work = move || run(known, entered, sender, rope);
        std::thread::Builder::new().name("watch".to_owned()).spawn(work).map_err(cannot)?;
        Ok(Self { changes, bell })
    }

    /// The changes since the last call, without waiting.
    pub fn changes(&mut self) -> Vec<ContainerChange> {
        // First the bell: what is told after that rings it again.
        let mut rings = [0; 64];
        while matches!((&self.bell).read(&mut rings), Ok(count) if count > 0) {}
        self.changes.try_iter().collect()
    }
}

impl AsFd for ContainerWatcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn run(
    known: Vec<(Container, Option<i32>)>,
    entered: Entered,
    sender: SyncSender<ContainerChange>,
    rope: UnixStream,
) {
    // This thread lives as long as the capture, which looks at every thread's rights.
    let runtime = privilege::drop_on_this_thread()
        .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
    let Ok(runtime) = runtime.inspect_err(|error| log::warn!("containers are not watched: {error}")) else {
        return;
    };
    runtime.block_on(async {
        let Ok(rope) = tokio::net::UnixStream::from_std(rope) else { return };
        let (mut end, rope) = rope.into_split();
        let teller = Teller(Arc::new((sender, rope)));
        let share = Share::default();
        let (seen, told): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|(container, _)| container.engine == EngineKind::Kernel);
        for (number, place) in places::all().into_iter().enumerate() {
            let watched = Watched::new(number, place, &told, teller.clone(), share.clone());
            if let Some(watched) = watched {
                tokio::spawn(watched.run());
            }
        }
        if places::is_wanted(EngineKind::Kernel) {
            tokio::spawn(namespaces::run(seen, entered, teller.clone(), share));
        }
        // Until whoever reads is gone.
        while matches!(end.read(&mut [0; 64]).await, Ok(count) if count > 0) {}
    });
    runtime.shutdown_background();
}

/// Hands changes over, and rings.
#[derive(Clone)]
struct Teller(Arc<(SyncSender<ContainerChange>, tokio::net::unix::OwnedWriteHalf)>);

impl Teller {
    /// False when there is no room: nothing must count as told then.
    fn tell(&self, change: ContainerChange) -> bool {
        let (sender, rope) = &*self.0;
        let told = match sender.try_send(change) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        };
        // Where there is no room for another ring, one is waiting to be heard.
        let _ = rope.try_write(&[0]);
        told
    }
}

/// What is behind a lock that no panic leaves halfway.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
