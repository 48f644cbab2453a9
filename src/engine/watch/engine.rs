//! The watch of one engine.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use log::{debug, info};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::hints::{HintQueue, PendingHints};
use super::known::{KnownContainers, SharedWatchState};
use super::{ChangeReporter, ContainerChange, events};
use crate::container::endpoint::Endpoint;
use crate::container::{self, Container, ContainerId, EngineKind};
use crate::engine::ContainerInspection;
use crate::engine::client::api;
use crate::engine::client::error::RequestError;
use crate::engine::discovery::EngineCandidate;
use crate::engine::listing::EngineStatus;
use crate::engine::timeouts::{EngineTimeouts, INSPECT_TIMEOUT};
use crate::error::Error;

/// Further events within this time lead to the same list request: one command causes several events.
const EVENT_BATCH_DELAY: Duration = Duration::from_millis(20);
/// The next list request waits for this many times the duration of the last one: a flood of events takes at most a
/// quarter of the engine's time.
const LIST_DELAY_FACTOR: u32 = 3;
const MAX_LIST_DELAY: Duration = Duration::from_secs(1);
/// Pauses before events are requested again: the first, and the longest.
const MIN_RECONNECT_PAUSE: Duration = Duration::from_millis(50);
const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// When to list after events were requested: the engine does not report the start of the stream.
const FIRST_LIST_DELAY: Duration = Duration::from_millis(500);
/// List interval with events, in case one is missing.
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// List interval without events, or after a failure.
const LIST_POLL_INTERVAL: Duration = Duration::from_secs(1);
const MAX_PARALLEL_INSPECTIONS: usize = 8;

/// The watch of one engine.
pub(super) struct EngineWatch {
    number: usize,
    candidate: EngineCandidate,
    endpoint: Endpoint,
    /// The engine that answered last.
    engine: EngineKind,
    known: KnownContainers,
    hints: HintQueue,
    reporter: ChangeReporter,
    shared: SharedWatchState,
    state: EngineState,
    to_inspect: VecDeque<ContainerId>,
    being_inspected: HashSet<ContainerId>,
    /// Containers that may have a new process.
    started: HashSet<ContainerId>,
    /// Every container may have a new process.
    all_started: bool,
    next_list: Option<Instant>,
    list_delay: Duration,
}

/// The last reported state of an engine.
#[derive(PartialEq, Eq)]
enum EngineState {
    /// It has not answered yet.
    Unknown,
    Available,
    Lost,
}

impl EngineWatch {
    /// `None` where the address is invalid.
    pub(super) fn new(
        number: usize,
        candidate: EngineCandidate,
        known: &[(Container, Option<i32>)],
        reporter: ChangeReporter,
        shared: SharedWatchState,
    ) -> Option<Self> {
        let endpoint = candidate.endpoint.clone().ok()?;
        let known = known.iter().filter(|(container, _)| container.endpoint == endpoint).cloned();
        let known = KnownContainers::new(number, known, reporter.clone(), shared.clone());
        Some(Self {
            number,
            engine: candidate.engine,
            candidate,
            endpoint,
            known,
            hints: HintQueue::default(),
            reporter,
            shared,
            state: EngineState::Unknown,
            to_inspect: VecDeque::new(),
            being_inspected: HashSet::new(),
            started: HashSet::new(),
            all_started: false,
            next_list: None,
            list_delay: EVENT_BATCH_DELAY,
        })
    }

    /// Runs until the runtime ends.
    pub(super) async fn run(mut self) {
        let mut pause = MIN_RECONNECT_PAUSE;
        loop {
            if self.candidate.is_unused_default() && self.state == EngineState::Unknown {
                sleep(MAX_RECONNECT_PAUSE).await;
                continue;
            }
            // Changes before the event stream starts must be found.
            (self.next_list, self.all_started) = (Some(Instant::now()), true);
            let event_reader = self.spawn_event_reader();
            let started = Instant::now();
            let error = self.watch_connection().await;
            event_reader.abort();
            if started.elapsed() > LIST_INTERVAL {
                pause = MIN_RECONNECT_PAUSE;
            }
            let error = error.explain(self.engine, &self.endpoint, "receive events");
            debug!("{error} Retrying in {} ms", pause.as_millis());
            sleep(pause).await;
            pause = (pause * 2).min(MAX_RECONNECT_PAUSE);
        }
    }

    fn spawn_event_reader(&self) -> JoinHandle<()> {
        let (endpoint, hints) = (self.endpoint.clone(), self.hints.clone());
        tokio::spawn(async move {
            let error = events::read(&endpoint, |hint| hints.push(hint)).await;
            hints.stream_ended(error);
        })
    }

