//! Packets read from one source and not written yet: in blocks of a ring, or in the form of pcapng blocks.

use std::collections::VecDeque;

use super::block_batch::{BlockBatch, SpareBatches};
use super::one_way::TcpDirections;
use super::queued_packet::{PacketContent, QueuedPacket, Taken, Verdict};
use crate::capture::{BlockPacket, RingBlock};
use crate::pcapng::{self, PacketFields};
use crate::peer::PeerStream;
use crate::session::pending::{PendingWrite, TakenMemory};

/// Bytes of a stream from which on its packets are written where they were read; fewer are copied, since each memory that is
/// kept has a whole buffer.
const MIN_KEPT: usize = 64 * 1024;
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
    Blocks(BlockBatch),
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

impl PacketQueue {
    /// Adds `packets` of a stream that was read, each with the offset of its block in [`PeerStream::blocks`].
    pub(super) fn add_peer_packets(
        &mut self,
        packets: &mut Vec<(QueuedPacket, usize)>,
        stream: &mut PeerStream,
        spare: &mut SpareBatches,
    ) {
        let bytes: usize = packets.iter().map(|(packet, _)| packet.block_len() as usize).sum();
        let kept = if bytes < MIN_KEPT { None } else { spare.take_peer_buffer() };
        if let Some(buffer) = kept {
            let memory = stream.take_blocks(buffer);
            self.batches.push_back(Batch::Blocks(BlockBatch::of_peer(memory, std::mem::take(packets))));
        } else {
            let batch = self.batch_for_copies(spare);
            for (packet, begin) in packets.drain(..) {
                let block = &stream.blocks()[begin..begin + packet.block_len() as usize];
                batch.push(packet, |bytes| bytes.extend_from_slice(block));
            }
        }
    }

    fn batch_for_copies(&mut self, spare: &mut SpareBatches) -> &mut BlockBatch {
        let has_room = |batch: &Batch| matches!(batch, Batch::Blocks(batch) if batch.has_room());
        if !self.batches.back().is_some_and(has_room) {
            self.batches.push_back(Batch::Blocks(spare.take()));
        }
        match self.batches.back_mut() {
            Some(Batch::Blocks(batch)) => batch,
            Some(Batch::Ring(_)) | None => unreachable!("a batch was added"),
        }
    }

    /// Adds a block of a ring, whose last packet has the position `end`.
    pub(super) fn add_block(&mut self, block: RingBlock, interface: u32, end: u64) {
        self.batches.push_back(Batch::Ring(RingBatch { block, interface, end }));
    }

    /// The packets in the queue.
    pub(super) fn packets(&self) -> impl Iterator<Item = QueuedPacket> {
        self.batches.iter().flat_map(|batch| {
            let (blocks, ring) = match batch {
                Batch::Blocks(batch) => (Some(batch.packets()), None),
                Batch::Ring(batch) => (None, Some(batch.packets())),
            };
            blocks.into_iter().flatten().chain(ring.into_iter().flatten())
        })
    }

    /// Position of the next packet, in nanoseconds since the epoch.
    pub(super) fn head(&self) -> Option<u64> {
        self.batches.iter().find_map(|batch| match batch {
            Batch::Blocks(batch) => batch.head().map(|packet| packet.time),
            Batch::Ring(batch) => batch.block.head().map(|packet| batch.position(packet, self.order)),
        })
    }

    /// The memory of a batch.
    pub(super) fn bytes(&self, batch: usize) -> &[u8] {
        match &self.batches[batch] {
            Batch::Blocks(batch) => batch.bytes(),
            Batch::Ring(batch) => batch.block.bytes(),
        }
    }

    /// Whether the memory of a batch can be lent. Copies are used again once they have been written.
    pub(super) fn may_be_lent(&self, batch: usize) -> bool {
        match &self.batches[batch] {
            Batch::Blocks(batch) => batch.is_of_peer(),
            Batch::Ring(_) => true,
        }
    }

    /// Marks the memory of a batch as lent.
    pub(super) fn mark_lent(&mut self, batch: usize) {
        match &mut self.batches[batch] {
            Batch::Blocks(batch) => batch.is_lent = true,
            Batch::Ring(batch) => batch.block.mark_lent(),
        }
    }

    /// Removes the batches whose packets have all been taken, and moves blocks of a ring and what has been lent to `released`.
    pub(super) fn recycle(&mut self, spare: &mut SpareBatches, released: &mut Vec<TakenMemory>) {
        while self.batches.front().is_some_and(Batch::is_empty) {
            match self.batches.pop_front() {
                Some(Batch::Blocks(batch)) => released.extend(spare.put(batch).map(TakenMemory::Peer)),
                Some(Batch::Ring(batch)) => released.push(TakenMemory::Ring(batch.block)),
                None => break,
            }
        }
    }

    /// Copies the packets of the first blocks where more than `max_blocks` are held, so that they can be given back.
    pub(super) fn copy_blocks(
        &mut self,
        max_blocks: usize,
        spare: &mut SpareBatches,
        released: &mut Vec<TakenMemory>,
    ) {
        let held = self.batches.iter().filter(|batch| matches!(batch, Batch::Ring(_))).count();
        let mut order = self.order;
        let rings = self.batches.iter_mut().filter(|batch| matches!(batch, Batch::Ring(_)));
        for batch in rings.take(held.saturating_sub(max_blocks)) {
            let copied = Batch::Blocks(spare.take());
            let Batch::Ring(mut ring) = std::mem::replace(batch, copied) else { continue };
            let Batch::Blocks(copied) = batch else { continue };
            while let Some(packet) = ring.block.head() {
                let BlockPacket { direction, time, wire_len, captured, .. } = *packet;
                let (interface, data) = (ring.interface, ring.block.data(packet));
                order = ring.position(packet, order);
                copied.push(QueuedPacket { time: order, captured, interface }, |bytes| {
                    pcapng::append_packet(bytes, interface, direction, time, wire_len, data);
                });
                ring.block.skip();
            }
            released.push(TakenMemory::Ring(ring.block));
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
                Batch::Blocks(batch) => batch.take((number, index), until, pending, decide),
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
            Self::Blocks(batch) => batch.head().is_none(),
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
        // Contiguous blocks take whole pages of a pipe, and one piece of a write.
        let joined_len = if pending.joins_blocks { MIN_IN_PLACE } else { u32::MAX };
        let enclosed = self.block.enclose(joined_len, |before, behind| fields.write_around(before, behind));
        if let Some(bytes) = enclosed {
            pending.add_queued(queue, batch, bytes);
        } else if let Some(packet) = self.block.head() {
            pending.gather(fields, self.block.data(packet));
            self.block.skip();
        }
    }
}
