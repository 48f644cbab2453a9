//! Merges the packets of all sources in time order.
//!
//! A packet can be written once every other source is known to have nothing older: it has handed over something younger,
//! or was found empty longer ago than the kernel holds packets back. Under load no source is read further than needed:
//! pending packets stay in the kernel ring, and those that were read are written while they are in the CPU cache.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use super::one_way::TcpDirections;
use super::queue::PacketQueue;
use super::queues::PacketQueues;
use super::readiness::Readiness;
use super::remote_source::{MAX_DELAY_NS, RemoteSource};
use super::source_reader::{SourceKind, SourceReader};
use crate::capture::{self, CompiledFilter, PacketCounts, Ring};
use crate::error::Error;
use crate::pcapng::InterfaceDescription;
use crate::peer::PeerNames;
use crate::safe_text::SafeText;
use crate::session::pending::PendingWrite;

/// Bytes read before they are written: they fit into a pipe and the CPU cache.
const MAX_BYTES_PER_PASS: usize = 512 * 1024;
/// Errors of failed sources kept until they are reported.
const MAX_UNREPORTED_ERRORS: usize = 1000;
/// Longest time from a packet's time stamp until its block is handed over on a busy machine, where ksoftirqd has to wait
/// for a processor to deliver the packet and to retire the block.
const BUSY_KERNEL_DELAY: Duration = Duration::from_millis(50);
/// Bytes of a pass up to which [`BUSY_KERNEL_DELAY`] is waited for: that many still fit into the CPU cache. Where more
/// comes, blocks are handed over when they are full.
const SMALL_PASS: usize = 128 * 1024;
/// Sources up to which polling each is faster than `epoll`; also closed by one thread at the end.
const FEW_SOURCES: usize = 8;

/// All sources of a capture.
pub(in crate::session) struct SourceMerger {
    sources: Vec<SourceReader>,
    pub(in crate::session) queues: PacketQueues,
    readiness: Readiness,
    /// How long the kernel may hold a packet back.
    kernel_delay: Duration,
    /// Whether the last pass was small.
    was_small: bool,
    /// Whether a member may be added with packets from a moment ago.
    pub(in crate::session) expects_member: bool,
    /// Names of addresses received from remote sources.
    remote_names: PeerNames,
    /// Errors of sources that are not reported yet.
    unreported_errors: Vec<Error>,
    last_error: Option<Error>,
    /// Whether a source has ended without an error.
    has_ended_well: bool,
}

/// The result of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::session) struct ReadSummary {
    /// Bytes of packets.
    pub(in crate::session) bytes: usize,
    /// Those of them from remote streams.
    pub(in crate::session) remote_bytes: usize,
    /// Whether more can be read and written immediately.
    pub(in crate::session) has_more: bool,
}

impl SourceMerger {
    /// A merger without sources. `kernel_delay` is how long the kernel may hold a packet back.
    pub(in crate::session) fn new(kernel_delay: Duration, pending: PendingWrite) -> Self {
        Self {
            sources: Vec::new(),
            queues: PacketQueues::new(pending),
            readiness: Readiness::new(),
            kernel_delay,
            was_small: true,
            expects_member: false,
            remote_names: PeerNames::default(),
            unreported_errors: Vec::new(),
            last_error: None,
            has_ended_well: false,
        }
    }

    /// Adds a source.
    pub(super) fn add(&mut self, kind: SourceKind) {
        let mut source = SourceReader::new(kind);
        if source.is_ring() {
            source.ready_number = self.readiness.watch(source.as_fd());
        }
        self.sources.push(source);
        self.queues.queues.push(PacketQueue::default());
    }

    /// Removes the sources that have ended and whose packets have all been taken.
    pub(in crate::session) fn remove_ended(&mut self) -> Vec<SourceReader> {
        let mut removed = Vec::new();
        let mut index = 0;
        while index < self.sources.len() {
            if self.sources[index].end.is_none() || self.queues.queues[index].head().is_some() {
                index += 1;
                continue;
            }
            self.queues.queues.remove(index);
            let source = self.sources.remove(index);
            self.has_ended_well |= source.failure().is_none();
            removed.push(source);
        }
        removed
    }

    /// Ends the sources of `interfaces`, whose container has ended. Calls `log` for each that had not begun to end.
    pub(super) fn end_with_container(
        &mut self,
        interfaces: &Range<u32>,
        kernel_delay: Duration,
        log: impl Fn(),
    ) {
        for source in self.sources.iter_mut().filter(|source| source.ends_with(interfaces)) {
            source.end_with_container(kernel_delay, &log);
        }
    }

