//! How packets are taken.

use super::with_exclusion;

/// Longest packet kept, in bytes; libpcap's own maximum, `MAXIMUM_SNAPLEN`.
pub const MAX_SNAP_LEN: u32 = 262_144;

/// How packets are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSettings {
    /// In the language of pcap-filter(7); `inbound` and `outbound` as the container sees them.
    pub filter: Option<String>,
    /// A further one in the same language, which the stream does not tell of: the program's own traffic.
    pub exclusion: Option<String>,
    /// One more for the networks of hosts whose engines `ssh` leads to: the connections that carry packets to us.
    pub remote_exclusion: Option<String>,
    /// Bytes kept of each packet.
    pub snap_length: u32,
    /// Size of both rings of an attachment together, in MiB; an equal part of [`ALL_RINGS_MIB`](super::ALL_RINGS_MIB)
    /// where nothing is asked for (see [`RingBudget`](super::RingBudget) for those that come later).
    pub ring_mib: Option<u32>,
    /// Whether to ask for packets that are not meant for the interface.
    pub promiscuous: bool,
}

impl Default for CaptureSettings {
    fn default() -> Self {
        Self {
            filter: None,
            exclusion: None,
            remote_exclusion: None,
            snap_length: MAX_SNAP_LEN,
            ring_mib: None,
            promiscuous: true,
        }
    }
}

impl CaptureSettings {
    /// What a packet must pass to be taken. What is left out comes first: words such as `vlan` change the
    /// meaning of all that follows.
    pub fn combined_filter(&self) -> Option<String> {
        with_exclusion(self.exclusion.as_deref(), self.filter.as_deref())
    }
}
