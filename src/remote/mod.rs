//! The same program elsewhere: what it writes is one more source of a session.

/// What keeps the other end going: one of these every 2 seconds.
pub const HEARTBEAT: u8 = b'.';
/// What asks the other end to write what it has and to end (End of Transmission).
pub const FINISH: u8 = 4;