    /// Closes all sources on several threads: for each ring the kernel waits some 17 ms until no processor uses it
    /// (`synchronize_net`).
    pub(in crate::session) fn close(mut self) {
        let mut threads = Vec::new();
        while !self.sources.is_empty() {
            let share = self.sources.split_off(self.sources.len().saturating_sub(FEW_SOURCES));
            // Without a thread they are closed here.
            threads.extend(std::thread::Builder::new().spawn(move || drop(share)));
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// The sources.
    pub(in crate::session) fn sources(&self) -> &[SourceReader] {
        &self.sources
    }

    /// When to check next whether a source has drained.
    pub(in crate::session) fn drains_at(&self) -> Option<Instant> {
        self.sources.iter().filter_map(SourceReader::drains_at).min()
    }

    /// A descriptor that is readable when one of many rings has packets; `None` if they are few.
    pub(in crate::session) fn readiness(&self) -> Option<BorrowedFd<'_>> {
        if self.sources.len() > FEW_SOURCES { self.readiness.descriptor() } else { None }
    }

    /// Marks the rings that have no packets as empty, by one system call for many. The kernel reports a ring as readable
    /// while a block has not been read completely (`packet_poll` in net/packet/af_packet.c), so any other was empty at
    /// the time before the call.
    fn find_empty(&mut self) {
        for source in self.sources.iter_mut().filter(|source| !source.is_pollable()) {
            // A ring whose interface is gone would always be readable.
            if source.ready_number.take().is_some() {
                self.readiness.unwatch(source.as_fd());
            }
        }
        if self.readiness().is_none() {
            return;
        }
        let polled_at = capture::now();
        let Some(ready) = self.readiness.ready() else { return };
        for source in &mut self.sources {
            let is_ready = |number: u64| ready.binary_search(&number).is_ok();
            if !source.is_down() && source.ready_number.is_some_and(|number| !is_ready(number)) {
                source.set_empty_at(polled_at);
            }
        }
    }

    /// How long a packet may be held back for an older one of another source.
    pub(in crate::session) fn max_hold_back(&self) -> Duration {
        if self.was_small { self.kernel_delay.max(BUSY_KERNEL_DELAY) } else { self.kernel_delay }
    }

    fn max_hold_back_ns(&self) -> u64 {
        u64::try_from(self.max_hold_back().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Reads the sources, that with the oldest packets first, as far as packets can be written.
    pub(in crate::session) fn read(&mut self) -> ReadSummary {
        let read = self.read_pass();
        self.was_small = read.bytes < SMALL_PASS;
        read
    }

    /// Copies packets that wait for older ones of other sources where the kernel needs the blocks of a ring.
    pub(in crate::session) fn copy_waiting(&mut self) {
        for (number, source) in self.sources.iter().enumerate() {
            if let Some(max_blocks) = source.max_held_blocks() {
                self.queues.copy_blocks(number, max_blocks);
            }
        }
    }

    fn read_pass(&mut self) -> ReadSummary {
        let hold_back = self.max_hold_back_ns();
        self.sources.iter_mut().for_each(SourceReader::begin_pass);
        self.find_empty();
        let empty = self.sources.iter().filter(|source| source.is_empty());
        let empty_until = empty.map(|source| source.complete_until(hold_back)).min();
        let mut horizon = empty_until.unwrap_or(u64::MAX).min(self.expected_horizon());
        let others = self.sources.iter().enumerate().filter(|(_, source)| !source.is_empty());
        let mut oldest_first: BinaryHeap<Reverse<(u64, usize)>> =
            others.map(|(index, source)| Reverse((source.last_time(), index))).collect();
        let is_merged = self.sources.len() > 1;
        let mut read = ReadSummary::default();
        while let Some(Reverse((last_time, index))) = oldest_first.pop() {
            if read.bytes >= MAX_BYTES_PER_PASS {
                return ReadSummary { has_more: true, ..read };
            }
            let (source, queue) = (&mut self.sources[index], &mut self.queues.queues[index]);
            // In a small pass nothing stays in the kernel. The smallest rings have two blocks, and lose packets if one is not
            // read while the other fills.
            let may_stay =
                (!self.was_small || read.bytes >= SMALL_PASS) && source.max_held_blocks() != Some(0);
            if may_stay && last_time > horizon && queue.head().is_some() {
                continue;
            }
            let bytes = source.read(queue, &mut self.queues.spare, self.kernel_delay, is_merged);
            read.bytes += bytes;
            // A failed source is not read again, so each error is recorded once.
            if let Some(error) = source.failure() {
                self.unreported_errors.truncate(MAX_UNREPORTED_ERRORS - 1);
                self.unreported_errors.push(error.clone());
                self.last_error = Some(error.clone());
            }
            if !source.is_ring() {
                read.remote_bytes += bytes;
            }
            read.has_more |= source.has_had_its_share();
            if source.is_empty() || source.has_had_its_share() {
                horizon = horizon.min(source.complete_until(hold_back));
            } else {
                oldest_first.push(Reverse((source.last_time(), index)));
            }
        }
        read
    }

    /// The time up to which every source has handed over everything, in nanoseconds since the epoch.
    pub(in crate::session) fn horizon(&self) -> u64 {
        let hold_back = self.max_hold_back_ns();
        let of_sources = self.sources.iter().map(|source| source.complete_until(hold_back));
        of_sources.min().unwrap_or(u64::MAX).min(self.expected_horizon())
    }

    /// The time up to which an expected member brings no packets.
    fn expected_horizon(&self) -> u64 {
        if self.expects_member { capture::now().saturating_sub(MAX_DELAY_NS) } else { u64::MAX }
    }

    /// Whether packets are held back for remote sources or an expected member.
    pub(in crate::session) fn waits_for_others(&self) -> bool {
        self.expects_member || self.has_remote_sources()
    }

    /// Calls `take` with the number of each interface block and the counts of each ring or stream of it.
    pub(in crate::session) fn counts(&mut self, mut take: impl FnMut(u32, PacketCounts)) {
        self.sources.iter_mut().for_each(|source| source.counts(&mut take));
    }

    /// Updates the counts of every ring.
    pub(in crate::session) fn refresh_counts(&mut self) {
        self.counts(|_, _| {});
    }

    /// The same as [`SourceMerger::counts`], querying the kernel only for rings that were read since the last call.
    pub(in crate::session) fn counts_as_read(&mut self, mut take: impl FnMut(u32, PacketCounts)) {
        self.sources.iter_mut().for_each(|source| source.counts_as_read(&mut take));
    }

    /// The interface of each ring, and what it has shown of TCP.
    pub(in crate::session) fn tcp_directions(&self) -> impl Iterator<Item = (u32, &TcpDirections)> {
        let sources = self.sources.iter().zip(&self.queues.queues);
        sources.filter_map(|(source, queue)| Some((source.ring_interface()?, &queue.tcp)))
    }

    /// Whether the interface of a ring went down, whose end is then not signalled.
    pub(in crate::session) fn has_down_ring(&self) -> bool {
        self.sources.iter().any(SourceReader::is_down)
    }

    /// Whether the sources are rings, and few.
    pub(in crate::session) fn has_few_rings(&self) -> bool {
        self.sources.len() <= FEW_SOURCES && self.sources.iter().all(SourceReader::is_ring)
    }

    /// Sets the capture filter of all rings.
    ///
    /// Fails, with all filters unchanged, if it cannot be set for one of them.
    pub(in crate::session) fn set_filter(&mut self, filter: &CompiledFilter) -> Result<(), Error> {
        let mut changed: Vec<&mut Ring> = Vec::new();
        for ring in self.sources.iter_mut().filter_map(SourceReader::ring_mut) {
            if let Err(error) = ring.set_filter(filter) {
                changed.into_iter().for_each(Ring::restore_filter);
                return Err(error);
            }
            changed.push(ring);
        }
        Ok(())
    }

    /// The remote sources that have not ended.
    pub(in crate::session) fn remote_sources(&mut self) -> impl Iterator<Item = &mut RemoteSource> {
        self.sources.iter_mut().filter_map(SourceReader::remote_mut)
    }

    /// Whether there are remote sources that have not ended.
    pub(in crate::session) fn has_remote_sources(&self) -> bool {
        self.sources.iter().any(|source| source.remote().is_some())
    }

    /// Adds the interfaces that remote sources have received, by `add`, which returns their numbers. Returns whether
    /// there were any.
    pub(in crate::session) fn add_remote_interfaces(
        &mut self,
        mut add: impl FnMut(InterfaceDescription, Option<u32>) -> u32,
    ) -> bool {
        let mut has_new = false;
        for remote in self.remote_sources() {
            has_new |= remote.add_interfaces(&mut add);
        }
        has_new
    }

    /// Calls `add` with the names that remote sources have received. Returns whether there were any.
    pub(in crate::session) fn add_remote_names(
        &mut self,
        mut add: impl FnMut(Vec<(IpAddr, SafeText)>),
    ) -> bool {
        let received: Vec<_> = self.remote_sources().filter_map(RemoteSource::take_names).collect();
        let has_new = !received.is_empty();
        for (host, names) in received {
            add(self.remote_names.add(&host, names));
        }
        has_new
    }

    /// Requests the rest of a capture that ends at `end_time` from remote sources.
    pub(in crate::session) fn end_capture(&mut self, end_time: u64) {
        self.sources.iter_mut().for_each(|source| source.end_capture(end_time));
    }

    /// Errors of sources since the last call.
    pub(in crate::session) fn take_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.unreported_errors)
    }

    /// The last error, if every source has failed. It is not reported again.
    pub(in crate::session) fn take_failure(&mut self) -> Option<Error> {
        let has_others = self.has_ended_well || self.sources.iter().any(|source| source.failure().is_none());
        let failure = self.last_error.take_if(|_| !has_others)?;
        self.unreported_errors.pop();
        Some(failure)
    }
}
