//! A packet in a queue, and what becomes of it.

use crate::capture::Direction;
use crate::pcapng;

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

impl QueuedPacket {
    /// Bytes of its block.
    pub(in crate::session) fn block_len(self) -> u32 {
        u32::try_from(pcapng::packet_block_length(self.captured as usize)).unwrap_or(u32::MAX)
    }
}
