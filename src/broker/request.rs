//! The request for a tap: one message, from the program to itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::capture::{CaptureSettings, MAX_FILTER_LEN, MAX_SNAP_LEN};
use crate::container::endpoint::NamespaceRef;
use crate::link;

/// Longest message, in bytes.
pub(super) const MAX_TAP_REQUEST_LEN: usize = 32 * 1024;
/// `IFNAMSIZ` without the terminating zero (linux/if.h).
const MAX_INTERFACE_NAME_LEN: usize = 15;
/// The user's filter, and our exclusion.
const MAX_COMBINED_FILTER_LEN: usize = MAX_FILTER_LEN + 16 * 1024;
const MAX_TAP_INTERFACES: usize = 64;
/// The most that the command line accepts.
const MAX_RING_MIB: u32 = 2046;

/// Where to capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum TapLocation {
    /// At the host end of a veth pair, in this network namespace.
    HostVeth {
        /// Its name.
        name: String,
        /// Its index: a name may be reused.
        index: u32,
        /// Where its other end must be; `None` if the container is unknown yet, for a link created after the broker
        /// started.
        expected_holder: Option<NamespaceRef>,
    },
    /// Inside another network namespace.
    Inside {
        /// The process or file that holds the namespace.
        holder: NamespaceRef,
        /// The names of interfaces in it.
        interfaces: Vec<String>,
    },
}

/// What to capture, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapRequest {
    /// Where.
    pub place: TapLocation,
    /// In the syntax of pcap-filter(7), from the container's point of view.
    pub filter: Option<String>,
    /// Bytes kept of each packet.
    pub snap_length: u32,
    /// Size of the ring of each interface, in KiB.
    pub ring_kib: u32,
    /// Whether to put the host veth into promiscuous mode.
    pub promiscuous: bool,
}

impl TapRequest {
    /// With the settings of a capture, and a ring of `ring_kib` KiB.
    pub fn new(place: TapLocation, settings: &CaptureSettings, ring_kib: u32) -> Self {
        let &CaptureSettings { snap_length, promiscuous, .. } = settings;
        Self { place, filter: settings.combined_filter(), snap_length, ring_kib, promiscuous }
    }

    /// The settings of the capture.
    pub fn settings(&self) -> CaptureSettings {
        let Self { filter, snap_length, promiscuous, ring_kib, .. } = self.clone();
        CaptureSettings {
            filter,
            snap_length,
            promiscuous,
            ring_kib: Some(ring_kib),
            ..CaptureSettings::default()
        }
    }

    /// Parses a message.
    ///
    /// Fails, with the reason, for anything but packets of network interfaces.
    pub(crate) fn parse(message: &[u8]) -> Result<Self, String> {
        let request: Self = serde_json::from_slice(message).map_err(|error| error.to_string())?;
        let names: Vec<&String> = match &request.place {
            TapLocation::HostVeth { name, .. } => vec![name],
            TapLocation::Inside { interfaces, .. } => interfaces.iter().collect(),
        };
        let is_name = |name: &&String| {
            (1..=MAX_INTERFACE_NAME_LEN).contains(&name.len()) && !name.contains(['/', '\0', ' ', ':'])
        };
        if names.is_empty() || names.len() > MAX_TAP_INTERFACES || !names.iter().all(is_name) {
            return Err("invalid interface name".to_owned());
        }
        let holder = match &request.place {
            TapLocation::HostVeth { expected_holder, .. } => expected_holder.as_ref(),
            TapLocation::Inside { holder, .. } => Some(holder),
        };
        if let Some(NamespaceRef::File(file)) = holder
            && !(file.path.parent() == Some(Path::new(link::NETNS_DIR)) && file.path.file_name().is_some())
        {
            return Err("not a file of a network namespace".to_owned());
        }
        if request
            .filter
            .as_ref()
            .is_some_and(|text| text.len() > MAX_COMBINED_FILTER_LEN || text.contains('\0'))
        {
            return Err("invalid capture filter".to_owned());
        }
        let (snap_length, ring_kib) = (request.snap_length, request.ring_kib);
        if !(1..=MAX_SNAP_LEN).contains(&snap_length) || !(1..=MAX_RING_MIB * 1024).contains(&ring_kib) {
            return Err(format!("{snap_length} bytes of a packet, rings of {ring_kib} KiB"));
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::endpoint::{NamespaceFileRef, NamespaceProcessRef};

    fn veth(name: &str) -> TapRequest {
        let place = TapLocation::HostVeth { name: name.to_owned(), index: 7, expected_holder: None };
        TapRequest::new(place, &CaptureSettings::default(), 2)
    }

    fn read(request: &TapRequest) -> Result<TapRequest, String> {
        TapRequest::parse(&serde_json::to_vec(request).expect("JSON"))
    }

    #[test]
    fn a_request_is_parsed_as_it_was_written() {
        assert_eq!(read(&veth("veth01f0f9d")), Ok(veth("veth01f0f9d")));
    }

    #[test]
    fn other_requests_are_refused() {
        for name in ["", "../../etc", "any:thing", "longer-than-any-name", "a b"] {
            assert!(read(&veth(name)).is_err(), "{name}");
        }
        let inside = |holder, interfaces| {
            read(&TapRequest { place: TapLocation::Inside { holder, interfaces }, ..veth("x") })
        };
        let process = NamespaceRef::Process(NamespaceProcessRef { pid: 1, namespace: 1 });
        assert!(inside(process, Vec::new()).is_err());
        let file = |path: &str| {
            let file = NamespaceFileRef { path: path.into(), inode: 7 };
            inside(NamespaceRef::File(file), vec!["eth0".to_owned()])
        };
        assert!(file("/run/netns/blue").is_ok());
        for path in ["/dev/watchdog", "/run/netns/../../dev/watchdog", "/run/netns/..", "/run/netns", "blue"]
        {
            assert!(file(path).is_err(), "{path}");
        }
        assert!(read(&TapRequest { filter: Some("\0".to_owned()), ..veth("x") }).is_err());
        for message in ["", "{}", "[]", r#"{"place":{"File":"/etc/shadow"}}"#] {
            assert!(TapRequest::parse(message.as_bytes()).is_err(), "{message}");
        }
        let more = serde_json::to_string(&veth("x")).expect("JSON").replacen('{', r#"{"run":"sh","#, 1);
        assert!(TapRequest::parse(more.as_bytes()).is_err(), "{more}");
    }
}
