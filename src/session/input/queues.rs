//! The queues of all sources, in one time order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::queue::{PacketQueue, PacketRun, QueuedPacket, SpareBatches, Verdict};

/// One queue for each source.
#[derive(Default)]
pub(in crate::session) struct PacketQueues {
    pub(super) queues: Vec<PacketQueue>,
    pub(super) spare: SpareBatches,
}

impl PacketQueues {
    /// Whether every packet has been taken.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.head().is_none())
    }

    /// The time of the next packet to write.
    pub(in crate::session) fn oldest(&self) -> Option<u64> {
        self.queues.iter().filter_map(|queue| Some(queue.head()?.time)).min()
    }

    /// The packets in the queues.
    pub(in crate::session) fn packets(&self) -> impl Iterator<Item = &QueuedPacket> {
        self.queues.iter().flat_map(PacketQueue::packets)
    }

    /// Takes packets up to the time `horizon`, in time order, until `decide`, called with each packet and its block,
    /// stops.
    pub(in crate::session) fn take_runs(
        &mut self,
        horizon: u64,
        mut decide: impl FnMut(QueuedPacket, &[u8]) -> Verdict,
    ) -> Vec<PacketRun> {
        let mut heads: BinaryHeap<Reverse<(u64, usize)>> = self
            .queues
            .iter()
            .enumerate()
            .filter_map(|(index, queue)| Some(Reverse((queue.head()?.time, index))))
            .collect();
        let mut runs: Vec<PacketRun> = Vec::new();
        while let Some(Reverse((time, index))) = heads.pop() {
            if time > horizon {
                break;
            }
            let until = heads.peek().map_or(horizon, |Reverse((other, _))| horizon.min(*other));
            let Some((mut run, goes_on)) = self.queues[index].take_run(until, &mut decide) else { continue };
            if run.packets > 0 {
                run.queue = index;
                runs.push(run);
            }
            if !goes_on {
                return runs;
            }
            if let Some(packet) = self.queues[index].head() {
                heads.push(Reverse((packet.time, index)));
            }
        }
        runs
    }

    /// The bytes of a run.
    pub(in crate::session) fn bytes(&self, run: &PacketRun) -> &[u8] {
        self.queues[run.queue].bytes(run)
    }

    /// Frees the memory of packets taken by [`PacketQueues::take_runs`].
    pub(in crate::session) fn recycle(&mut self) {
        for queue in &mut self.queues {
            queue.recycle(&mut self.spare);
        }
    }
}
