//! Writes the pcapng stream: interfaces, names and statistics around the packets, into one file after the other.

use std::io::IoSlice;
use std::net::IpAddr;

use log::info;

use super::file_beginning::{max_text_len, repeated_texts};
use super::interface_state::{InterfaceState, active_members};
use super::limits::{LimitUsage, Limits};
use super::names::StreamNames;
use super::totals::{InterfaceTotals, Totals};
use super::{Output, OutputEnd, OutputFiles};
use crate::capture;
use crate::pcapng::{BlockWriter, InterfaceDescription, InterfaceStatistics};
use crate::safe_text::SafeText;
use crate::session::control::Pauses;
use crate::session::dedup::{Deduplicator, Duplicates};
use crate::session::input::{
    PacketContent, PacketQueues, QueuedPacket, SourceMerger, SourceReader, Taken, Verdict,
};
use crate::session::pending::PendingWrite;
use crate::stop::Stop;

/// Bytes from which on memory is lent to a pipe: less is copied faster.
const MIN_LENT: usize = 16 * 1024;
/// Ended interfaces kept until they are reported.
const MAX_UNREPORTED_INTERFACES: usize = 1000;

/// A stream being written.
pub(in crate::session) struct StreamWriter {
    pub(super) interfaces: Vec<InterfaceState>,
    dedup: Deduplicator,
    names: StreamNames,
    blocks: BlockWriter,
    pub(in crate::session) output: Output,
    pub(super) files: Option<OutputFiles>,
    pub(in crate::session) capture_usage: LimitUsage,
    pub(in crate::session) file_usage: LimitUsage,
    max_files: usize,
    /// Whether another session reads the stream, which then has statistics while it is written.
    feeds_session: bool,
    /// Whether the section header of the first file has been written before.
    is_header_written: bool,
    /// Whether the interfaces of the current file have been written.
    has_begun: bool,
    pub(in crate::session) totals: Totals,
    pub(in crate::session) pauses: Pauses,
    /// Interfaces that ended since the last report.
    pub(super) ended_interfaces: Vec<InterfaceTotals>,
}

/// Whether the limits allow another packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Available,
    FileFull,
    CaptureFull,
}

/// How a [`StreamWriter`] writes.
pub(in crate::session) struct StreamOptions {
    pub(in crate::session) limits: Limits,
    pub(in crate::session) duplicates: Duplicates,
    pub(in crate::session) feeds_session: bool,
    pub(in crate::session) is_header_written: bool,
}

impl StreamWriter {
    /// A stream into `output`, which is the first of `files` if there are several.
    pub(in crate::session) fn new(
        names: Vec<(IpAddr, SafeText)>,
        mut output: Output,
        files: Option<OutputFiles>,
        options: &StreamOptions,
    ) -> Self {
        let StreamOptions { limits, duplicates, feeds_session, is_header_written } = *options;
        if feeds_session {
            output.feed_session();
        }
        let file_usage = files.as_ref().map(OutputFiles::file_usage);
        Self {
            interfaces: Vec::new(),
            dedup: Deduplicator::new(duplicates),
            names: StreamNames::new(names, output.pipe().is_some() && !feeds_session),
            blocks: BlockWriter::begin_section(),
            output,
            files,
            capture_usage: LimitUsage::new(limits),
            file_usage: file_usage.unwrap_or_else(|| LimitUsage::new(Limits::default())),
            max_files: limits.files.unwrap_or(usize::MAX),
            feeds_session,
            is_header_written,
            has_begun: false,
            totals: Totals::default(),
            pauses: Pauses::default(),
            ended_interfaces: Vec::new(),
        }
    }

    /// Adds an interface, and returns its number, which is never reused.
    /// `member` is the number of the first interface of the same member, if this is another; `since` is when its capture
    /// began, if not now. In a stream that has begun, it is written by the next [`StreamWriter::write_blocks`].
    pub(in crate::session) fn add_interface(
        &mut self,
        interface: InterfaceDescription,
        member: Option<u32>,
        since: Option<u64>,
    ) -> u32 {
        let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        if self.has_begun {
            info!("{} is added as interface {number}", interface.name);
            self.blocks.add_interface(&interface);
        }
        let begin = since.unwrap_or_else(capture::now);
        let member = member.unwrap_or(number);
        self.interfaces.push(InterfaceState::new(interface, member, begin));
        self.dedup.set_members(active_members(&self.interfaces));
        number
    }

    /// Adds names for the following packets. They replace names of the same addresses.
    pub(in crate::session) fn add_names(&mut self, names: Vec<(IpAddr, SafeText)>) {
        self.blocks.add_names(&names);
        self.names.add(names);
    }

    fn write_all_names(&mut self) {
        self.blocks.add_names(self.names.all());
        self.names.record_written();
    }

