//! One live capture: sources in, one stream out.
//!
//! ```text
//! rings, streams from elsewhere ──> merge, in order of time ──> output: FIFO, standard output or files
//!                                     limits, statistics          signals, reader, parent, container: the ends
//! ```

mod changes;
mod crossing;
mod destination;
mod far;
mod files;
mod filtering;
mod finish;
mod lane;
mod limits;
mod losses;
mod members;
mod merge;
mod one_way;
mod orders;
mod output;
mod pace;
mod pauses;
mod queue;
mod queues;
mod readiness;
mod repeat;
mod run;
mod source;
mod stage;
mod stream;
mod telling;
mod totals;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use changes::{Change, Changes, Expected, Joining, Member, Over, changes};
pub use destination::Destination;
pub use files::{Files, stamp};
pub use filtering::Answer;
pub use lane::Share;
pub use limits::{Limit, Limits};
pub use orders::{Order, Ordered, Orders, orders};
pub use output::{End, Output};
pub use source::Source;
pub use totals::Totals;

use crate::error::Error;
use crate::peer::Heartbeat;
use crate::privilege::Unprivileged;
use crate::safe_text::SafeText;
use crate::stop::Stop;
use run::Running;

/// Which packets a capture keeps that cross from one of its containers to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// Keep one copy, the sender's
    #[default]
    Drop,
    /// Keep both copies
    Keep,
}

impl Duplicates {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Drop, Self::Keep];

    /// The word that asks for it: `drop`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Keep => "keep",
        }
    }

    /// The one that `word` asks for; `None` where it asks for neither.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|duplicates| duplicates.word() == word)
    }
}

/// Everything a capture needs, opened.
pub struct Session {
    /// Who is captured from the begin, in the order of the numbers of their interfaces. The capture
    /// ends once all of them have left.
    pub members: Vec<Member>,
    /// Who joins later, and other changes: with these the capture goes on without a member.
    pub changes: Option<Changes>,
    /// What may be asked of it meanwhile.
    pub orders: Option<Ordered>,
    /// Names for addresses.
    pub names: Vec<(IpAddr, SafeText)>,
    /// How long the kernel may keep a packet back.
    pub block_timeout: Duration,
    /// What is kept of packets that cross between members.
    pub duplicates: Duplicates,
    /// When to stop of its own.
    pub limits: Limits,
    /// Whether another session reads the stream: statistics then also stand before the first packet,
    /// which says that all interfaces are told, and come more often.
    pub feeds_session: bool,
    /// Where the stream goes.
    pub output: Output,
    /// Whether the section header is in `output` already.
    pub begun: bool,
    /// The ring buffer of files that `output` is the first of.
    pub files: Option<Files>,
}

/// Who is told how a capture goes, and how often.
pub type Report<'a> = (Duration, &'a mut dyn FnMut(&Totals));

impl Session {
    /// One of `members`, from a section header on, that nobody joins or asks anything of, without names or limits.
    pub fn new(members: Vec<Member>, block_timeout: Duration, output: Output) -> Self {
        Self {
            members,
            changes: None,
            orders: None,
            names: Vec::new(),
            block_timeout,
            duplicates: Duplicates::default(),
            limits: Limits::default(),
            feeds_session: false,
            output,
            begun: false,
            files: None,
        }
    }

    /// Runs until stopped, complete, or there is nothing left to capture. Calls `report` now and
    /// then.
    ///
    /// Fails when the output does, or every source has ended that ought not to have and none can join
    /// any more; a reader who leaves is a normal end.
    pub fn run(
        mut self,
        stop: &Stop,
        _proof: &Unprivileged,
        report: Option<Report<'_>>,
    ) -> Result<Totals, Error> {
        let _heartbeat = self.heartbeat().map_err(|error| {
            Error::new(format!("cannot start a thread: {error}"), "free some processes: ulimit -u")
        })?;
        let mut running = Running::new(self);
        let outcome = running.all(stop, report);
        let totals = match outcome {
            Ok(()) | Err(End::ReaderGone) => Ok(running.last_report()),
            Err(End::Stalled) => {
                running.abandon();
                Ok(running.last_report())
            }
            Err(End::Failed(trouble)) => Err(trouble),
        };
        running.close();
        totals
    }

    /// What keeps streams from elsewhere going, where there are or may come any.
    fn heartbeat(&mut self) -> io::Result<Heartbeat> {
        let mut heartbeat = self.changes.as_mut().map(Changes::take_heartbeat).unwrap_or_default();
        let beating = heartbeat.beating();
        let sources = self.members.iter().flat_map(|member| &member.sources);
        let known = sources.filter_map(Source::remote).map(|remote| beating.keep(remote)).count();
        if known > 0 || self.changes.is_some() {
            heartbeat.start()?;
        }
        Ok(heartbeat)
    }
}
