//! Messages about the connection to a host.

use std::io::{self, IsTerminal as _, Write as _};

use containerdump::ssh::{ConnectionEvent, Host};

use crate::units::format_bytes;

/// Shows it on standard error; the progress of an upload on a terminal only.
pub(super) fn show(host: &Host, event: &ConnectionEvent) {
    let mut stderr = io::stderr();
    let live = stderr.is_terminal();
    let host = host.label();
    let _ = match event {
        ConnectionEvent::Message(message) => writeln!(stderr, "{host}: {message}"),
        ConnectionEvent::UploadProgress { received, total } if live => {
            let count = |count: usize| format_bytes(u64::try_from(count).unwrap_or(u64::MAX));
            let (received, total) = (count(*received), count(*total));
            write!(stderr, "\r{host}: uploading containerdump, {received} of {total}\x1b[K")
        }
        ConnectionEvent::UploadEnded if live => write!(stderr, "\r\x1b[K"),
        ConnectionEvent::UploadProgress { .. } | ConnectionEvent::UploadEnded => Ok(()),
    };
}

/// Writes it to the log: Wireshark shows standard error as a failure.
pub(super) fn log(host: &Host, event: &ConnectionEvent) {
    if let ConnectionEvent::Message(message) = event {
        log::info!("{}: {message}", host.label());
    }
}

pub(super) fn ignore(_: &Host, _: &ConnectionEvent) {}
