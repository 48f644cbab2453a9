//! What was read from all sources and waits to be written, in one order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::queue::{Packet, Queue, Run, Spare, Turn};

/// What was read from each source and waits to be written.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) queues: Vec<Queue>,
    pub(super) spare: Spare,
}

impl Queues {
    /// Whether packets wait to be written.
    pub(super) fn hold(&self) -> bool {
        self.queues.iter().any(|queue| queue.head().is_some())
    }

    /// Where the packet that is to be written next stands in the order of time.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.queues.iter().filter_map(|queue| Some(queue.head()?.time)).min()
    }

    /// The packets that wait to be written.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Packet> {
        self.queues.iter().flat_map(Queue::waiting)
    }

    /// Takes packets up to `horizon` out of the queues, in order of time, until `turn`, which is given each
    /// with its block, has one wait.
    pub(super) fn runs(&mut self, horizon: u64, mut turn: impl FnMut(Packet, &[u8]) -> Turn) -> Vec<Run> {
        let mut heads: BinaryHeap<Reverse<(u64, usize)>> = self
            .queues
            .iter()
            .enumerate()
            .filter_map(|(index, queue)| Some(Reverse((queue.head()?.time, index))))
            .collect();
        let mut runs: Vec<Run> = Vec::new();
        while let Some(Reverse((time, index))) = heads.pop() {
            if time > horizon {
                break;
            }
            let until = heads.peek().map_or(horizon, |Reverse((other, _))| horizon.min(*other));
            let Some((mut run, admitted)) = self.queues[index].take(until, &mut turn) else { continue };
            if run.packets > 0 {
                run.queue = index;
                runs.push(run);
            }
            if !admitted {
                return runs;
            }
            if let Some(packet) = self.queues[index].head() {
                heads.push(Reverse((packet.time, index)));
            }
        }
        runs
    }

    /// The bytes of a run.
    pub(super) fn bytes(&self, run: &Run) -> &[u8] {
        self.queues[run.queue].bytes(run)
    }

    /// Makes room where the packets taken out by [`Queues::runs`] stood.
    pub(super) fn forget_taken(&mut self) {
        for queue in &mut self.queues {
            queue.forget_taken(&mut self.spare);
        }
    }
}
