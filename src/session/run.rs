//! The loop of a capture.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use log::{debug, info};
use nix::poll::{PollFd, PollFlags};

use super::changes::{Change, Changes, Over};
use super::far::LAG;
use super::filtering::Filtering;
use super::finish::{self, Finish, Progress};
use super::members::Members;
use super::merge::Merge;
use super::orders::{Order, Ordered};
use super::output::End;
use super::pace::Load;
use super::stage::Stage;
use super::stream::Stream;
use super::{Report, Session, Totals};
use crate::capture::{self, CompiledFilter};
use crate::peer;
use crate::stop::{Stop, watched_for_its_reader};

/// Time between two rounds of statistics in a stream that another session reads, and while packets come.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(3);
const BUSY_STATISTICS_INTERVAL: Duration = Duration::from_secs(1);
/// How long an idle capture waits; one that reads other sessions has to see when they fall silent.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
const REMOTE_IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a pause is remembered, nanoseconds: whoever joins may bring packets from a moment ago.
const REMEMBERED: u64 = 10_000_000_000;
/// Time between two looks for the end of a stream that was asked for.
const LOOK_FOR_END_EVERY: Duration = Duration::from_millis(5);

/// A capture under way.
pub(super) struct Running {
    merge: Merge,
    stream: Stream,
    members: Members,
    /// Who joins; `None` once nobody can any more.
    changes: Option<Changes>,
    /// What may be asked of it.
    orders: Option<Ordered>,
    filtering: Filtering,
    feeds_session: bool,
    /// How long the kernel keeps packets in a block, and how long it may keep one back.
    block_timeout: Duration,
    keeps: Duration,
    /// Since when packets have been held while none could be written.
    waits_since: Option<Instant>,
}

impl Running {
    pub(super) fn new(session: Session) -> Self {
        // A block is handed over at the second tick of its timer after its first packet
        // (net/packet/af_packet.c, prb_retire_rx_blk_timer_expired); the rest is for a timer that
        // comes late.
        let keeps = session.block_timeout * 2 + Duration::from_millis(5);
        let Session { names, mut output, files, limits, duplicates, begun, .. } = session;
        if session.feeds_session {
            output.feed_session();
        }
        let mut merge = Merge::new(keeps);
        let what = (session.feeds_session, begun);
        let mut stream = Stream::new(names, output, files, limits, duplicates, what);
        let mut members = Members::default();
        for member in session.members {
            members.add(member, &mut merge, &mut stream);
        }
        Self {
            merge,
            stream,
            members,
            changes: session.changes,
            orders: session.orders,
            filtering: Filtering::default(),
            feeds_session: session.feeds_session,
            block_timeout: session.block_timeout,
            keeps,
            waits_since: None,
        }
    }

