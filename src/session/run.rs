//! The loop of a capture.

use std::io::IoSlice;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use log::{debug, info};
use nix::poll::{PollFd, PollFlags};

use super::files::Files;
use super::finish::{self, Finish, Progress};
use super::limits::{Limits, Used};
use super::merge::{self, Stage};
use super::output::{End, Output};
use super::pace::{Load, REPORT_EVERY};
use super::stop::{Stop, watched_for_its_reader};
use super::{Session, Totals};
use crate::capture;
use crate::link::Process;
use crate::pcapng::{Blocks, Interface, Statistics};
use crate::text::Label;

/// Time between two rounds of statistics in the stream.
const STATISTICS_EVERY: Duration = Duration::from_secs(3);
/// `writev` takes no more pieces at once (`UIO_MAXIOV`, linux/uio.h).
const MOST_PIECES: usize = 1024;

/// An interface of the stream while it runs.
struct Lane {
    interface: Interface,
    begin: u64,
    statistics: Statistics,
}

/// A capture under way.
pub(super) struct Running {
    stages: Vec<Stage>,
    lanes: Vec<Lane>,
    processes: Vec<Process>,
    names: Vec<(IpAddr, Label)>,
    keeps: Duration,
    blocks: Blocks,
    output: Output,
    files: Option<Files>,
    of_capture: Used,
    of_file: Used,
    most_files: usize,
    begun: bool,
    /// Since when packets have been held while none could be written.
    waits_since: Option<Instant>,
    pub(super) totals: Totals,
}

impl Running {
    pub(super) fn new(session: Session) -> Self {
        let mut stages = Vec::new();
        let mut lanes = Vec::new();
        for (number, (interface, rings)) in (0_u32..).zip(session.interfaces) {
            stages.extend(rings.into_iter().map(|ring| Stage::new(ring, number)));
            lanes.push(Lane { interface, begin: capture::now(), statistics: Statistics::default() });
        }
        Self {
            stages,
            lanes,
            processes: session.processes,
            names: session.names,
            // A block is handed over at the second tick of its timer after its first packet
            // (net/packet/af_packet.c, prb_retire_rx_blk_timer_expired); the rest is for a timer
            // that comes late.
            keeps: session.block_timeout * 2 + Duration::from_millis(5),
            blocks: Blocks::begin_section(),
            output: session.output,
            of_file: session.files.as_ref().map_or_else(|| Used::new(Limits::default()), Files::use_of_one),
            files: session.files,
            of_capture: Used::new(session.limits),
            most_files: session.limits.files.unwrap_or(usize::MAX),
            begun: session.begun,
            waits_since: None,
            totals: Totals::default(),
        }
    }

    /// Runs to its end.
    pub(super) fn all(
        &mut self,
        stop: &Stop,
        mut report: Option<&mut dyn FnMut(&Totals)>,
    ) -> Result<(), End> {
        self.begin(stop)?;
        let mut statistics_at = Instant::now() + STATISTICS_EVERY;
        let mut report_at = Instant::now();
        let mut finish: Option<Finish> = None;
        let (mut load, mut looked_at) = (Load::Idle, Instant::now());
        loop {
            if self.wait(stop, finish.as_ref(), load) && finish.is_none() {
                debug!("finishing");
                finish = Some(Finish::now(self.keeps));
            }
            let read = self.stages.iter_mut().map(Stage::fill).sum();
            let time = std::mem::replace(&mut looked_at, Instant::now()).elapsed();
            let before = self.totals.packets;
            let progress = finish::progress(finish.as_ref(), &self.stages);
            let horizon = self.horizon(finish.as_ref(), progress);
            let complete = self.write_packets(horizon, stop)?;
            if progress == Progress::TooSlow {
                self.abandon();
            }
            if complete || progress != Progress::Underway {
                break;
            }
            load = Load::of(&self.stages, read, time, self.totals.packets > before);
            let now = Instant::now();
            if now >= statistics_at {
                self.write_statistics(stop)?;
                statistics_at = now + STATISTICS_EVERY;
            }
            if let Some(report) = report.as_mut().filter(|_| now >= report_at) {
                self.total();
                report(&self.totals);
                report_at = now + REPORT_EVERY;
            }
        }
        self.write_statistics(stop)
    }

    /// The time up to which packets can be written.
    fn horizon(&mut self, finish: Option<&Finish>, progress: Progress) -> u64 {
        let until = finish.map_or(u64::MAX, |finish| finish.time);
        if progress == Progress::Done {
            return until;
        }
        // Where the clock was set back, packets would wait for it to come round again.
        let waits = self.stages.iter().any(|stage| stage.held() > 0);
        let since = waits.then(|| self.waits_since.unwrap_or_else(Instant::now));
        self.waits_since = since;
        if since.is_some_and(|since| since.elapsed() > self.keeps * 4) {
            return until;
        }
        let keeps = u64::try_from(self.keeps.as_nanos()).unwrap_or(u64::MAX);
        merge::horizon(&self.stages, keeps).min(until)
    }

    /// Writes what stands before the first packet of a stream or file.
    fn begin(&mut self, stop: &Stop) -> Result<(), End> {
        if std::mem::take(&mut self.begun) {
            // The header went out before anything was looked up.
            self.blocks.take();
        }
        for lane in &self.lanes {
            self.blocks.interface(&lane.interface);
        }
        self.blocks.names(&self.names);
        self.write_blocks(stop)
    }

