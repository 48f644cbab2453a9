//! Changes of a session while it runs: members, names, filter and pauses.

mod changes;
mod commands;
mod filtering;
mod pauses;

pub use changes::{ChangeReceiver, ChangeSender, SessionChange, SessionEnded, change_channel};
pub use commands::{CaptureCommand, CommandReceiver, CommandSender, command_channel};
pub(super) use filtering::FilterControl;
pub use filtering::FilterOutcome;
pub(super) use pauses::Pauses;
