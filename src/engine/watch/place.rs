//! One engine, watched.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use log::{debug, info};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::hints::{Gathered, Hints};
use super::known::{Known, Share};
use super::{ContainerChange, Teller};
use crate::container::{self, Container, ContainerId, EngineKind};
use crate::endpoint::Endpoint;
use crate::engine::failure::Failure;
use crate::engine::places::Place;
use crate::engine::{EngineStatus, EngineTimeouts, INSPECT_TIMEOUT, api, events};

/// For how long further events are waited for, which make one look with the first: what one command
/// does comes as several.
const GATHER: Duration = Duration::from_millis(20);
/// A look waits for this many times what the last one took: a flood of events costs an engine no more than
/// a quarter of its time.
const REST: u32 = 3;
/// Longest wait before a look.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// First and longest pause before the events of an engine are asked for again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// When to look once events were asked for, since nothing tells when that has come to pass.
const SETTLED: Duration = Duration::from_millis(500);
/// How often to look while events come, should one be missing.
const SELDOM: Duration = Duration::from_secs(10);
/// How often to look where an engine does not let us have events, or something failed.
const OFTEN: Duration = Duration::from_secs(1);
/// Questions about one container each that are asked at the same time.
const AT_ONCE: usize = 8;

/// An engine at its place.
pub(super) struct Watched {
    number: usize,
    place: Place,
    endpoint: Endpoint,
    /// Which engine answered last.
    engine: EngineKind,
    known: Known,
    hints: Hints,
    teller: Teller,
    share: Share,
    state: State,
    /// Containers to be asked about, and those that are being asked about.
    to_ask: VecDeque<ContainerId>,
    asking: HashSet<ContainerId>,
    /// Containers that may be other processes now.
    started: HashSet<ContainerId>,
    /// Any may be.
    all_started: bool,
    look_at: Option<Instant>,
    rest: Duration,
}

/// What was told of an engine.
#[derive(PartialEq, Eq)]
enum State {
    /// It never answered.
    Unheard,
    Answers,
    Lost,
}

impl Watched {
    /// `None` where nothing can be asked.
    pub(super) fn new(
        number: usize,
        place: Place,
        known: &[(Container, Option<i32>)],
        teller: Teller,
        share: Share,
    ) -> Option<Self> {
        let endpoint = place.endpoint.clone().ok()?;
        let its = known.iter().filter(|(container, _)| container.endpoint == endpoint).cloned();
        let known = Known::new(number, its, teller.clone(), share.clone());
        Some(Self {
            number,
            engine: place.engine,
            place,
            endpoint,
            known,
            hints: Hints::default(),
            teller,
            share,
            state: State::Unheard,
            to_ask: VecDeque::new(),
            asking: HashSet::new(),
            started: HashSet::new(),
            all_started: false,
            look_at: None,
            rest: GATHER,
        })
    }

    /// Watches until the program does not listen any more.
    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            if self.place.is_bare() && self.state == State::Unheard {
                sleep(PAUSES.1).await;
                continue;
            }
            // Whatever happened before this has to be seen.
            (self.look_at, self.all_started) = (Some(Instant::now()), true);
            let reader = self.read();
            let begun = Instant::now();
            let why = self.watch().await;
            reader.abort();
            if begun.elapsed() > SELDOM {
                pause = PAUSES.0;
            }
            let why = why.trouble(self.engine, &self.endpoint, "hear of changes");
            debug!("{why}; again in {} ms", pause.as_millis());
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn read(&self) -> JoinHandle<()> {
        let (endpoint, hints) = (self.endpoint.clone(), self.hints.clone());
        tokio::spawn(async move {
            let why = events::read(&endpoint, |hint| hints.hint(hint)).await;
            hints.broken(why);
        })
    }

