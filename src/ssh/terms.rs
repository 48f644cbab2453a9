//! What a connection may do, and whom it tells.

use super::{Asking, Host};

/// The terms of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether our program may be sent to a host that has none.
    pub may_send: bool,
    /// Who may be asked for what connecting needs.
    pub asking: Asking,
    /// Is told, on whichever thread, what goes on.
    pub tell: fn(&Host, &Notice),
}

/// What goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Our program is on its way: bytes that have come there, of how many.
    Sending(usize, usize),
    /// It is no longer.
    SendingEnded,
    /// A sentence for people, without the host's name.
    Line(String),
}

impl Default for Terms {
    fn default() -> Self {
        Self { may_send: true, asking: Asking::default(), tell: |_, _| {} }
    }
}