    /// Waits for packets, the end of something, or the time to look again. True when it is time
    /// to finish.
    fn wait(&mut self, stop: &Stop, finish: Option<&Finish>, load: Load) -> bool {
        let mut timeout = load.pause(self.keeps);
        if let Some(finish) = finish {
            let left = finish.settled_at.saturating_duration_since(Instant::now());
            std::thread::sleep(timeout.min(left));
            return true;
        }
        for left in [self.of_capture.time_left(), self.of_file.time_left()].into_iter().flatten() {
            timeout = timeout.min(left);
        }
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut watched: Vec<PollFd> =
            self.processes.iter().map(|process| readable(process.as_fd())).collect();
        watched.extend(self.output.pipe().map(watched_for_its_reader));
        let ends = watched.len();
        if load.heeds_rings() {
            let rings = self.stages.iter().filter(|stage| stage.ended.is_none());
            watched.extend(rings.map(|stage| readable(stage.ring.as_fd())));
        }
        let woken = stop.wait(watched, timeout);
        let mut ready = woken.ready[..ends].iter();
        self.processes.retain(|_| ready.next() != Some(&true));
        woken.stop || ready.next() == Some(&true) || self.processes.is_empty() || self.of_capture.is_over()
    }

    /// Writes the packets up to `horizon`. True when the capture is complete.
    fn write_packets(&mut self, horizon: u64, stop: &Stop) -> Result<bool, End> {
        loop {
            if self.of_file.is_over() && !self.next_file(stop)? {
                return Ok(true);
            }
            let (runs, all) = merge::runs(&mut self.stages, horizon, |packet| {
                let fits = self.of_capture.has_room(packet.block) && self.of_file.has_room(packet.block);
                if fits {
                    self.of_capture.add_packet(packet.block);
                    self.of_file.add_packet(packet.block);
                }
                fits
            });
            for run in &runs {
                self.totals.packets += run.packets;
                self.totals.bytes += run.captured;
                let interface = self.stages[run.stage].interface;
                self.lanes[interface as usize].statistics.written += run.packets;
            }
            if !runs.is_empty() {
                self.waits_since = None;
            }
            let mut slices: Vec<IoSlice> =
                runs.iter().map(|run| IoSlice::new(self.stages[run.stage].bytes(run))).collect();
            for pieces in slices.chunks_mut(MOST_PIECES) {
                self.output.write(pieces, stop)?;
            }
            self.stages.iter_mut().for_each(Stage::forget_taken);
            if all {
                return Ok(self.of_capture.is_full());
            }
            let next = self.stages.iter().filter_map(Stage::head).map(|packet| packet.block).min();
            if !self.of_capture.has_room(next.unwrap_or_default()) || !self.next_file(stop)? {
                return Ok(true);
            }
        }
    }

    /// Ends the file being written and begins the next. False when there shall be no next one.
    fn next_file(&mut self, stop: &Stop) -> Result<bool, End> {
        let Some(files) = &mut self.files else { return Ok(false) };
        if files.opened() >= self.most_files {
            return Ok(false);
        }
        let next = files.open_next().map_err(End::Failed)?;
        let used = files.use_of_one();
        self.write_statistics(stop)?;
        info!("next file: {}", next.path().unwrap_or_else(|| "-".as_ref()).display());
        self.output = next;
        self.of_file = used;
        self.blocks = Blocks::begin_section();
        self.begin(stop)?;
        Ok(true)
    }

    fn write_statistics(&mut self, stop: &Stop) -> Result<(), End> {
        self.total();
        let now = capture::now();
        for (number, lane) in (0_u32..).zip(&self.lanes) {
            self.blocks.statistics(number, lane.statistics, lane.begin, now);
        }
        self.write_blocks(stop)
    }

    fn write_blocks(&mut self, stop: &Stop) -> Result<(), End> {
        let bytes = self.blocks.take();
        self.of_capture.add_bytes(bytes.len());
        self.of_file.add_bytes(bytes.len());
        self.output.write(&mut [IoSlice::new(&bytes)], stop)
    }

    /// Brings the counts of the kernel up to date.
    pub(super) fn total(&mut self) {
        for lane in &mut self.lanes {
            lane.statistics.kernel_drops = 0;
        }
        for stage in &mut self.stages {
            let counts = stage.ring.counts();
            let statistics = &mut self.lanes[stage.interface as usize].statistics;
            statistics.kernel_drops += counts.kernel_drops;
            // Both rings tell the same of the one interface.
            statistics.interface_drops = statistics.interface_drops.max(counts.interface_drops);
        }
        self.totals.drops = self.lanes.iter().map(|lane| lane.statistics.lost()).sum();
        self.totals.files = self.files.as_ref().map_or(1, Files::opened);
    }

    /// Counts what the reader left no time for: packets in batches and rings.
    fn abandon(&mut self) {
        for stage in &mut self.stages {
            let counts = stage.ring.counts();
            let in_ring = counts.received.saturating_sub(counts.kernel_drops + counts.delivered);
            let statistics = &mut self.lanes[stage.interface as usize].statistics;
            statistics.abandoned += in_ring + stage.held() as u64;
        }
    }
}