    /// Repeats all names behind the packets that are pending.
    fn repeat_names(&mut self, pending: &mut PendingWrite) {
        let blocks = self.names.blocks();
        if !pending.gather_blocks(blocks) {
            return self.write_all_names();
        }
        self.capture_usage.add_bytes(blocks.len());
        self.file_usage.add_bytes(blocks.len());
        self.names.record_written();
    }

    /// Removes a source that has ended. The statistics of its interfaces are written by the
    /// next [`StreamWriter::write_blocks`].
    pub(in crate::session) fn remove_source(&mut self, mut source: SourceReader) {
        let mut counted = Vec::new();
        source.counts(&mut |number, counts| counted.push((number, counts)));
        let has_unread = source.has_unread();
        // Frees its rings.
        drop(source);
        for (number, counts) in counted {
            let interface = &mut self.interfaces[number as usize];
            interface.remove_source(counts, has_unread);
            self.end_interface(number);
        }
        self.dedup.set_members(active_members(&self.interfaces));
    }

    fn end_interface(&mut self, number: u32) {
        let interface = &mut self.interfaces[number as usize];
        let now = capture::now();
        interface.end(now);
        let (statistics, begin, end) = interface.file_statistics(now);
        self.blocks.add_statistics(number, statistics, begin, end);
        let InterfaceStatistics { written, deduplicated, .. } = interface.statistics;
        let (name, lost) = (&interface.interface.name, interface.statistics.lost());
        info!("{name} has ended: {written} packets, {lost} lost, {deduplicated} duplicates dropped");
        if self.ended_interfaces.len() < MAX_UNREPORTED_INTERFACES {
            self.ended_interfaces.push(interface.totals());
        }
    }

    /// Begins the stream: writes the section header, interfaces and names.
    pub(in crate::session) fn begin(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        if std::mem::take(&mut self.is_header_written) {
            self.blocks.take();
        }
        for state in &self.interfaces {
            self.blocks.add_interface(&state.interface);
        }
        self.write_all_names();
        self.has_begun = true;
        self.write_blocks(stop)
    }

    /// Writes the queued packets up to the time `horizon`. Returns whether a limit ends the capture.
    pub(in crate::session) fn write_packets(
        &mut self,
        merger: &mut SourceMerger,
        horizon: u64,
        stop: &Stop,
    ) -> Result<bool, OutputEnd> {
        loop {
            if self.file_usage.is_over() && !self.begin_next_file(merger, stop)? {
                return Ok(true);
            }
            let (taken, room) = self.write_taken(&mut merger.queues, horizon, stop)?;
            self.write_blocks(stop)?;
            match room {
                Room::Available if taken == Taken::Full => {}
                Room::Available => return Ok(self.capture_usage.is_full()),
                Room::FileFull if self.begin_next_file(merger, stop)? => {}
                Room::FileFull | Room::CaptureFull => return Ok(true),
            }
        }
    }

    /// Writes queued packets up to the time `horizon`, within the limits, and as many as are written at once.
    fn write_taken(
        &mut self,
        queues: &mut PacketQueues,
        horizon: u64,
        stop: &Stop,
    ) -> Result<(Taken, Room), OutputEnd> {
        let mut room = Room::Available;
        let now = capture::now();
        // Only now: by now the reader has mostly read what was lent, and the same memory, in the CPU cache, is used again.
        self.output.renew(&mut queues.pending.buffer)?;
        queues.pending.joins_blocks = self.output.lends();
        let taken = queues.take(horizon, |packet, content| self.decide(packet, content, now, &mut room));
        let PendingWrite { bytes, packets, captured, .. } = queues.pending;
        self.totals.packets += packets;
        self.totals.bytes += captured;
        if self.names.are_due(bytes as u64) {
            self.repeat_names(&mut queues.pending);
        }
        if bytes > 0 {
            self.write_pending(queues, stop)?;
        }
        self.release_blocks(queues);
        Ok((taken, room))
    }

    /// Gives back the blocks whose packets have been written or copied.
    pub(in crate::session) fn release_blocks(&mut self, queues: &mut PacketQueues) {
        for memory in queues.recycle() {
            self.output.release(memory);
        }
        queues.reuse(self.output.read_peer_buffers());
    }

    fn write_pending(&mut self, queues: &mut PacketQueues, stop: &Stop) -> Result<(), OutputEnd> {
        if queues.pending.bytes >= MIN_LENT && self.output.lends() && queues.may_be_lent() {
            // Before any of it is lent: a block with lent bytes is not given back.
            queues.mark_lent();
            self.output.lend(&mut queues.slices(), stop)?;
        } else {
            self.output.write(&mut queues.slices(), stop)?;
        }
        queues.pending.clear();
        Ok(())
    }

