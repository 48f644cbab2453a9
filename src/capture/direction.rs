//! The direction of packets.

use super::filter::VethSide;

/// The direction of a packet, from the container's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the container.
    Inbound,
    /// From the container.
    Outbound,
    /// From the container to itself.
    Within,
}

/// Directions of the packets that an interface receives and sends.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceDirections {
    /// Of those that it receives.
    pub incoming: Direction,
    /// Of those that it sends.
    pub outgoing: Direction,
}

impl InterfaceDirections {
    pub(super) fn new(side: VethSide, is_loopback: bool) -> Self {
        let (incoming, outgoing) = match side {
            _ if is_loopback => (Direction::Within, Direction::Within),
            VethSide::Host => (Direction::Outbound, Direction::Inbound),
            VethSide::Container => (Direction::Inbound, Direction::Outbound),
        };
        Self { incoming, outgoing }
    }
}
