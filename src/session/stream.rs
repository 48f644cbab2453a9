//! What stands in the stream besides packets, where it goes, and when it has enough.

use std::io::IoSlice;
use std::net::IpAddr;

use log::info;

use super::Totals;
use super::files::Files;
use super::limits::{Limits, Used};
use super::merge::{Merge, Queues};
use super::output::{End, Output};
use super::stop::Stop;
use crate::capture;
use crate::pcapng::{Blocks, Interface, Statistics};
use crate::text::Label;

/// `writev` takes no more pieces at once (`UIO_MAXIOV`, linux/uio.h).
const MOST_PIECES: usize = 1024;

/// An interface of the stream while it runs.
struct Lane {
    interface: Interface,
    begin: u64,
    statistics: Statistics,
    /// Packets that the reader of this stream left no time for.
    left: u64,
}

/// A stream being written.
pub(super) struct Stream {
    lanes: Vec<Lane>,
    names: Vec<(IpAddr, Label)>,
    blocks: Blocks,
    pub(super) output: Output,
    files: Option<Files>,
    pub(super) of_capture: Used,
    pub(super) of_file: Used,
    most_files: usize,
    begun: bool,
    pub(super) totals: Totals,
}

/// Whether the packets that could be written had room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    NoneInFile,
    NoneInCapture,
}

impl Stream {
    /// A stream of `interfaces` into `output`, the first of `files` if there is a row; with
    /// `begun`, the section header is there already.
    pub(super) fn new(
        interfaces: Vec<Interface>,
        names: Vec<(IpAddr, Label)>,
        output: Output,
        files: Option<Files>,
        limits: Limits,
        begun: bool,
    ) -> Self {
        let now = capture::now();
        let lane = |interface| Lane { interface, begin: now, statistics: Statistics::default(), left: 0 };
        Self {
            lanes: interfaces.into_iter().map(lane).collect(),
            names,
            blocks: Blocks::begin_section(),
            output,
            of_file: files.as_ref().map_or_else(|| Used::new(Limits::default()), Files::use_of_one),
            files,
            of_capture: Used::new(limits),
            most_files: limits.files.unwrap_or(usize::MAX),
            begun,
            totals: Totals::default(),
        }
    }

    /// Writes what stands before the first packet of a stream or file.
    pub(super) fn begin(&mut self, stop: &Stop) -> Result<(), End> {
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

    /// Writes the packets up to `horizon` that wait in the queues of `merge`. True when the capture
    /// is complete.
    pub(super) fn write_packets(
        &mut self,
        merge: &mut Merge,
        horizon: u64,
        stop: &Stop,
    ) -> Result<bool, End> {
        loop {
            if self.of_file.is_over() && !self.next_file(merge, stop)? {
                return Ok(true);
            }
            match self.write_runs(&mut merge.queues, horizon, stop)? {
                Room::Enough => return Ok(self.of_capture.is_full()),
                Room::NoneInFile if self.next_file(merge, stop)? => {}
                Room::NoneInFile | Room::NoneInCapture => return Ok(true),
            }
        }
    }

    /// Writes the packets up to `horizon`, as long as there is room for them.
    fn write_runs(&mut self, queues: &mut Queues, horizon: u64, stop: &Stop) -> Result<Room, End> {
        let mut room = Room::Enough;
        let runs = queues.runs(horizon, |packet| {
            let block = packet.block();
            room = if !self.of_capture.has_room(block) {
                Room::NoneInCapture
            } else if !self.of_file.has_room(block) {
                Room::NoneInFile
            } else {
                Room::Enough
            };
            let fits = room == Room::Enough;
            if fits {
                self.of_capture.add_packet(block);
                self.of_file.add_packet(block);
                self.lanes[packet.interface as usize].statistics.written += 1;
            }
            fits
        });
        let mut slices: Vec<IoSlice> = Vec::with_capacity(runs.len());
        for run in &runs {
            self.totals.packets += run.packets;
            self.totals.bytes += run.captured;
            slices.push(IoSlice::new(queues.bytes(run)));
        }
        for pieces in slices.chunks_mut(MOST_PIECES) {
            self.output.write(pieces, stop)?;
        }
        queues.forget_taken();
        Ok(room)
    }

    /// Ends the file being written and begins the next. False when there shall be no next one.
    fn next_file(&mut self, merge: &mut Merge, stop: &Stop) -> Result<bool, End> {
        let Some(files) = &mut self.files else { return Ok(false) };
        if files.opened() >= self.most_files {
            return Ok(false);
        }
        let next = files.open_next().map_err(End::Failed)?;
        let used = files.use_of_one();
        self.total(merge);
        self.write_statistics(stop)?;
        info!("next file: {}", next.path().unwrap_or_else(|| "-".as_ref()).display());
        self.output = next;
        self.of_file = used;
        self.blocks = Blocks::begin_section();
        self.begin(stop)?;
        Ok(true)
    }

    /// Adds statistics of all interfaces.
    pub(super) fn write_statistics(&mut self, stop: &Stop) -> Result<(), End> {
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

    /// Brings the counts of the sources up to date.
    pub(super) fn total(&mut self, merge: &mut Merge) {
        for lane in &mut self.lanes {
            lane.statistics.kernel_drops = 0;
            lane.statistics.abandoned = lane.left;
        }
        merge.counts(|interface, counts| {
            let statistics = &mut self.lanes[interface as usize].statistics;
            statistics.kernel_drops += counts.kernel_drops;
            statistics.abandoned += counts.abandoned;
            // Both rings tell the same of the one interface.
            statistics.interface_drops = statistics.interface_drops.max(counts.interface_drops);
        });
        self.totals.drops = self.lanes.iter().map(|lane| lane.statistics.lost()).sum();
        self.totals.files = self.files.as_ref().map_or(1, Files::opened);
        self.totals.broken = merge.broken().0;
    }

    /// Counts what the reader left no time for: packets in queues, rings and streams.
    pub(super) fn abandon(&mut self, merge: &mut Merge) {
        merge.counts(|interface, counts| {
            let gone = counts.kernel_drops + counts.abandoned + counts.delivered;
            self.lanes[interface as usize].left += counts.received.saturating_sub(gone);
        });
        for packet in merge.queues.waiting() {
            self.lanes[packet.interface as usize].left += 1;
        }
    }
}
