//! The loop of a capture.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use log::debug;
use nix::poll::{PollFd, PollFlags};

use super::far::{Far, LAG};
use super::finish::{self, Finish, Progress};
use super::merge::Merge;
use super::output::End;
use super::pace::{Load, REPORT_EVERY};
use super::stage::Reader;
use super::stop::{Stop, watched_for_its_reader};
use super::stream::Stream;
use super::{Session, Source, Totals};
use crate::link::Holder;

/// Time between two rounds of statistics in the stream, and in one that another session reads.
const STATISTICS_EVERY: Duration = Duration::from_secs(3);
const STATISTICS_FOR_SESSION_EVERY: Duration = Duration::from_secs(1);
/// Time between two looks for the end of a stream that was asked for.
const LOOK_FOR_END_EVERY: Duration = Duration::from_millis(5);

/// A capture under way.
pub(super) struct Running {
    merge: Merge,
    stream: Stream,
    holders: Vec<Holder>,
    /// Whether the capture ends with its holders.
    ends_with_holders: bool,
    feeds_session: bool,
    /// How long the kernel may keep a packet back.
    keeps: Duration,
    /// The longest that packets wait for another source.
    waits: Duration,
    /// Since when packets have been held while none could be written.
    waits_since: Option<(Instant, u64)>,
}

impl Running {
    pub(super) fn new(session: Session) -> Self {
        let (mut readers, mut interfaces) = (Vec::new(), Vec::new());
        for source in session.sources {
            // Far fewer than a u32 counts were opened.
            let number = u32::try_from(interfaces.len()).unwrap_or(u32::MAX);
            match source {
                Source::Rings(interface, rings) => {
                    readers.extend(rings.into_iter().map(|ring| Reader::Ring(ring, number)));
                    interfaces.push(interface);
                }
                Source::Remote { interfaces: theirs, remote, unwatched } => {
                    readers.push(Reader::Far(Far::new(remote, number, unwatched)));
                    interfaces.extend(theirs);
                }
            }
        }
        // A block is handed over at the second tick of its timer after its first packet
        // (net/packet/af_packet.c, prb_retire_rx_blk_timer_expired); the rest is for a timer that
        // comes late.
        let keeps = session.block_timeout * 2 + Duration::from_millis(5);
        let Session { names, output, files, limits, begun, .. } = session;
        let merge = Merge::new(readers, keeps);
        let for_others = if merge.runs_elsewhere() { Duration::from_nanos(LAG) } else { Duration::ZERO };
        Self {
            merge,
            waits: keeps.max(for_others) * 4,
            stream: Stream::new(interfaces, names, output, files, limits, begun),
            ends_with_holders: !session.holders.is_empty(),
            holders: session.holders,
            feeds_session: session.feeds_session,
            keeps,
            waits_since: None,
        }
    }

    /// Runs to its end.
    pub(super) fn all(
        &mut self,
        stop: &Stop,
        mut report: Option<&mut dyn FnMut(&Totals)>,
    ) -> Result<(), End> {
        self.stream.begin(stop)?;
        let statistics_every = if self.feeds_session {
            self.stream.write_statistics(stop)?;
            STATISTICS_FOR_SESSION_EVERY
        } else {
            STATISTICS_EVERY
        };
        let mut statistics_at = Instant::now() + statistics_every;
        let mut report_at = Instant::now();
        let mut finish: Option<Finish> = None;
        let (mut load, mut looked_at) = (Load::Backlog, Instant::now());
        loop {
            if self.wait(stop, finish.as_ref(), load) && finish.is_none() {
                debug!("finishing");
                let now = Finish::now(self.keeps, self.merge.runs_elsewhere());
                self.merge.finish(now.time);
                finish = Some(now);
            }
            let read = self.merge.read();
            let time = std::mem::replace(&mut looked_at, Instant::now()).elapsed();
            let progress = finish::progress(finish.as_ref(), self.merge.horizon());
            let until = finish.as_ref().map_or(u64::MAX, |finish| finish.time);
            // At the end nothing that was read waits for a source any more.
            let horizon = if progress == Progress::Underway { self.horizon().min(until) } else { until };
            let complete = self.stream.write_packets(&mut self.merge, horizon, stop)?;
            if progress == Progress::TooSlow {
                self.stream.abandon(&mut self.merge);
            }
            if complete || progress != Progress::Underway {
                break;
            }
            load = Load::of(read, time, self.merge.queues.hold());
            let now = Instant::now();
            if now >= statistics_at {
                self.total();
                self.stream.write_statistics(stop)?;
                statistics_at = now + statistics_every;
            }
            if let Some(report) = report.as_mut().filter(|_| now >= report_at) {
                report(&self.total());
                report_at = now + REPORT_EVERY;
            }
        }
        self.total();
        self.stream.write_statistics(stop)?;
        match self.merge.broken() {
            (mut broken, true) => Err(End::Failed(broken.remove(0))),
            (_, false) => Ok(()),
        }
    }

    /// The time up to which packets can be written.
    fn horizon(&mut self) -> u64 {
        // Where the clock was set back, packets would wait for it to come round again.
        let written = self.stream.totals.packets;
        let since = match self.waits_since {
            Some((since, before)) if before == written => since,
            _ => Instant::now(),
        };
        self.waits_since = self.merge.queues.hold().then_some((since, written));
        if since.elapsed() > self.waits { u64::MAX } else { self.merge.horizon() }
    }

    /// Waits for packets, the end of something, or the time to look again. True when it is time
    /// to finish.
    fn wait(&mut self, stop: &Stop, finish: Option<&Finish>, load: Load) -> bool {
        let mut timeout = load.pause();
        if let Some(finish) = finish {
            let left = finish.settled_at.saturating_duration_since(Instant::now());
            let last = if self.merge.runs_elsewhere() { LOOK_FOR_END_EVERY } else { Duration::ZERO };
            std::thread::sleep(timeout.min(left.max(last)));
            return true;
        }
        let (of_capture, of_file) = (&self.stream.of_capture, &self.stream.of_file);
        for left in [of_capture.time_left(), of_file.time_left()].into_iter().flatten() {
            timeout = timeout.min(left);
        }
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut watched: Vec<PollFd> = self.holders.iter().map(|holder| readable(holder.as_fd())).collect();
        watched.extend(self.stream.output.pipe().map(watched_for_its_reader));
        let ends = watched.len();
        let heeded = self.merge.stages.iter().filter(|stage| load.heeds(stage));
        watched.extend(heeded.map(|stage| readable(stage.as_fd())));
        let woken = stop.wait(watched, timeout);
        let mut ready = woken.ready[..ends].iter();
        self.holders.retain(|holder| ready.next() != Some(&true) || !holder.has_ended());
        let gone = self.ends_with_holders && self.holders.is_empty();
        let alone = gone && !self.merge.runs_unwatched();
        woken.stop || ready.next() == Some(&true) || alone || of_capture.is_over()
    }

    /// What the capture came to so far.
    pub(super) fn total(&mut self) -> Totals {
        self.stream.total(&mut self.merge);
        self.stream.totals.clone()
    }
}
