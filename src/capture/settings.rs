//! The settings of a capture.

use super::with_exclusion;

/// Largest snap length, in bytes: libpcap's `MAXIMUM_SNAPLEN`.
pub const MAX_SNAP_LEN: u32 = 262_144;

/// The settings of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSettings {
    /// In the syntax of pcap-filter(7), with directions from the container's point of view.
    pub filter: Option<String>,
    /// A further filter that is not part of the interface description: excludes the program's own traffic.
    pub exclusion: Option<String>,
    /// The same for remote engines: excludes the connections that carry packets to this host.
    pub remote_exclusion: Option<String>,
    /// Bytes kept of each packet.
    pub snap_length: u32,
    /// Size of the ring of an attachment, in KiB; by default a [`RingBudget`](super::RingBudget) decides.
    pub ring_kib: Option<u32>,
    /// Whether to put host veths into promiscuous mode.
    pub promiscuous: bool,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self {
            filter: None,
            exclusion: None,
            remote_exclusion: None,
            snap_length: MAX_SNAP_LEN,
            ring_kib: None,
            promiscuous: true,
        }
    }
}

impl CaptureSettings {
    /// Exclusion and filter combined. The exclusion comes first: keywords such as `vlan` shift offsets of what follows.
    pub fn combined_filter(&self) -> Option<String> {
        with_exclusion(self.exclusion.as_deref(), self.filter.as_deref())
    }
}