    /// Decides whether a packet is written, and counts it.
    #[inline]
    fn decide(
        &mut self,
        packet: QueuedPacket,
        content: PacketContent<'_>,
        now: u64,
        room: &mut Room,
    ) -> Verdict {
        if self.pauses.contains(packet.time, now) {
            self.totals.paused += 1;
            return Verdict::Skip;
        }
        let interface = &mut self.interfaces[packet.interface as usize];
        let key = self.dedup.key(packet, content);
        if key.is_some_and(|key| self.dedup.is_second_copy(key, packet, interface.member)) {
            interface.statistics.deduplicated += 1;
            return Verdict::Skip;
        }
        let block_len = packet.block_len();
        *room = if !self.capture_usage.has_room(block_len) {
            Room::CaptureFull
        } else if !self.file_usage.has_room(block_len) {
            Room::FileFull
        } else {
            Room::Available
        };
        if *room != Room::Available {
            return Verdict::Stop;
        }
        if let Some(key) = key {
            self.dedup.record_outbound(key, packet, interface.member);
        }
        self.capture_usage.add_packet(block_len);
        self.file_usage.add_packet(block_len);
        interface.statistics.written += 1;
        interface.bytes += u64::from(packet.captured);
        Verdict::Write
    }

    /// Ends the current file and begins the next. Returns false if there is to be no other.
    fn begin_next_file(&mut self, merger: &mut SourceMerger, stop: &Stop) -> Result<bool, OutputEnd> {
        let Some(files) = &mut self.files else { return Ok(false) };
        if files.opened() >= self.max_files {
            return Ok(false);
        }
        let Ok(next) = files.open_next(stop) else { return Ok(false) };
        let next = next.map_err(OutputEnd::Failed)?;
        let usage = files.file_usage();
        merger.refresh_counts();
        self.update_totals(merger);
        self.write_last_statistics(stop)?;
        info!("next file: {}", next.path().unwrap_or_else(|| "-".as_ref()).display());
        let max_text_len = max_text_len(&self.file_usage);
        (self.output, self.file_usage) = (next, usage);
        let now = capture::now();
        let texts = repeated_texts(&self.interfaces, max_text_len);
        self.blocks = BlockWriter::begin_section();
        for (state, text) in self.interfaces.iter_mut().zip(texts) {
            state.begin_file(now, text);
            self.blocks.add_interface(&state.description());
        }
        self.blocks.add_names(self.names.newest(max_text_len));
        let bytes = self.blocks.take();
        self.capture_usage.add_bytes(bytes.len());
        self.file_usage.add_repeated(bytes.len());
        self.output.write(&mut [IoSlice::new(&bytes)], stop)?;
        Ok(true)
    }

    /// Writes statistics of the active interfaces for a session that reads the stream, or an empty block. Not for
    /// Wireshark, which shows drops only of interfaces that have exactly one statistics block.
    pub(in crate::session) fn write_statistics(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        self.add_statistics(InterfaceState::is_active);
        if !self.interfaces.iter().any(InterfaceState::is_active) {
            self.blocks.add_empty_block();
        }
        self.write_blocks(stop)
    }

    /// Writes the statistics at the end of a file, of all interfaces that have none in it.
    pub(in crate::session) fn write_last_statistics(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        // Another session recognizes the proper end of a stream by statistics as its last blocks.
        let all = self.feeds_session;
        self.add_statistics(|interface| all || interface.lacks_last_statistics());
        self.write_blocks(stop)
    }

    fn add_statistics(&mut self, is_wanted: impl Fn(&InterfaceState) -> bool) {
        let now = capture::now();
        for (number, state) in (0_u32..).zip(&self.interfaces).filter(|(_, state)| is_wanted(state)) {
            let (statistics, begin, end) = state.file_statistics(now);
            self.blocks.add_statistics(number, statistics, begin, end);
        }
    }

    /// Writes the blocks that were added.
    pub(in crate::session) fn write_blocks(&mut self, stop: &Stop) -> Result<(), OutputEnd> {
        let bytes = self.blocks.take();
        if bytes.is_empty() {
            return Ok(());
        }
        self.capture_usage.add_bytes(bytes.len());
        self.file_usage.add_bytes(bytes.len());
        self.output.write(&mut [IoSlice::new(&bytes)], stop)
    }

    /// Adds the answer to a capture filter that a session requested, with statistics of the first interface.
    pub(in crate::session) fn add_filter_answer(&mut self, answer: &str) {
        if let Some(state) = self.interfaces.first() {
            self.blocks.add_statistics_with_comment(
                0,
                state.statistics,
                state.begin,
                capture::now(),
                Some(answer),
            );
        }
    }

    /// The name of interface `number`; empty if there is none.
    pub(in crate::session) fn interface_name(&self, number: Option<u32>) -> SafeText {
        let state = number.and_then(|number| self.interfaces.get(number as usize));
        state.map(|state| state.interface.name.clone()).unwrap_or_default()
    }
}
