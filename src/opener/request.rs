//! What the opener is asked for: one message, of the program to itself.

use serde::{Deserialize, Serialize};

use crate::capture::Settings;
use crate::endpoint::SeenProcess;

/// Bytes of a message.
pub(super) const MOST: usize = 32 * 1024;
/// The kernel's names are shorter (`IFNAMSIZ`, linux/if.h).
const LONGEST_NAME: usize = 15;
/// 4000 characters of the user's, and what is left out.
const LONGEST_FILTER: usize = 6000;
const MOST_INTERFACES: usize = 64;

/// Where packets shall be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Place {
    /// At the end of a cable in this network namespace.
    HostVeth {
        /// In the kernel's spelling.
        name: String,
        /// Its index: the name may be used again for another.
        index: u32,
        /// Where its other end must be; `None` where the container is not known yet.
        leads_to: Option<SeenProcess>,
    },
    /// Inside another network namespace.
    Inside {
        /// A process in it.
        process: SeenProcess,
        /// The interfaces there, in the kernel's spelling.
        interfaces: Vec<String>,
    },
}

/// What to capture, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Where.
    pub place: Place,
    /// In the language of pcap-filter(7), seen from the container.
    pub filter: Option<String>,
    /// Bytes kept of each packet.
    pub snap_length: u32,
    /// Size of the rings of each interface, in MiB.
    pub ring_mib: u32,
    /// Whether to ask for packets that are not meant for the interface.
    pub promiscuous: bool,
}

impl Request {
    /// The same settings as those of a capture, with rings of `ring_mib` MiB.
    pub fn new(place: Place, settings: &Settings, ring_mib: u32) -> Self {
        let &Settings { snap_length, promiscuous, .. } = settings;
        Self { place, filter: settings.whole_filter(), snap_length, ring_mib, promiscuous }
    }

    /// Reads a message.
    ///
    /// Fails, with the reason, when it asks for anything but packets of network interfaces.
    pub(super) fn parse(message: &[u8]) -> Result<Self, String> {
        let request: Self = serde_json::from_slice(message).map_err(|error| error.to_string())?;
        let names: Vec<&String> = match &request.place {
            Place::HostVeth { name, .. } => vec![name],
            Place::Inside { interfaces, .. } => interfaces.iter().collect(),
        };
        let is_name = |name: &&String| {
            (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(['/', '\0', ' ', ':'])
        };
        if names.is_empty() || names.len() > MOST_INTERFACES || !names.iter().all(is_name) {
            return Err("no name of an interface".to_owned());
        }
        if request.filter.as_ref().is_some_and(|text| text.len() > LONGEST_FILTER || text.contains('\0')) {
            return Err("no capture filter".to_owned());
        }
        Ok(request)
    }

    /// The arguments of the program that does it.
    pub(super) fn arguments(&self) -> Vec<String> {
        let place = serde_json::to_string(&self.place).unwrap_or_default();
        let mut arguments = vec!["tap".to_owned(), format!("--place={place}")];
        arguments.push(format!("--snap-length={}", self.snap_length));
        arguments.push(format!("--ring-size={}", self.ring_mib));
        arguments.extend(self.filter.iter().map(|filter| format!("--filter={filter}")));
        if self.promiscuous {
            arguments.push("--promiscuous".to_owned());
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth(name: &str) -> Request {
        let place = Place::HostVeth { name: name.to_owned(), index: 7, leads_to: None };
        Request::new(place, &Settings::default(), 2)
    }

    fn read(request: &Request) -> Result<Request, String> {
        Request::parse(&serde_json::to_vec(request).expect("JSON"))
    }

    #[test]
    fn a_request_is_read_as_it_was_made() {
        assert_eq!(read(&veth("veth01f0f9d")), Ok(veth("veth01f0f9d")));
    }

    #[test]
    fn anything_else_is_no_request() {
        for name in ["", "../../etc", "any:thing", "longer-than-any-name", "a b"] {
            assert!(read(&veth(name)).is_err(), "{name}");
        }
        let inside = Place::Inside { process: SeenProcess { pid: 1, namespace: 1 }, interfaces: Vec::new() };
        assert!(read(&Request { place: inside, ..veth("x") }).is_err());
        assert!(read(&Request { filter: Some("\0".to_owned()), ..veth("x") }).is_err());
        for message in ["", "{}", "[]", r#"{"place":{"File":"/etc/shadow"}}"#] {
            assert!(Request::parse(message.as_bytes()).is_err(), "{message}");
        }
        let more = serde_json::to_string(&veth("x")).expect("JSON").replacen('{', r#"{"run":"sh","#, 1);
        assert!(Request::parse(more.as_bytes()).is_err(), "{more}");
    }
}