    /// Lists the containers when there is reason to, until the event stream breaks. Returns why it broke.
    async fn watch_connection(&mut self) -> RequestError {
        let mut has_events = true;
        let mut interval = FIRST_LIST_DELAY;
        loop {
            let at = self.next_list.unwrap_or_else(|| Instant::now() + LIST_POLL_INTERVAL);
            let _ = timeout_at(at, self.hints.wait()).await;
            let PendingHints { changed, started, all_started, inspected, stream_error } = self.hints.take();
            self.started.extend(started);
            self.all_started |= all_started;
            if changed {
                self.list_within(self.list_delay);
            }
            for (id, result) in inspected {
                self.being_inspected.remove(&id);
                self.apply_inspection(&id, result);
            }
            match stream_error {
                Some(RequestError::Status(status, _)) => {
                    info!("{} refuses events (HTTP status {status}): polling every second", self.endpoint);
                    has_events = false;
                }
                Some(error) => {
                    // The engine may be gone.
                    self.list().await;
                    return error;
                }
                None => {}
            }
            if self.next_list.is_some_and(|at| at <= Instant::now()) {
                let has_answered = self.list().await;
                if !has_answered && !has_events {
                    return RequestError::Other("the engine does not respond".to_owned());
                }
                self.list_within(if has_events && has_answered { interval } else { LIST_POLL_INTERVAL });
                interval = LIST_INTERVAL;
            }
            self.spawn_inspections();
        }
    }

    /// Schedules the next list request no later than after `delay`.
    fn list_within(&mut self, delay: Duration) {
        let at = Instant::now() + delay;
        // Further hints must not postpone it.
        self.next_list = Some(self.next_list.map_or(at, |scheduled| scheduled.min(at)));
    }

    /// Lists the containers and reports differences. False where the engine does not answer.
    async fn list(&mut self) -> bool {
        let started = Instant::now();
        let timeout = EngineTimeouts::CAPTURE.for_endpoint(&self.endpoint);
        let (engine, status) = api::list_containers(self.engine, &self.endpoint, timeout).await;
        self.list_delay = (started.elapsed() * LIST_DELAY_FACTOR).clamp(EVENT_BATCH_DELAY, MAX_LIST_DELAY);
        self.next_list = None;
        let mut containers = match status {
            EngineStatus::Available { containers, .. } => containers,
            EngineStatus::Absent => {
                let error = RequestError::Other("no engine is listening".to_owned());
                self.report_lost(error.explain(self.engine, &self.endpoint, "list containers"));
                return false;
            }
            EngineStatus::Unavailable(error) => {
                self.report_lost(error);
                return false;
            }
        };
        self.engine = engine;
        if self.state == EngineState::Lost
            && !self.reporter.report(ContainerChange::EngineRestored(self.candidate.shown()))
        {
            return true;
        }
        self.state = EngineState::Available;
        self.shared.set_answering(self.number, Some(engine));
        container::assign_values(containers.iter_mut());
        let all_started = self.all_started;
        let to_inspect = self.known.apply_list(containers, |id| all_started || self.started.contains(id));
        let Some(to_inspect) = to_inspect else {
            debug!("the queue is full: changes at {} are delayed", self.endpoint);
            self.list_within(LIST_POLL_INTERVAL);
            return true;
        };
        self.started.clear();
        self.all_started = false;
        self.to_inspect.clear();
        for id in to_inspect {
            if self.being_inspected.contains(&id) {
                // The pending result may be outdated.
                self.started.insert(id);
            } else {
                self.to_inspect.push_back(id);
            }
        }
        true
    }

    fn report_lost(&mut self, error: Error) {
        self.shared.set_answering(self.number, None);
        if self.state == EngineState::Available {
            info!("{error}");
            if self.reporter.report(ContainerChange::EngineLost(self.candidate.shown(), error)) {
                self.state = EngineState::Lost;
            }
        }
    }

    fn spawn_inspections(&mut self) {
        while self.being_inspected.len() < MAX_PARALLEL_INSPECTIONS
            && let Some(id) = self.to_inspect.pop_front()
        {
            self.being_inspected.insert(id.clone());
            let (endpoint, hints) = (self.endpoint.clone(), self.hints.clone());
            tokio::spawn(async move {
                let result = api::inspect_if_running(&endpoint, &id, INSPECT_TIMEOUT).await;
                hints.push_inspection(id, result);
            });
        }
    }

    fn apply_inspection(
        &mut self,
        id: &ContainerId,
        result: Result<Option<ContainerInspection>, RequestError>,
    ) {
        let result = match result {
            // It was removed.
            Err(RequestError::Status(404, _)) => Ok(None),
            other => other,
        };
        match result.map(|inspection| self.known.apply_inspection(id, inspection)) {
            Ok(true) => {
                if self.started.contains(id) {
                    self.list_within(self.list_delay);
                }
            }
            Ok(false) => self.list_within(LIST_POLL_INTERVAL),
            Err(error) => {
                let action = format!("inspect container {}", id.short());
                debug!("{}", error.explain(self.engine, &self.endpoint, &action));
                self.list_within(LIST_POLL_INTERVAL);
            }
        }
    }
}
