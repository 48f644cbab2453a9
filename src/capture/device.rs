//! Restricts libpcap to network interfaces, and explains its errors.
//!
//! libpcap interprets prefixes of names, and a container names its interfaces as it likes: `usbmon1` must not capture the
//! host's USB.

use std::io;

use nix::libc::{EAFNOSUPPORT, EINVAL, ENOPROTOOPT, EOPNOTSUPP};
use pcap::{Active, Capture};
use socket2::{Domain, SockRef};

use crate::error::Error;
use crate::link::Attachment;

/// Prefixes of names that are not interfaces (libpcap 1.10, pcap.c, `capture_source_types`).
const OTHER_SOURCES: [&str; 8] =
    ["bluetooth", "dbus-", "dag", "netmap:", "nflog", "nfqueue", "snf", "usbmon"];

const DOWN: &str = "the interface is down";

/// Whether the error is that an interface is down.
pub fn is_down(error: &Error) -> bool {
    error.message().as_str().ends_with(DOWN)
}

/// Whether libpcap may interpret `name` as something other than an interface.
pub(super) fn is_ambiguous(name: &str) -> bool {
    name == "any" || name.contains(':') || OTHER_SOURCES.iter().any(|begin| name.starts_with(begin))
}

/// Whether `handle` is a packet socket, and therefore a network interface.
pub(super) fn is_interface(handle: &Capture<Active>) -> bool {
    SockRef::from(handle).domain().is_ok_and(|domain| domain == Domain::PACKET)
}

/// The error for an ambiguous interface name.
pub(super) fn not_an_interface(attachment: &Attachment) -> Error {
    Error::new(
        format!("cannot capture {}: libpcap uses that name for something else", attachment.name()),
        "choose other interfaces of the container: -i",
    )
    .with_wireshark_remedy("choose another network in the options of the interface")
}

/// The error for an attachment that cannot be opened.
pub(super) fn cannot_open(attachment: &Attachment, text: &str) -> Error {
    let what = |why: &str| format!("cannot capture {} on {}: {why}", attachment.name(), attachment.tap);
    // libpcap's errors are text only.
    if text.contains("ermission") || text.contains("not permitted") {
        return Error::new(
            what("no permission to capture"),
            "install it with the right to (make install), become a member of the group wireshark, or run \
             as root; containerdump doctor says which is missing",
        );
    }
    if text.contains("No such device") {
        return Error::new(
            what("the interface is gone"),
            "check that the container is running, then capture again",
        );
    }
    if text.contains("not up") {
        return Error::new(what(DOWN), "bring it up (ip link set INTERFACE up), then capture again");
    }
    if text.contains("memory") {
        return Error::new(what(text), "use a smaller kernel buffer: --buffer-size")
            .with_wireshark_remedy("use a smaller kernel buffer in the options of the interface");
    }
    Error::new(what(text), "check that the container is running and its network is up, then capture again")
}

/// The error for a ring that cannot be created.
pub(super) fn cannot_create_ring(attachment: &Attachment, error: &io::Error) -> Error {
    if matches!(error.raw_os_error(), Some(EINVAL | ENOPROTOOPT | EAFNOSUPPORT | EOPNOTSUPP)) {
        return Error::new(
            format!(
                "cannot capture {}: this kernel has no packet rings (TPACKET_V3): {error}",
                attachment.name()
            ),
            "capture on the host: inside a sandbox such as gVisor's there are none",
        );
    }
    cannot_open(attachment, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_names_are_recognized() {
        for name in ["any", "usbmon1", "nflog", "nflog:5", "bluetooth0", "dbus-system", "rpcap:x"] {
            assert!(is_ambiguous(name), "{name}");
        }
        for name in ["eth0", "lo", "tap0", "br-5", "any0", "wg0"] {
            assert!(!is_ambiguous(name), "{name}");
        }
    }
}