    /// Runs to its end.
    pub(super) fn all(&mut self, stop: &Stop, mut report: Option<Report<'_>>) -> Result<(), End> {
        self.stream.begin(stop)?;
        if self.feeds_session {
            self.stream.write_statistics(stop)?;
        }
        let mut statistics_at = self.feeds_session.then(|| Instant::now() + BUSY_STATISTICS_INTERVAL);
        let (mut report_at, mut has_read) = (Instant::now(), true);
        let mut finish: Option<Finish> = None;
        let (mut load, mut looked_at) = (Load::Backlog, Instant::now());
        loop {
            let idle = if self.merge.runs_elsewhere() { REMOTE_IDLE_TIMEOUT } else { IDLE_TIMEOUT };
            let times = [statistics_at, report.is_some().then_some(report_at)].into_iter().flatten();
            let nothing_until = times.fold(Instant::now() + idle, Instant::min);
            if self.wait(stop, finish.as_ref(), load, nothing_until) && finish.is_none() {
                debug!("finishing");
                let now = Finish::now(self.keeps, self.merge.runs_elsewhere());
                self.merge.finish(now.time);
                finish = Some(now);
                if self.feeds_session {
                    self.tell(stop)?;
                }
            }
            if finish.is_none() {
                self.change(stop)?;
                self.obey(stop);
            }
            let expects = |changes: &Changes| changes.expects();
            self.merge.expects = finish.is_none() && self.changes.as_ref().is_some_and(expects);
            let time = std::mem::replace(&mut looked_at, Instant::now()).elapsed();
            let mut read = self.merge.read();
            has_read |= read.bytes > 0;
            // What a stream has behind the interfaces that it told is here already.
            read.more |= self.merge.grow(|interface, first| self.stream.add(interface, first, 1, None));
            read.more |= self.merge.name(|names| self.stream.add_names(names));
            self.stream.write_blocks(stop)?;
            let progress = match finish::progress(finish.as_ref(), self.merge.horizon()) {
                // Others may join.
                Progress::Done if finish.is_none() && self.changes.is_some() => Progress::Underway,
                progress => progress,
            };
            let until = finish.as_ref().map_or(u64::MAX, |finish| finish.time);
            // At the end nothing that was read waits for a source any more.
            let horizon =
                if progress == Progress::Underway { self.horizon(looked_at).min(until) } else { until };
            self.stream.totals.sources_ended = finish.is_none() && progress == Progress::Done;
            let complete = self.stream.write_packets(&mut self.merge, horizon, stop)?;
            if progress == Progress::TooSlow {
                self.stream.abandon(&mut self.merge);
            }
            if complete || progress != Progress::Underway {
                break;
            }
            for stage in self.merge.part() {
                // A stream that was asked for its end has not gone away.
                if finish.is_none() {
                    Self::tell_disappeared(&stage, &self.members, &mut self.stream);
                }
                self.stream.part(stage);
            }
            self.stream.pauses.forget(horizon.min(capture::now().saturating_sub(REMEMBERED)));
            self.stream.write_blocks(stop)?;
            load = Load::of(read, time, self.merge.queues.hold(), self.block_timeout);
            let now = Instant::now();
            if let Some(at) = &mut statistics_at {
                if now >= *at {
                    self.tell(stop)?;
                    *at = now + STATISTICS_INTERVAL;
                }
                if read.bytes > 0 {
                    *at = (*at).min(now + BUSY_STATISTICS_INTERVAL);
                }
            }
            if let Some((every, report)) = report.as_mut().filter(|_| now >= report_at) {
                // Asking the kernel costs more than all else while nothing comes.
                report(&self.stream.report(&mut self.merge, has_read));
                (report_at, has_read) = (now + *every, false);
            }
        }
        if finish.is_none() {
            for stage in &self.merge.stages {
                Self::tell_disappeared(stage, &self.members, &mut self.stream);
            }
        }
        self.total();
        self.stream.find_one_way(&self.merge, true);
        self.stream.write_last_statistics(stop)?;
        let Some(failure) = self.merge.take_failure() else { return Ok(()) };
        // The error tells of one source, the last report of the others.
        if let Some((_, report)) = &mut report {
            report(&self.stream.report(&mut self.merge, true));
        }
        Err(End::Failed(failure))
    }

    /// Tells of an interface that went away while its container runs.
    fn tell_disappeared(stage: &Stage, members: &Members, stream: &mut Stream) {
        if let Some(interface) = stage.disappeared().filter(|interface| members.keep(*interface)) {
            stream.disappears(interface);
        }
    }

    /// Writes statistics of what came so far, for the session that reads the stream.
    fn tell(&mut self, stop: &Stop) -> Result<(), End> {
        self.stream.total(&mut self.merge);
        self.stream.count_waiting(&mut self.merge);
        self.stream.write_statistics(stop)
    }

    /// Does what was told meanwhile.
    fn change(&mut self, stop: &Stop) -> Result<(), End> {
        while let Some(changes) = &self.changes {
            match changes.next() {
                Ok(Some(Change::Join(mut member))) => {
                    self.filtering.welcome(&mut member);
                    self.members.add(member, &mut self.merge, &mut self.stream);
                }
                Ok(Some(Change::Stay(holder))) => self.members.stay(holder),
                Ok(Some(Change::Names(names))) => self.stream.add_names(names),
                Ok(None) => break,
                Err(Over) => self.changes = None,
            }
        }
        self.stream.write_blocks(stop)
    }