    /// Looks when there is reason to, until the connection breaks: why, is returned.
    async fn watch(&mut self) -> Failure {
        let mut has_events = true;
        let mut interval = SETTLED;
        loop {
            let at = self.look_at.unwrap_or_else(|| Instant::now() + OFTEN);
            let _ = timeout_at(at, self.hints.any()).await;
            let Gathered { hinted, started, too_many, inspected, broken } = self.hints.take();
            self.started.extend(started);
            self.all_started |= too_many;
            if hinted {
                self.look_within(self.rest);
            }
            for (id, answer) in inspected {
                self.asking.remove(&id);
                self.take_answer(&id, answer);
            }
            match broken {
                // It may be asked, but not for events.
                Some(Failure::Refused(status, _)) => {
                    info!("{} refuses its events ({status}): it is asked every second", self.endpoint);
                    has_events = false;
                }
                Some(why) => {
                    // At once, since what was told may be wrong by now.
                    self.look().await;
                    return why;
                }
                None => {}
            }
            if self.look_at.is_some_and(|at| at <= Instant::now()) {
                let answers = self.look().await;
                if !answers && !has_events {
                    return Failure::Other("it does not answer".to_owned());
                }
                self.look_within(if has_events && answers { interval } else { OFTEN });
                interval = SELDOM;
            }
            self.ask();
        }
    }

    /// Has the next look come no later than after `wait`.
    fn look_within(&mut self, wait: Duration) {
        let at = Instant::now() + wait;
        // One that is due stays so, however many hints come.
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    /// Asks for the list, and tells what is different. False where the engine does not answer.
    async fn look(&mut self) -> bool {
        let begun = Instant::now();
        let (engine, outcome) =
            api::list(self.engine, &self.endpoint, EngineTimeouts::CAPTURE.for_endpoint(&self.endpoint))
                .await;
        self.rest = (begun.elapsed() * REST).clamp(GATHER, LONGEST_REST);
        self.look_at = None;
        let mut containers = match outcome {
            EngineStatus::Available { containers, .. } => containers,
            EngineStatus::Absent => {
                let gone = || Failure::Other("nothing listens there".to_owned());
                self.is_lost(|engine, endpoint| gone().trouble(engine, endpoint, "list containers"));
                return false;
            }
            EngineStatus::Unavailable(why) => {
                self.is_lost(|_, _| why);
                return false;
            }
        };
        self.engine = engine;
        if self.state == State::Lost && !self.teller.tell(ContainerChange::EngineRestored(self.place.shown()))
        {
            return true;
        }
        self.state = State::Answers;
        self.share.answers(self.number, Some(engine));
        container::assign_values(containers.iter_mut());
        let all = self.all_started;
        let Some(ask) = self.known.take_list(containers, |id| all || self.started.contains(id)) else {
            debug!("changes at {} wait to be taken", self.endpoint);
            self.look_within(OFTEN);
            return true;
        };
        self.started.clear();
        self.all_started = false;
        self.to_ask.clear();
        for id in ask {
            if self.asking.contains(&id) {
                // What it answers may be from before.
                self.started.insert(id);
            } else {
                self.to_ask.push_back(id);
            }
        }
        true
    }

    fn is_lost(&mut self, why: impl FnOnce(EngineKind, &Endpoint) -> crate::error::Error) {
        self.share.answers(self.number, None);
        if self.state == State::Answers {
            let why = why(self.engine, &self.endpoint);
            info!("{why}");
            if self.teller.tell(ContainerChange::EngineLost(self.place.shown(), why)) {
                self.state = State::Lost;
            }
        }
    }

    /// Asks about as many containers as may be asked about at the same time.
    fn ask(&mut self) {
        while self.asking.len() < AT_ONCE
            && let Some(id) = self.to_ask.pop_front()
        {
            self.asking.insert(id.clone());
            let (endpoint, hints) = (self.endpoint.clone(), self.hints.clone());
            tokio::spawn(async move {
                let answer = api::inspect_if_it_runs(&endpoint, &id, INSPECT_TIMEOUT).await;
                hints.inspected(id, answer);
            });
        }
    }

    fn take_answer(
        &mut self,
        id: &ContainerId,
        answer: Result<Option<crate::engine::ContainerInspection>, Failure>,
    ) {
        // It was removed.
        let answer = match answer {
            Err(Failure::Refused(404, _)) => Ok(None),
            other => other,
        };
        match answer.map(|told| self.known.take_inspected(id, told)) {
            Ok(true) => {
                if self.started.contains(id) {
                    self.look_within(self.rest);
                }
            }
            Ok(false) => self.look_within(OFTEN),
            Err(failure) => {
                let tried = format!("inspect container {}", id.short());
                debug!("{}", failure.trouble(self.engine, &self.endpoint, &tried));
                self.look_within(OFTEN);
            }
        }
    }
}
