//! The sources of a session, read and merged in time order.

mod block_batch;
mod drain;
mod member;
mod merger;
mod one_way;
mod polling;
mod queue;
mod queued_packet;
mod queues;
mod readiness;
mod remote_source;
mod source;
mod source_reader;

pub(super) use drain::{DRAIN_TIMEOUT, Drain, DrainProgress, drain_progress};
pub(super) use member::WatchedMembers;
pub use member::{Announcement, Member};
pub(super) use merger::{ReadSummary, SourceMerger};
pub(super) use polling::{Load, Pace};
pub(super) use queued_packet::{PacketContent, QueuedPacket, Taken, Verdict};
pub(super) use queues::PacketQueues;
pub(super) use remote_source::MAX_DELAY_NS;
pub use source::Source;
pub(super) use source_reader::SourceReader;