    /// Does what was asked meanwhile.
    fn obey(&mut self, stop: &Stop) {
        while let Some(order) = self.orders.as_ref().and_then(Ordered::next) {
            match order {
                Order::Pause(time) => {
                    info!("paused");
                    self.stream.pauses.begin(time);
                }
                Order::GoOn(time) => {
                    info!("goes on");
                    self.stream.pauses.end(time);
                }
                Order::Filter(filter, tell) => {
                    let changed = self.filtering.change(filter, tell, &mut self.merge, &self.stream);
                    let filter = self.filtering.filter().filter(|_| changed);
                    if let (Some(changes), Some(filter)) = (&self.changes, filter) {
                        changes.tell_filter(filter);
                    }
                }
            }
        }
        self.filtering.hear(&mut self.merge, &self.stream);
        if let Some((number, text)) = stop.take_filter() {
            let outcome = self.merge.filter(&CompiledFilter::plain(text));
            let why = outcome.as_ref().map_err(|trouble| trouble.message().as_str()).copied();
            self.total();
            self.stream.count_waiting(&mut self.merge);
            self.stream.add_answer(&peer::answer_to_filter(number, why));
        }
    }

    /// The time up to which packets can be written, as of the look that began at `looked_at`.
    fn horizon(&mut self, looked_at: Instant) -> u64 {
        let horizon = self.merge.horizon();
        if self.merge.queues.oldest().is_none_or(|oldest| oldest <= horizon) {
            self.waits_since = None;
            return horizon;
        }
        let since = *self.waits_since.get_or_insert(looked_at);
        let for_others =
            if self.merge.waits_for_others() { Duration::from_nanos(LAG) } else { Duration::ZERO };
        // Where the clock was set back, packets would wait for it to come round again. Time in which this
        // program was held up does not count: then the next look lets them go, and no others before their time.
        let longest = self.merge.patience().max(for_others) * 4;
        if looked_at.saturating_duration_since(since) > longest { u64::MAX } else { horizon }
    }

    /// Waits for packets, the end of something, or the time to look again, which without packets is
    /// `nothing_until`. True when it is time to finish.
    fn wait(&mut self, stop: &Stop, finish: Option<&Finish>, load: Load, nothing_until: Instant) -> bool {
        let mut timeout = load.pause(nothing_until.saturating_duration_since(Instant::now()));
        if let Some(finish) = finish {
            let left = finish.settled_at.saturating_duration_since(Instant::now());
            let last = if self.merge.runs_elsewhere() { LOOK_FOR_END_EVERY } else { Duration::ZERO };
            std::thread::sleep(timeout.min(left.max(last)));
            return true;
        }
        let (of_capture, of_file) = (&self.stream.of_capture, &self.stream.of_file);
        let leaves_in = self.merge.leaves_at().map(|at| at.saturating_duration_since(Instant::now()));
        for left in [of_capture.time_left(), of_file.time_left(), leaves_in].into_iter().flatten() {
            timeout = timeout.min(left);
        }
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut watched: Vec<PollFd> = self.members.descriptors().map(readable).collect();
        let holders = watched.len();
        watched.extend(self.stream.output.pipe().map(watched_for_its_reader));
        let ends = watched.len();
        watched.extend(self.changes.iter().map(|changes| readable(changes.as_fd())));
        let told = watched.len();
        watched.extend(self.orders.iter().map(|orders| readable(orders.as_fd())));
        let asked = watched.len();
        let for_many = self.merge.readiness();
        let alone = |stage: &&Stage| for_many.is_none() || stage.watched_as.is_none();
        let heeded = self.merge.stages.iter().filter(|stage| load.heeds(stage)).filter(alone);
        watched.extend(heeded.map(|stage| readable(stage.as_fd())));
        watched.extend(for_many.filter(|_| load == Load::Idle).map(readable));
        let woken = stop.wait(watched, timeout);
        if let Some(changes) = self.changes.as_ref().filter(|_| woken.ready[ends..told].contains(&true)) {
            changes.hush();
        }
        if let Some(orders) = self.orders.as_ref().filter(|_| woken.ready[told..asked].contains(&true)) {
            orders.hush();
        }
        self.members.leave(&woken.ready[..holders], &mut self.merge, self.keeps);
        woken.stop || woken.ready[holders..ends].contains(&true) || of_capture.is_over()
    }

    /// Counts as lost what can be written no more.
    pub(super) fn abandon(&mut self) {
        self.stream.abandon(&mut self.merge);
    }

    /// Ends the stream, and gives back what was read.
    pub(super) fn close(self) {
        // Its reader need not wait for the rings.
        drop(self.stream);
        self.merge.close();
    }

    /// Brings the totals up to date.
    fn total(&mut self) {
        self.merge.ask();
        self.stream.total(&mut self.merge);
    }

    /// The last report.
    pub(super) fn last_report(&mut self) -> Totals {
        self.merge.ask();
        self.stream.report(&mut self.merge, true)
    }
}
