//! The loop of a capture.

use std::time::{Duration, Instant};

use log::{debug, info};

use super::control::{
    CaptureCommand, ChangeReceiver, CommandReceiver, FilterControl, SessionChange, SessionEnded,
};
use super::input::{
    Drain, DrainProgress, Load, MAX_DELAY_NS, Member, Pace, ReadSummary, SourceMerger, SourceReader,
    WatchedMembers, drain_progress,
};
use super::output::{OutputEnd, StreamOptions, StreamWriter, Totals};
use super::pending::PendingWrite;
use super::{CaptureSession, PeriodicReport};
use crate::capture::{self, CompiledFilter};
use crate::peer;
use crate::stop::Stop;

/// Time between two rounds of statistics in a stream for another session, and while packets come.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(3);
const BUSY_STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a pause is remembered, in nanoseconds: new members may bring packets from a moment ago.
const PAUSE_MEMORY_NS: u64 = 10_000_000_000;
/// Packets are held back for others up to this many times the expected delay.
const MAX_HOLD_BACK_FACTOR: u32 = 4;

/// A running capture.
pub(super) struct CaptureLoop {
    pub(super) merger: SourceMerger,
    pub(super) stream: StreamWriter,
    pub(super) members: WatchedMembers,
    /// `None` once no more changes can come.
    pub(super) changes: Option<ChangeReceiver>,
    pub(super) commands: Option<CommandReceiver>,
    filter: FilterControl,
    feeds_session: bool,
    block_timeout: Duration,
    /// How long the kernel may hold a packet back.
    pub(super) kernel_delay: Duration,
    /// Set once the capture is to end.
    pub(super) drain: Option<Drain>,
    pub(super) load: Load,
    read_at: Instant,
    /// Since when packets have been held back while none could be written.
    held_back_since: Option<Instant>,
    /// When to write statistics for another session.
    pub(super) statistics_at: Option<Instant>,
}

/// Reports to the caller.
struct Reporter<'a> {
    report: Option<PeriodicReport<'a>>,
    due_at: Instant,
    /// Whether packets were read since the last report.
    has_read: bool,
}

impl CaptureLoop {
    pub(super) fn new(session: CaptureSession, pending: PendingWrite) -> Self {
        let CaptureSession { members, changes, commands, names, block_timeout, .. } = session;
        // The kernel retires a block at the second tick of its timer after the first packet
        // (prb_retire_rx_blk_timer_expired in net/packet/af_packet.c), and the timer may be late.
        let kernel_delay = block_timeout * 2 + Duration::from_millis(5);
        let feeds_session = session.feeds_session;
        let options = StreamOptions {
            limits: session.limits,
            duplicates: session.duplicates,
            feeds_session,
            is_header_written: session.is_header_written,
        };
        let mut capture = Self {
            merger: SourceMerger::new(kernel_delay, pending),
            stream: StreamWriter::new(names, session.output, session.files, &options),
            members: WatchedMembers::default(),
            changes,
            commands,
            filter: FilterControl::default(),
            feeds_session,
            block_timeout,
            kernel_delay,
            drain: None,
            load: Load::Backlog,
            read_at: Instant::now(),
            held_back_since: None,
            statistics_at: None,
        };
        for member in members {
            capture.add_member(member);
        }
        capture
    }

    /// Runs until the capture is complete or `stop` ends it.
    pub(super) fn run(&mut self, stop: &Stop, report: Option<PeriodicReport<'_>>) -> Result<(), OutputEnd> {
        let mut reporter = Reporter { report, due_at: Instant::now(), has_read: true };
        self.begin(stop)?;
        loop {
            self.wait(stop, reporter.due_at())?;
            self.apply_changes(stop)?;
            let (read, elapsed) = self.read(stop)?;
            if self.write(stop)? {
                break;
            }
            self.remove_ended_sources(stop)?;
            self.load = Load::after(read, elapsed, self.pace(), self.block_timeout);
            self.write_due_statistics(read, stop)?;
            self.report(read, &mut reporter);
        }
        self.finish(stop, &mut reporter)
    }

    /// Why the sources are read at an interval and not when they have packets, if they are.
    fn pace(&mut self) -> Pace {
        // A ring seems to have packets as long as the block before the kernel's current one is ours (`packet_poll`,
        // net/packet/af_packet.c).
        let has_lent_blocks = self.stream.output.has_lent_blocks();
        if !self.merger.queues.is_empty() {
            Pace::Waiting
        } else if has_lent_blocks {
            Pace::Lent
        } else if self.merger.has_few_rings() {
            Pace::Woken
        } else {
            Pace::Interval
        }
    }

    fn begin(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        self.stream.begin(stop)?;
        if self.feeds_session {
            self.stream.write_statistics(stop)?;
            self.statistics_at = Some(Instant::now() + BUSY_STATISTICS_INTERVAL);
        }
        self.read_at = Instant::now();
        Ok(())
    }

