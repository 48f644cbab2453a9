//! The queues of all sources, in one time order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::IoSlice;

use super::block_batch::SpareBatches;
use super::queue::PacketQueue;
use super::queued_packet::{PacketContent, QueuedPacket, Taken, Verdict};
use crate::peer::PeerBuffer;
use crate::session::pending::{PendingWrite, Piece, TakenMemory};

/// One queue for each source.
pub(in crate::session) struct PacketQueues {
    pub(super) queues: Vec<PacketQueue>,
    pub(super) spare: SpareBatches,
    /// Memory whose packets have been taken or copied, and that is not used again here.
    released: Vec<TakenMemory>,
    /// What was taken and is to be written.
    pub(in crate::session) pending: PendingWrite,
}

impl PacketQueues {
    pub(super) fn new(pending: PendingWrite) -> Self {
        Self { queues: Vec::new(), spare: SpareBatches::default(), released: Vec::new(), pending }
    }

    /// Whether every packet has been taken.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.head().is_none())
    }

    /// The time of the next packet to write.
    pub(in crate::session) fn oldest(&self) -> Option<u64> {
        self.queues.iter().filter_map(PacketQueue::head).min()
    }

    /// The packets in the queues.
    pub(in crate::session) fn packets(&self) -> impl Iterator<Item = QueuedPacket> {
        self.queues.iter().flat_map(PacketQueue::packets)
    }

    /// Takes packets up to the time `horizon`, in time order, until enough is pending or `decide`, called with each packet, stops.
    pub(in crate::session) fn take(
        &mut self,
        horizon: u64,
        mut decide: impl FnMut(QueuedPacket, PacketContent<'_>) -> Verdict,
    ) -> Taken {
        let Self { queues, pending, .. } = self;
        if let [queue] = &mut queues[..] {
            return queue.take(0, horizon, pending, &mut decide);
        }
        let mut heads: BinaryHeap<Reverse<(u64, usize)>> = queues
            .iter()
            .enumerate()
            .filter_map(|(index, queue)| Some(Reverse((queue.head()?, index))))
            .collect();
        while let Some(Reverse((time, index))) = heads.pop() {
            if time > horizon {
                break;
            }
            let until = heads.peek().map_or(horizon, |Reverse((other, _))| horizon.min(*other));
            let taken = queues[index].take(index, until, pending, &mut decide);
            if taken != Taken::All {
                return taken;
            }
            if let Some(time) = queues[index].head() {
                heads.push(Reverse((time, index)));
            }
        }
        Taken::All
    }

    /// The bytes of what is pending.
    pub(in crate::session) fn slices(&self) -> Vec<IoSlice<'_>> {
        let slice = |piece: &Piece| match piece {
            Piece::Gathered(range) => IoSlice::new(self.pending.buffer.bytes(range.clone())),
            Piece::Queued { queue, batch, bytes } => {
                IoSlice::new(&self.queues[*queue].bytes(*batch)[bytes.clone()])
            }
        };
        self.pending.pieces.iter().map(slice).collect()
    }

    /// Whether the memory of everything that is pending can be lent.
    pub(in crate::session) fn may_be_lent(&self) -> bool {
        self.pending.pieces.iter().all(|piece| match piece {
            Piece::Gathered(_) => true,
            Piece::Queued { queue, batch, .. } => self.queues[*queue].may_be_lent(*batch),
        })
    }

    /// Marks the memory of what is pending as lent.
    pub(in crate::session) fn mark_lent(&mut self) {
        self.pending.buffer.is_lent = true;
        for piece in &self.pending.pieces {
            if let Piece::Queued { queue, batch, .. } = piece {
                self.queues[*queue].mark_lent(*batch);
            }
        }
    }

    /// Uses memory of peers again that was lent.
    pub(in crate::session) fn reuse(&mut self, buffers: Vec<PeerBuffer>) {
        self.spare.put_peer_buffers(buffers);
    }

    /// Frees the memory of packets taken by [`PacketQueues::take`]. Returns what is of the kernel, or has been lent.
    pub(in crate::session) fn recycle(&mut self) -> impl Iterator<Item = TakenMemory> {
        for queue in &mut self.queues {
            queue.recycle(&mut self.spare, &mut self.released);
        }
        self.released.drain(..)
    }

    /// Copies packets of a queue so that it holds at most `max_blocks` blocks of its ring.
    pub(super) fn copy_blocks(&mut self, queue: usize, max_blocks: usize) {
        self.queues[queue].copy_blocks(max_blocks, &mut self.spare, &mut self.released);
    }
}
