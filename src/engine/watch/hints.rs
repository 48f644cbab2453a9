//! What a place has to be asked about, gathered while it is not asked.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::locked;
use crate::container::ContainerId;
use crate::engine::ContainerInspection;
use crate::engine::events::Hint;
use crate::engine::failure::Failure;

/// Most starts that are remembered by id; beyond, all containers are asked about.
const MOST_STARTS: usize = 10_000;

/// What has come up since it was last taken.
#[derive(Default)]
pub(super) struct Gathered {
    /// Something may have changed.
    pub(super) hinted: bool,
    /// Containers that may be other processes now.
    pub(super) started: HashSet<ContainerId>,
    /// So many that any may be.
    pub(super) too_many: bool,
    /// Answers about one container each.
    pub(super) inspected: Vec<(ContainerId, Result<Option<ContainerInspection>, Failure>)>,
    /// No events come any more.
    pub(super) broken: Option<Failure>,
}

/// Gathers, and wakes whoever waits.
#[derive(Clone, Default)]
pub(super) struct Hints(Arc<(Mutex<Gathered>, Notify)>);

impl Hints {
    pub(super) fn hint(&self, hint: Hint) {
        self.with(|gathered| {
            gathered.hinted = true;
            if let Hint::Started(id) = hint {
                gathered.too_many |= gathered.started.len() >= MOST_STARTS;
                if !gathered.too_many {
                    gathered.started.insert(id);
                }
            }
        });
    }

    pub(super) fn inspected(&self, id: ContainerId, answer: Result<Option<ContainerInspection>, Failure>) {
        self.with(|gathered| gathered.inspected.push((id, answer)));
    }

    pub(super) fn broken(&self, why: Failure) {
        self.with(|gathered| gathered.broken = Some(why));
    }

    pub(super) async fn any(&self) {
        self.0.1.notified().await;
    }

    pub(super) fn take(&self) -> Gathered {
        std::mem::take(&mut *locked(&self.0.0))
    }

    fn with(&self, note: impl FnOnce(&mut Gathered)) {
        note(&mut locked(&self.0.0));
        self.0.1.notify_one();
    }
}