    fn add_member(&mut self, member: Member) {
        let Self { members, merger, stream, .. } = self;
        members.add(member, merger, &mut |interface, first, since| {
            stream.add_interface(interface, first, since)
        });
    }

    /// Applies pending changes and commands.
    fn apply_changes(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        if self.drain.is_none() {
            self.receive_changes();
            self.stream.write_blocks(stop)?;
            self.apply_commands();
            self.apply_requested_filter(stop);
        }
        let expects_member = self.changes.as_ref().is_some_and(ChangeReceiver::expects_member);
        self.merger.expects_member = self.drain.is_none() && expects_member;
        Ok(())
    }

    fn receive_changes(&mut self) {
        while let Some(changes) = &self.changes {
            match changes.try_next() {
                Ok(Some(SessionChange::AddMember(mut member))) => {
                    self.filter.apply_to(&mut member);
                    self.add_member(member);
                }
                Ok(Some(SessionChange::AddHolder(holder))) => self.members.add_holder(holder),
                Ok(Some(SessionChange::AddNames(names))) => self.stream.add_names(names),
                Ok(None) => break,
                Err(SessionEnded) => self.changes = None,
            }
        }
    }

    fn apply_commands(&mut self) {
        while let Some(command) = self.commands.as_ref().and_then(CommandReceiver::try_next) {
            match command {
                CaptureCommand::Pause(time) => {
                    info!("paused");
                    self.stream.pauses.begin(time);
                }
                CaptureCommand::Resume(time) => {
                    info!("resumed");
                    self.stream.pauses.end(time);
                }
                CaptureCommand::SetFilter(filter, notify) => {
                    let name = |interface| self.stream.interface_name(interface);
                    let is_set = self.filter.set(filter, notify, &mut self.merger, name);
                    let filter = self.filter.filter().filter(|_| is_set);
                    if let (Some(changes), Some(filter)) = (&self.changes, filter) {
                        changes.set_filter(filter);
                    }
                }
            }
        }
        self.filter.collect_answers(&mut self.merger, |interface| self.stream.interface_name(interface));
    }

    /// Sets the capture filter that the session which reads the stream has requested, and answers it.
    fn apply_requested_filter(&mut self, stop: &Stop) {
        let Some((number, text)) = stop.take_filter() else { return };
        let outcome = self.merger.set_filter(&CompiledFilter::uncompiled(text));
        let reason = outcome.as_ref().map_err(|error| error.message().as_str()).copied();
        self.update_totals();
        self.stream.count_waiting(&mut self.merger);
        self.stream.add_filter_answer(&peer::filter_reply(number, reason));
    }

    /// Reads the sources into their queues. Also returns the time since the previous read.
    fn read(&mut self, stop: &Stop) -> Result<(ReadSummary, Duration), OutputEnd> {
        let elapsed = std::mem::replace(&mut self.read_at, Instant::now()).elapsed();
        let mut read = self.merger.read();
        let Self { merger, stream, .. } = self;
        // Packets that follow new interfaces and names in a stream have arrived already.
        read.has_more |=
            merger.add_remote_interfaces(|interface, first| stream.add_interface(interface, first, None));
        read.has_more |= merger.add_remote_names(|names| stream.add_names(names));
        stream.write_blocks(stop)?;
        Ok((read, elapsed))
    }

    /// Writes the queued packets that no older ones can precede. Returns whether the capture is complete.
    fn write(&mut self, stop: &Stop) -> Result<bool, OutputEnd> {
        let progress = match drain_progress(self.drain.as_ref(), self.merger.horizon()) {
            // Without sources, members may still be added.
            DrainProgress::Done if self.drain.is_none() && self.changes.is_some() => DrainProgress::Pending,
            progress => progress,
        };
        let end_time = self.drain.as_ref().map_or(u64::MAX, |drain| drain.end_time);
        // At the end, no packet is held back for others.
        let is_pending = progress == DrainProgress::Pending;
        let horizon = if is_pending { self.horizon().min(end_time) } else { end_time };
        self.stream.totals.sources_ended = self.drain.is_none() && progress == DrainProgress::Done;
        let is_full = self.stream.write_packets(&mut self.merger, horizon, stop)?;
        self.merger.copy_waiting();
        // At once: the smallest rings have two blocks.
        self.stream.release_blocks(&mut self.merger.queues);
        if progress == DrainProgress::TimedOut {
            self.stream.count_abandoned(&mut self.merger, end_time);
        }
        self.stream.pauses.forget_before(horizon.min(capture::now().saturating_sub(PAUSE_MEMORY_NS)));
        Ok(is_full || !is_pending)
    }

