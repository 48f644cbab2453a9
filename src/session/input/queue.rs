//! Packets read from one source and not written yet: blocks of a ring, or copies already in the form of pcapng blocks.

use std::collections::VecDeque;

use super::one_way::TcpDirections;
use crate::capture::{BlockPacket, Direction, RingBlock};
use crate::pcapng::{self, PacketFields};
use crate::session::pending::PendingWrite;

/// Bytes after which a batch of copies is full: large enough for a cheap write, small enough for the CPU cache.
const BATCH_LEN: usize = 128 * 1024;
/// Written batches kept for reuse, for all sources together.
const MAX_SPARE_BATCHES: usize = 16;
/// Captured bytes from which on a packet is written where it stands in the ring; shorter ones are gathered.
const MIN_IN_PLACE: u32 = 1024;

/// Packets of one source, in time order.
#[derive(Default)]
pub(in crate::session) struct PacketQueue {
    /// The last one is being filled.
    batches: VecDeque<Batch>,
    /// Position of the last packet taken from a ring.
    order: u64,
    pub(super) tcp: TcpDirections,
}

enum Batch {
    Copied(CopiedBatch),
    Ring(RingBatch),
}

/// A block of a ring.
struct RingBatch {
    block: RingBlock,
    /// Number of its interface block.
    interface: u32,
    /// Position of its last packet, in nanoseconds since the epoch. Processors hand packets over in slightly another order
    /// than that of their times.
    end: u64,
}

/// Packet blocks, one after the other.
#[derive(Default)]
pub(in crate::session) struct CopiedBatch {
    bytes: Vec<u8>,
    packets: Vec<QueuedPacket>,
    /// The next packet to write, and its offset in `bytes`.
    next: usize,
    next_offset: usize,
}

/// Written batches of copies, for reuse.
#[derive(Default)]
pub(in crate::session) struct SpareBatches(Vec<CopiedBatch>);

/// A packet in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) struct QueuedPacket {
    /// Position in the time order, in nanoseconds since the epoch: the packet's time, or a little later where clocks of
    /// processors differ.
    pub(in crate::session) time: u64,
    /// Captured bytes.
    pub(in crate::session) captured: u32,
    /// Number of its interface block.
    pub(in crate::session) interface: u32,
}

/// The content of a packet in a queue.
#[derive(Clone, Copy)]
pub(in crate::session) enum PacketContent<'a> {
    /// In its pcapng block.
    Block(&'a [u8]),
    /// In the ring: direction, length on the wire, bytes.
    Ring(Direction, u32, &'a [u8]),
}

/// What to do with the next packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Verdict {
    /// Write it.
    Write,
    /// Remove it without writing it.
    Skip,
    /// Leave it and all later ones in the queue.
    Stop,
}

/// Why no more packets were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Taken {
    /// There are none up to the requested time.
    All,
    /// What is pending is to be written first.
    Full,
    /// A verdict was to stop.
    Stopped,
}

impl PacketContent<'_> {
    /// Direction, length on the wire, and bytes.
    pub(in crate::session) fn parts(&self) -> Option<(Direction, u32, &[u8])> {
        match *self {
            Self::Block(block) => pcapng::packet_in(block),
            Self::Ring(direction, wire_len, data) => Some((direction, wire_len, data)),
        }
    }
}

impl PacketQueue {
    /// The batch to append copies to.
    pub(super) fn batch(&mut self, spare: &mut SpareBatches) -> &mut CopiedBatch {
        let is_full = |batch: &Batch| !matches!(batch, Batch::Copied(batch) if batch.bytes.len() < BATCH_LEN);
        if self.batches.back().is_none_or(is_full) {
            self.batches.push_back(Batch::Copied(spare.0.pop().unwrap_or_default()));
        }
        match self.batches.back_mut() {
            Some(Batch::Copied(batch)) => batch,
            Some(Batch::Ring(_)) | None => unreachable!("a batch of copies was added"),
        }
    }

    /// Adds a block of a ring, whose last packet has the position `end`.
    pub(super) fn add_block(&mut self, block: RingBlock, interface: u32, end: u64) {
        self.batches.push_back(Batch::Ring(RingBatch { block, interface, end }));
    }

    /// The packets in the queue.
    pub(super) fn packets(&self) -> impl Iterator<Item = QueuedPacket> {
        self.batches.iter().flat_map(|batch| {
            let (copied, ring) = match batch {
                Batch::Copied(batch) => (Some(batch.packets[batch.next..].iter().copied()), None),
                Batch::Ring(batch) => (None, Some(batch.packets())),
            };
            copied.into_iter().flatten().chain(ring.into_iter().flatten())
        })
    }

