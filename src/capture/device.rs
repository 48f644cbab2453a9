//! What libpcap opens, and why it may not: it must be a network interface.
//!
//! libpcap looks at a name's begin before it looks for an interface of that name, and a container
//! may name an interface of its own as it likes: `usbmon1` must not become a look at the host's
//! USB.

use pcap::{Active, Capture};
use socket2::{Domain, SockRef};

use crate::error::Error;
use crate::link::Attachment;

/// How names begin by which libpcap means something else than an interface (libpcap 1.10,
/// pcap.c, `capture_source_types`).
const OTHER_SOURCES: [&str; 8] =
    ["bluetooth", "dbus-", "dag", "netmap:", "nflog", "nfqueue", "snf", "usbmon"];

/// Why an interface that is not up is not opened.
const DOWN: &str = "the interface is down";

/// Whether `why` tells that an interface is down.
pub fn is_down(why: &Error) -> bool {
    why.message().as_str().ends_with(DOWN)
}

/// Whether libpcap may take `name` for something else than the interface of that name.
pub(super) fn is_ambiguous(name: &str) -> bool {
    name == "any" || name.contains(':') || OTHER_SOURCES.iter().any(|begin| name.starts_with(begin))
}

/// Whether `handle` reads from a network interface: by a packet socket, and nothing else.
pub(super) fn is_interface(handle: &Capture<Active>) -> bool {
    SockRef::from(handle).domain().is_ok_and(|domain| domain == Domain::PACKET)
}

/// The name of an attachment's interface means something else to libpcap.
pub(super) fn no_interface(attachment: &Attachment) -> Error {
    Error::new(
        format!("cannot capture {}: libpcap takes that name for something else", attachment.name()),
        "choose other interfaces of the container: -i",
    )
    .with_wireshark_remedy("choose another network in the options of the interface")
}

/// Why an attachment cannot be opened, in words that help.
pub(super) fn cannot_open(attachment: &Attachment, error: &pcap::Error) -> Error {
    let text = match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    };
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
        return Error::new(what("the interface is gone"), "see that the container runs, then capture again");
    }
    if text.contains("not up") {
        return Error::new(what(DOWN), "bring it up (ip link set INTERFACE up), then capture again");
    }
    if text.contains("memory") {
        return Error::new(what(&text), "use a smaller kernel buffer: --buffer-size")
            .with_wireshark_remedy("use a smaller kernel buffer in the options of the interface");
    }
    Error::new(what(&text), "see that the container runs and its network is up, then capture again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_are_known() {
        for name in ["any", "usbmon1", "nflog", "nflog:5", "bluetooth0", "dbus-system", "rpcap:x"] {
            assert!(is_ambiguous(name), "{name}");
        }
        for name in ["eth0", "lo", "tap0", "br-5", "any0", "wg0"] {
            assert!(!is_ambiguous(name), "{name}");
        }
    }
}
