//! What stands in the stream besides packets, where it goes, and when it has enough.

use std::collections::HashSet;
use std::io::IoSlice;
use std::net::IpAddr;

use log::info;

use super::crossing::Crossings;
use super::files::Files;
use super::lane::{Lane, Share, members};
use super::limits::{Limits, Used};
use super::merge::Merge;
use super::output::{End, Output};
use super::pauses::Pauses;
use super::queue::Turn;
use super::queues::Queues;
use super::repeat::Repetition;
use super::stage::Stage;
use super::{Duplicates, Totals};
use crate::capture;
use crate::pcapng::{BlockWriter, InterfaceDescription, InterfaceStatistics};
use crate::safe_text::SafeText;
use crate::stop::Stop;

/// `writev` takes no more pieces at once (`UIO_MAXIOV`, linux/uio.h).
const MOST_PIECES: usize = 1024;

/// Interfaces that have left, kept until they are reported; a capture that reports nothing keeps no more.
const MAX_UNREPORTED: usize = 1000;

/// Names kept, as many as one program of ours gives; of more, the latest.
const MAX_NAMES: usize = 30_000;

/// A stream being written.
pub(super) struct Stream {
    pub(super) lanes: Vec<Lane>,
    crossings: Crossings,
    names: Vec<(IpAddr, SafeText)>,
    /// Where others may cut the stream into files: files of our own begin with all names.
    repetition: Option<Repetition>,
    blocks: BlockWriter,
    pub(super) output: Output,
    pub(super) files: Option<Files>,
    pub(super) of_capture: Used,
    pub(super) of_file: Used,
    most_files: usize,
    /// Whether another session reads the stream: it has statistics while it runs.
    feeds_session: bool,
    /// Whether the section header is in the output already.
    begun: bool,
    /// Whether all that stands before the first packet is.
    has_begun: bool,
    pub(super) totals: Totals,
    pub(super) pauses: Pauses,
    /// What those had who have left since the last report.
    pub(super) parted: Vec<Share>,
}

/// Whether the packets that could be written had room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    NoneInFile,
    NoneInCapture,
}

impl Stream {
    /// A stream into `output`, the first of `files` if there is a row, which keeps of packets between
    /// members what `crossing` says; with `begun`, the section header is there already.
    pub(super) fn new(
        names: Vec<(IpAddr, SafeText)>,
        output: Output,
        files: Option<Files>,
        limits: Limits,
        crossing: Duplicates,
        (feeds_session, begun): (bool, bool),
    ) -> Self {
        Self {
            lanes: Vec::new(),
            crossings: Crossings::new(crossing),
            names,
            repetition: (output.pipe().is_some() && !feeds_session).then(Repetition::new),
            blocks: BlockWriter::begin_section(),
            output,
            of_file: files.as_ref().map_or_else(|| Used::new(Limits::default()), Files::use_of_one),
            files,
            of_capture: Used::new(limits),
            most_files: limits.files.unwrap_or(usize::MAX),
            feeds_session,
            begun,
            has_begun: false,
            totals: Totals::default(),
            pauses: Pauses::default(),
            parted: Vec::new(),
        }
    }

    /// Adds an interface that is read from so many rings or streams, captured since then or from now on. Returns
    /// its number, which no other has had; `member` is the number of the first one of the same member, if this is
    /// another. Once the stream has begun, it waits to be told by [`Stream::write_blocks`].
    pub(super) fn add(
        &mut self,
        interface: InterfaceDescription,
        member: Option<u32>,
        readers: usize,
        since: Option<u64>,
    ) -> u32 {
        // Far fewer than a u32 counts come and go.
        let number = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        if self.has_begun {
            info!("{} joins as interface {number}", interface.name);
            self.blocks.interface(&interface);
        }
        let begin = since.unwrap_or_else(capture::now);
        self.lanes.push(Lane::new(interface, member.unwrap_or(number), readers, begin));
        self.crossings.among(members(&self.lanes));
        number
    }

    /// Adds names for the packets that come after; one of an address that is known is replaced.
    pub(super) fn add_names(&mut self, names: Vec<(IpAddr, SafeText)>) {
        self.blocks.names(&names);
        let renewed: HashSet<IpAddr> = names.iter().map(|(address, _)| *address).collect();
        self.names.retain(|(address, _)| !renewed.contains(address));
        self.names.extend(names);
        let excess = self.names.len().saturating_sub(MAX_NAMES);
        self.names.drain(..excess);
    }

    fn add_all_names(&mut self) {
        self.blocks.names(&self.names);
        if let Some(repetition) = &mut self.repetition {
            repetition.written(&self.names);
        }
    }