    /// The time up to which packets can be written, in nanoseconds since the epoch.
    fn horizon(&mut self) -> u64 {
        let horizon = self.merger.horizon();
        if self.merger.queues.oldest().is_none_or(|oldest| oldest <= horizon) {
            self.held_back_since = None;
            return horizon;
        }
        let since = *self.held_back_since.get_or_insert(self.read_at);
        let max_delay =
            if self.merger.waits_for_others() { Duration::from_nanos(MAX_DELAY_NS) } else { Duration::ZERO };
        // After the clock was set back, packets would be held back until it reaches their time. The time is that of the
        // last read, so that a delay of this process does not release packets before others have been read.
        let longest = self.merger.max_hold_back().max(max_delay) * MAX_HOLD_BACK_FACTOR;
        if self.read_at.saturating_duration_since(since) > longest { u64::MAX } else { horizon }
    }

    fn remove_ended_sources(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        for source in self.merger.remove_ended() {
            // Once the capture is to end, so are remote sources.
            if self.drain.is_none() {
                Self::record_removal(&source, &self.members, &mut self.stream);
            }
            self.stream.remove_source(source);
        }
        self.stream.write_blocks(stop)
    }

    /// Records the interface of `source` if it was removed while its container runs.
    fn record_removal(source: &SourceReader, members: &WatchedMembers, stream: &mut StreamWriter) {
        if let Some(interface) = source.removed_interface().filter(|number| members.is_alive(*number)) {
            stream.record_removed_interface(interface);
        }
    }

    /// Writes statistics for another session when they are due.
    fn write_due_statistics(&mut self, read: ReadSummary, stop: &Stop) -> Result<(), OutputEnd> {
        let Some(mut at) = self.statistics_at else { return Ok(()) };
        let now = Instant::now();
        if now >= at {
            self.write_statistics(stop)?;
            at = now + STATISTICS_INTERVAL;
        }
        if read.bytes > 0 {
            at = at.min(now + BUSY_STATISTICS_INTERVAL);
        }
        self.statistics_at = Some(at);
        Ok(())
    }

    /// Writes current statistics, for the session that reads the stream.
    fn write_statistics(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        self.stream.update_totals(&mut self.merger);
        self.stream.count_waiting(&mut self.merger);
        self.stream.write_statistics(stop)
    }

    /// Reports to the caller when that is due.
    fn report(&mut self, read: ReadSummary, reporter: &mut Reporter<'_>) {
        reporter.has_read |= read.bytes > 0;
        let now = Instant::now();
        let Some((interval, report)) = reporter.report.as_mut().filter(|_| now >= reporter.due_at) else {
            return;
        };
        // Without packets, querying the kernel for counts would cost more than everything else.
        report(&self.stream.report(&mut self.merger, reporter.has_read));
        (reporter.due_at, reporter.has_read) = (now + *interval, false);
    }

    /// Ends the capture: what came up to now belongs to it.
    pub(super) fn begin_drain(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        debug!("the capture is to end");
        let drain = Drain::begin(self.kernel_delay, self.merger.has_remote_sources());
        self.merger.end_capture(drain.end_time);
        self.drain = Some(drain);
        if self.feeds_session { self.write_statistics(stop) } else { Ok(()) }
    }

    /// Ends the stream. Fails if every source has failed.
    fn finish(&mut self, stop: &Stop, reporter: &mut Reporter<'_>) -> Result<(), OutputEnd> {
        if self.drain.is_none() {
            for source in self.merger.sources() {
                Self::record_removal(source, &self.members, &mut self.stream);
            }
        }
        self.update_totals();
        self.stream.find_one_way_interfaces(&self.merger, true);
        self.stream.write_last_statistics(stop)?;
        let Some(failure) = self.merger.take_failure() else { return Ok(()) };
        // The error is that of one source, the last report has those of the others.
        if let Some((_, report)) = &mut reporter.report {
            report(&self.stream.report(&mut self.merger, true));
        }
        Err(OutputEnd::Failed(failure))
    }

    /// Counts the packets that cannot be written any more as lost.
    pub(super) fn count_abandoned(&mut self) {
        let end_time = self.drain.as_ref().map_or(u64::MAX, |drain| drain.end_time);
        self.stream.count_abandoned(&mut self.merger, end_time);
    }

    /// Closes the stream, then its sources.
    pub(super) fn close(self) {
        // The reader need not wait for the rings.
        drop(self.stream);
        self.merger.close();
    }

    fn update_totals(&mut self) {
        self.merger.refresh_counts();
        self.stream.update_totals(&mut self.merger);
    }

    /// The last report.
    pub(super) fn last_report(&mut self) -> Totals {
        self.merger.refresh_counts();
        self.stream.report(&mut self.merger, true)
    }
}

impl Reporter<'_> {
    /// When the next report is due, if there are reports.
    fn due_at(&self) -> Option<Instant> {
        self.report.as_ref().map(|_| self.due_at)
    }
}