    /// Position of the next packet, in nanoseconds since the epoch.
    pub(super) fn head(&self) -> Option<u64> {
        self.batches.iter().find_map(|batch| match batch {
            Batch::Copied(batch) => batch.packets.get(batch.next).map(|packet| packet.time),
            Batch::Ring(batch) => batch.block.head().map(|packet| batch.position(packet, self.order)),
        })
    }

    /// The memory of a batch.
    pub(super) fn bytes(&self, batch: usize) -> &[u8] {
        match &self.batches[batch] {
            Batch::Copied(batch) => &batch.bytes,
            Batch::Ring(batch) => batch.block.bytes(),
        }
    }

    /// Whether the memory of a batch can be lent. That of copies is used again once they have been written.
    pub(super) fn may_be_lent(&self, batch: usize) -> bool {
        matches!(self.batches[batch], Batch::Ring(_))
    }

    /// Marks the memory of a batch as lent.
    pub(super) fn mark_lent(&mut self, batch: usize) {
        if let Batch::Ring(batch) = &mut self.batches[batch] {
            batch.block.mark_lent();
        }
    }

    /// Removes the batches whose packets have all been taken, and passes blocks of a ring to `release`.
    pub(super) fn recycle(&mut self, spare: &mut SpareBatches, released: &mut Vec<RingBlock>) {
        while self.batches.front().is_some_and(Batch::is_empty) {
            match self.batches.pop_front() {
                Some(Batch::Copied(batch)) => spare.put(batch),
                Some(Batch::Ring(batch)) => released.push(batch.block),
                None => break,
            }
        }
    }

    /// Copies the packets of the first blocks where more than `max_blocks` are held, so that they can be given back.
    pub(super) fn copy_blocks(
        &mut self,
        max_blocks: usize,
        spare: &mut SpareBatches,
        released: &mut Vec<RingBlock>,
    ) {
        let held = self.batches.iter().filter(|batch| matches!(batch, Batch::Ring(_))).count();
        let mut order = self.order;
        let rings = self.batches.iter_mut().filter(|batch| matches!(batch, Batch::Ring(_)));
        for batch in rings.take(held.saturating_sub(max_blocks)) {
            let copied = Batch::Copied(spare.0.pop().unwrap_or_default());
            let Batch::Ring(mut ring) = std::mem::replace(batch, copied) else { continue };
            let Batch::Copied(copied) = batch else { continue };
            while let Some(packet) = ring.block.head() {
                let BlockPacket { direction, time, wire_len, captured, .. } = *packet;
                let (interface, data) = (ring.interface, ring.block.data(packet));
                order = ring.position(packet, order);
                copied.push(order, interface, captured as usize, |bytes| {
                    pcapng::append_packet(bytes, interface, direction, time, wire_len, data);
                });
                ring.block.skip();
            }
            released.push(ring.block);
        }
        self.order = order;
    }

    /// Takes packets up to the time `until` into `pending`, until that is full or `decide`, called with each packet, stops.
    /// `number` is the number of this queue.
    pub(super) fn take(
        &mut self,
        number: usize,
        until: u64,
        pending: &mut PendingWrite,
        decide: &mut impl FnMut(QueuedPacket, PacketContent<'_>) -> Verdict,
    ) -> Taken {
        let Self { batches, order, tcp } = self;
        for (index, batch) in batches.iter_mut().enumerate().filter(|(_, batch)| !batch.is_empty()) {
            let taken = match batch {
                Batch::Copied(batch) => batch.take((number, index), until, pending, decide),
                Batch::Ring(batch) => batch.take((number, index), until, order, tcp, pending, decide),
            };
            if taken != Taken::All || !batch.is_empty() {
                return taken;
            }
        }
        Taken::All
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        match self {
            Self::Copied(batch) => batch.next == batch.packets.len(),
            Self::Ring(batch) => batch.block.head().is_none(),
        }
    }
}

impl RingBatch {
    #[inline]
    fn position(&self, packet: &BlockPacket, order: u64) -> u64 {
        packet.time.max(order).min(self.end)
    }

    fn packets(&self) -> impl Iterator<Item = QueuedPacket> {
        self.block.packets().map(|packet| QueuedPacket {
            time: self.position(&packet, 0),
            captured: packet.captured,
            interface: self.interface,
        })
    }

