//! Hints and answers that arrive for the watch of an engine, until it processes them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::events::EventHint;
use super::lock;
use crate::container::ContainerId;
use crate::engine::ContainerInspection;
use crate::engine::client::error::RequestError;

/// Started containers remembered by id; with more, all containers are inspected.
const MAX_STARTED: usize = 10_000;

/// What has arrived since the last [`HintQueue::take`].
#[derive(Default)]
pub(super) struct PendingHints {
    /// Something may have changed.
    pub(super) changed: bool,
    /// Containers that may have a new process.
    pub(super) started: HashSet<ContainerId>,
    /// Every container may have a new process.
    pub(super) all_started: bool,
    /// Results of inspect requests.
    pub(super) inspected: Vec<(ContainerId, Result<Option<ContainerInspection>, RequestError>)>,
    /// Why the event stream ended.
    pub(super) stream_error: Option<RequestError>,
}

/// Collects hints and wakes the task that waits for them.
#[derive(Clone, Default)]
pub(super) struct HintQueue(Arc<(Mutex<PendingHints>, Notify)>);

impl HintQueue {
    pub(super) fn push(&self, hint: EventHint) {
        self.update(|pending| {
            pending.changed = true;
            if let EventHint::Started(id) = hint {
                pending.all_started |= pending.started.len() >= MAX_STARTED;
                if !pending.all_started {
                    pending.started.insert(id);
                }
            }
        });
    }

    pub(super) fn push_inspection(
        &self,
        id: ContainerId,
        result: Result<Option<ContainerInspection>, RequestError>,
    ) {
        self.update(|pending| pending.inspected.push((id, result)));
    }

    pub(super) fn stream_ended(&self, error: RequestError) {
        self.update(|pending| pending.stream_error = Some(error));
    }

    /// Waits until something has arrived.
    pub(super) async fn wait(&self) {
        self.0.1.notified().await;
    }

    pub(super) fn take(&self) -> PendingHints {
        std::mem::take(&mut *lock(&self.0.0))
    }

    fn update(&self, change: impl FnOnce(&mut PendingHints)) {
        change(&mut lock(&self.0.0));
        self.0.1.notify_one();
    }
}