    /// Keeps what became of the packets of a source that has ended. Its last statistics wait to be
    /// told by [`Stream::write_blocks`] where no other source has the same interface.
    pub(super) fn part(&mut self, mut stage: Stage) {
        let mut counted = Vec::new();
        stage.counts(&mut |number, counts| counted.push((number, counts)));
        let mut ended = Vec::new();
        for (number, counts) in counted {
            let lane = &mut self.lanes[number as usize];
            lane.part(&stage, counts);
            if lane.readers == 0 {
                ended.push(number);
            }
        }
        // Its rings are the kernel's again.
        drop(stage);
        for number in ended {
            let lane = &mut self.lanes[number as usize];
            let now = capture::now();
            lane.end = Some(now);
            lane.forget_counts();
            let (statistics, begin, end) = lane.of_file(now);
            self.blocks.statistics(number, statistics, begin, end);
            lane.has_statistics = true;
            let InterfaceStatistics { written, crossed, .. } = lane.statistics;
            let (name, lost) = (&lane.interface.name, lane.statistics.lost());
            info!("{name} leaves: {written} packets, {lost} lost, {crossed} at their sender");
            if self.parted.len() < MAX_UNREPORTED {
                self.parted.push(lane.share());
            }
        }
        self.crossings.among(members(&self.lanes));
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
        self.add_all_names();
        self.has_begun = true;
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
            let room = self.write_runs(&mut merge.queues, horizon, stop)?;
            self.write_blocks(stop)?;
            match room {
                Room::Enough => return Ok(self.of_capture.is_full()),
                Room::NoneInFile if self.next_file(merge, stop)? => {}
                Room::NoneInFile | Room::NoneInCapture => return Ok(true),
            }
        }
    }

    /// Writes the packets up to `horizon`, as long as there is room for them.
    fn write_runs(&mut self, queues: &mut Queues, horizon: u64, stop: &Stop) -> Result<Room, End> {
        let mut room = Room::Enough;
        let now = capture::now();
        let runs = queues.runs(horizon, |packet, bytes| {
            if self.pauses.hold(packet.time, now) {
                self.totals.left_out += 1;
                return Turn::LeaveOut;
            }
            let lane = &mut self.lanes[packet.interface as usize];
            let passing = self.crossings.passing(packet, bytes);
            if passing.is_some_and(|passing| self.crossings.came(passing, packet, lane.member)) {
                lane.statistics.crossed += 1;
                return Turn::LeaveOut;
            }
            let block = packet.block();
            room = if !self.of_capture.has_room(block) {
                Room::NoneInCapture
            } else if !self.of_file.has_room(block) {
                Room::NoneInFile
            } else {
                Room::Enough
            };
            if room != Room::Enough {
                return Turn::Wait;
            }
            if let Some(passing) = passing {
                self.crossings.went(passing, packet, lane.member);
            }
            self.of_capture.add_packet(block);
            self.of_file.add_packet(block);
            lane.statistics.written += 1;
            lane.bytes += u64::from(packet.captured);
            Turn::Write
        });
        let mut slices: Vec<IoSlice> = Vec::with_capacity(runs.len());
        let mut bytes = 0;
        for run in &runs {
            bytes += queues.bytes(run).len() as u64;
            self.totals.packets += run.packets;
            self.totals.bytes += run.captured;
            slices.push(IoSlice::new(queues.bytes(run)));
        }
        for pieces in slices.chunks_mut(MOST_PIECES) {
            self.output.write(pieces, stop)?;
        }
        queues.forget_taken();
        if self.repetition.as_mut().is_some_and(|repetition| repetition.is_due(bytes)) {
            self.add_all_names();
        }
        Ok(room)
    }

    /// Ends the file being written and begins the next. False when there shall be no next one.
    fn next_file(&mut self, merge: &mut Merge, stop: &Stop) -> Result<bool, End> {
        let Some(files) = &mut self.files else { return Ok(false) };
        if files.opened() >= self.most_files {
            return Ok(false);
        }
        let Ok(next) = files.open_next(stop) else { return Ok(false) };
        let next = next.map_err(End::Failed)?;
        let used = files.use_of_one();
        merge.ask();
        self.total(merge);
        self.write_last_statistics(stop)?;
        info!("next file: {}", next.path().unwrap_or_else(|| "-".as_ref()).display());
        self.output = next;
        self.of_file = used;
        let now = capture::now();
        self.lanes.iter_mut().for_each(|lane| lane.begin_file(now));
        self.blocks = BlockWriter::begin_section();
        self.begin(stop)?;
        Ok(true)
    }

    /// Writes statistics of the interfaces that packets come from, for the session that reads the stream; at least
    /// something. Not for Wireshark, which takes drops over only from an interface that has exactly one such block.
    pub(super) fn write_statistics(&mut self, stop: &Stop) -> Result<(), End> {
        self.add_statistics(|lane| lane.end.is_none());
        if self.lanes.iter().all(|lane| lane.end.is_some()) {
            self.blocks.nothing();
        }
        self.write_blocks(stop)
    }

    /// Writes statistics at the end of a file, of all interfaces in it that have none yet.
    pub(super) fn write_last_statistics(&mut self, stop: &Stop) -> Result<(), End> {
        // Another session takes the end of a stream for a proper one where statistics are the last of it.
        let all = self.feeds_session;
        self.add_statistics(|lane| all || !lane.has_statistics);
        self.write_blocks(stop)
    }

    fn add_statistics(&mut self, wanted: impl Fn(&Lane) -> bool) {
        let now = capture::now();
        for (number, lane) in (0_u32..).zip(&self.lanes).filter(|(_, lane)| wanted(lane)) {
            let (statistics, begin, end) = lane.of_file(now);
            self.blocks.statistics(number, statistics, begin, end);
        }
    }

    /// Writes the blocks that were added.
    pub(super) fn write_blocks(&mut self, stop: &Stop) -> Result<(), End> {
        let bytes = self.blocks.take();
        if bytes.is_empty() {
            return Ok(());
        }
        self.of_capture.add_bytes(bytes.len());
        self.of_file.add_bytes(bytes.len());
        self.output.write(&mut [IoSlice::new(&bytes)], stop)
    }

    /// Adds what came of a new capture filter that was asked for from elsewhere, beside the statistics of the
    /// first interface.
    pub(super) fn add_answer(&mut self, answer: &str) {
        if let Some(lane) = self.lanes.first() {
            self.blocks.statistics_with(0, lane.statistics, lane.begin, capture::now(), Some(answer));
        }
    }

    /// The name of interface `number`; empty where there is none.
    pub(super) fn name(&self, number: Option<u32>) -> SafeText {
        let lane = number.and_then(|number| self.lanes.get(number as usize));
        lane.map(|lane| lane.interface.name.clone()).unwrap_or_default()
    }
}