    fn take(
        &mut self,
        (queue, batch): (usize, usize),
        until: u64,
        order: &mut u64,
        tcp: &mut TcpDirections,
        pending: &mut PendingWrite,
        decide: &mut impl FnMut(QueuedPacket, PacketContent<'_>) -> Verdict,
    ) -> Taken {
        let interface = self.interface;
        while let Some(packet) = self.block.head() {
            let position = self.position(packet, *order);
            if position > until {
                break;
            }
            if pending.is_full() {
                return Taken::Full;
            }
            let BlockPacket { direction, time, wire_len, captured, .. } = *packet;
            let data = self.block.data(packet);
            tcp.count(direction, data);
            let queued = QueuedPacket { time: position, captured, interface };
            match decide(queued, PacketContent::Ring(direction, wire_len, data)) {
                Verdict::Stop => return Taken::Stopped,
                Verdict::Skip => self.block.skip(),
                Verdict::Write => {
                    pending.packets += 1;
                    pending.captured += u64::from(captured);
                    let fields = PacketFields { interface, direction, time, wire_len, captured };
                    if captured < MIN_IN_PLACE {
                        pending.gather(&fields, data);
                        self.block.skip();
                    } else {
                        self.enclose((queue, batch), &fields, pending);
                    }
                }
            }
            *order = position;
        }
        Taken::All
    }

    /// Takes the next packet, in place if there is room around it.
    fn enclose(&mut self, (queue, batch): (usize, usize), fields: &PacketFields, pending: &mut PendingWrite) {
        let enclosed = self.block.enclose(|header, trailer| {
            fields.write_header(header);
            fields.write_trailer(trailer);
        });
        if let Some(bytes) = enclosed {
            pending.add_queued(queue, batch, bytes);
        } else if let Some(packet) = self.block.head() {
            pending.gather(fields, self.block.data(packet));
            self.block.skip();
        }
    }
}

impl QueuedPacket {
    /// Bytes of its block.
    pub(in crate::session) fn block_len(self) -> u32 {
        u32::try_from(pcapng::packet_block_length(self.captured as usize)).unwrap_or(u32::MAX)
    }
}

impl CopiedBatch {
    /// Adds a packet, whose block `append` writes. Returns the bytes of the block.
    pub(super) fn push(
        &mut self,
        time: u64,
        interface: u32,
        captured: usize,
        append: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let before = self.bytes.len();
        append(&mut self.bytes);
        let block_len = self.bytes.len() - before;
        debug_assert_eq!(block_len, pcapng::packet_block_length(captured));
        let captured = u32::try_from(captured).unwrap_or(u32::MAX);
        self.packets.push(QueuedPacket { time, captured, interface });
        block_len
    }

    fn take(
        &mut self,
        (queue, number): (usize, usize),
        until: u64,
        pending: &mut PendingWrite,
        decide: &mut impl FnMut(QueuedPacket, PacketContent<'_>) -> Verdict,
    ) -> Taken {
        let mut run = self.next_offset..self.next_offset;
        let mut taken = Taken::All;
        while let Some(packet) = self.packets.get(self.next).filter(|packet| packet.time <= until) {
            if pending.is_full() {
                taken = Taken::Full;
                break;
            }
            let end = self.next_offset + packet.block_len() as usize;
            match decide(*packet, PacketContent::Block(&self.bytes[self.next_offset..end])) {
                Verdict::Stop => {
                    taken = Taken::Stopped;
                    break;
                }
                Verdict::Skip => {
                    if !run.is_empty() {
                        pending.add_queued(queue, number, run);
                    }
                    run = end..end;
                }
                Verdict::Write => {
                    pending.packets += 1;
                    pending.captured += u64::from(packet.captured);
                    run.end = end;
                }
            }
            (self.next, self.next_offset) = (self.next + 1, end);
        }
        if !run.is_empty() {
            pending.add_queued(queue, number, run);
        }
        taken
    }
}

impl SpareBatches {
    fn put(&mut self, mut batch: CopiedBatch) {
        batch.bytes.clear();
        batch.packets.clear();
        (batch.next, batch.next_offset) = (0, 0);
        // A batch that has grown for a few large packets is not worth its memory.
        if self.0.len() < MAX_SPARE_BATCHES && batch.bytes.capacity() <= 4 * BATCH_LEN {
            self.0.push(batch);
        }
    }
}
