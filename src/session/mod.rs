//! One live capture: sources in, one pcapng stream out.
//!
//! ```text
//! kernel rings, remote streams ──> input: merged in time order ──> output: FIFO, standard output or files
//!                                  control: members, names, filter and pauses change meanwhile
//! ```

mod control;
mod dedup;
mod input;
mod output;
mod pending;
mod run;
mod wait;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

pub use control::{
    CaptureCommand, ChangeReceiver, ChangeSender, CommandReceiver, CommandSender, FilterOutcome,
    SessionChange, SessionEnded, change_channel, command_channel,
};
pub use dedup::Duplicates;
pub use input::{Announcement, Member, Source};
pub use output::{
    InterfaceTotals, Limit, Limits, Output, OutputEnd, OutputFiles, ResolvedPath, Totals, timestamp,
};

use crate::error::Error;
use crate::peer::Heartbeat;
use crate::privilege::Unprivileged;
use crate::safe_text::SafeText;
use crate::stop::Stop;
use pending::PendingWrite;
use run::CaptureLoop;

/// Everything a capture needs, opened.
pub struct CaptureSession {
    /// What is captured from the beginning, in the order of the numbers of its interfaces. The capture ends once all of
    /// them have ended.
    pub members: Vec<Member>,
    /// Changes while it runs. With these, the capture goes on without members.
    pub changes: Option<ChangeReceiver>,
    /// Commands of the user while it runs.
    pub commands: Option<CommandReceiver>,
    /// Names of addresses.
    pub names: Vec<(IpAddr, SafeText)>,
    /// How long the kernel waits before it hands over a block that is not full.
    pub block_timeout: Duration,
    /// What to do with the second copy of packets between members.
    pub duplicates: Duplicates,
    /// When the capture ends by itself.
    pub limits: Limits,
    /// Whether another session reads the stream. Statistics are then written before the first packet, to mark the end of
    /// the initial interfaces, and while packets come.
    pub feeds_session: bool,
    /// Where the stream is written.
    pub output: Output,
    /// Whether the section header has been written to `output`.
    pub is_header_written: bool,
    /// The files of the capture, of which `output` is the first.
    pub files: Option<OutputFiles>,
}

/// How often to report, and the function to call with the numbers of the capture.
pub type PeriodicReport<'a> = (Duration, &'a mut dyn FnMut(&Totals));

impl CaptureSession {
    /// A session of `members` that writes a whole stream, without changes, commands, names and limits.
    pub fn new(members: Vec<Member>, block_timeout: Duration, output: Output) -> Self {
        Self {
            members,
            changes: None,
            commands: None,
            names: Vec::new(),
            block_timeout,
            duplicates: Duplicates::default(),
            limits: Limits::default(),
            feeds_session: false,
            output,
            is_header_written: false,
            files: None,
        }
    }

    /// Captures until `stop`, a limit, or the end of all sources ends it, and calls `report` at its interval.
    ///
    /// Fails if the output does, or if every source has failed and no member can be added. That the reader leaves is a
    /// normal end.
    pub fn run(
        mut self,
        stop: &Stop,
        _proof: &Unprivileged,
        report: Option<PeriodicReport<'_>>,
    ) -> Result<Totals, Error> {
        let _heartbeat = self.start_heartbeat().map_err(|error| {
            Error::new(
                format!("cannot start a thread: {error}"),
                "end other processes, or raise their limit: ulimit -u",
            )
        })?;
        let pending = PendingWrite::new().map_err(|error| Error::no_memory(&error))?;
        let mut capture = CaptureLoop::new(self, pending);
        let totals = match capture.run(stop, report) {
            Ok(()) | Err(OutputEnd::ReaderGone) => Ok(capture.last_report()),
            Err(OutputEnd::Stalled) => {
                capture.count_abandoned();
                Ok(capture.last_report())
            }
            Err(OutputEnd::Failed(error)) => Err(error),
        };
        capture.close();
        totals
    }

    /// Starts the heartbeat of remote streams, if there are any or may be.
    fn start_heartbeat(&mut self) -> io::Result<Heartbeat> {
        let mut heartbeat = self.changes.as_mut().map(ChangeReceiver::take_heartbeat).unwrap_or_default();
        let heartbeats = heartbeat.handle();
        let sources = self.members.iter().flat_map(|member| &member.sources);
        let known = sources.filter_map(Source::remote).map(|remote| heartbeats.add(remote)).count();
        if known > 0 || self.changes.is_some() {
            heartbeat.start()?;
        }
        Ok(heartbeat)
    }
}
