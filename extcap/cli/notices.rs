//! What goes on with another host, for people.

use std::io::{self, IsTerminal as _, Write as _};

use containerdump::ssh::{Host, Notice};

use crate::units::format_bytes;

/// Says it on standard error; on a terminal also how much of what is sent has come.
pub(super) fn tell(host: &Host, notice: &Notice) {
    let mut stderr = io::stderr();
    let live = stderr.is_terminal();
    let host = host.label();
    let _ = match notice {
        Notice::Line(sentence) => writeln!(stderr, "{host}: {sentence}"),
        Notice::Sending(come, all) if live => {
            let count = |count: usize| format_bytes(u64::try_from(count).unwrap_or(u64::MAX));
            write!(stderr, "\r{host}: sending containerdump there, {} of {}\x1b[K", count(*come), count(*all))
        }
        Notice::SendingEnded if live => write!(stderr, "\r\x1b[K"),
        Notice::Sending(..) | Notice::SendingEnded => Ok(()),
    };
}

/// Leaves it to the log: what Wireshark reads on standard error is a failure.
pub(super) fn log(host: &Host, notice: &Notice) {
    if let Notice::Line(sentence) = notice {
        log::info!("{}: {sentence}", host.label());
    }
}

/// Says nothing.
pub(super) fn say_nothing(_: &Host, _: &Notice) {}
