//! A container in the JSON list: docs/list-json.md. The list of another host is read into the same fields, and other
//! fields are dropped.

use std::net::IpAddr;

use containerdump::container::endpoint::{Endpoint, NamespaceInfo};
use containerdump::container::{self, Container, ContainerId, EngineKind, NetworkMode};
use containerdump::error::{Error, with_quoted_remedy};
use containerdump::link;
use containerdump::safe_text::{MAX_NAME_LEN, SafeText};
use containerdump::tap::{TapCandidate, TapKind, Unavailable};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AttachmentTaps, ContainerTaps};

/// Entries of a list in the record of another host.
const MAX_ENTRIES: usize = 1000;
/// Networks of a container in Wireshark's list.
const MAX_LISTED_NETWORKS: usize = 8;
/// Bytes of an interface value: two short ids beside the longest name (see `containerdump::container`).
const MAX_FIELD_LEN: usize = 170;

/// Foreign text of at most so many characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BoundedText<const MAX_LEN: usize>(SafeText);

/// A name that containers or networks are selected by.
type Name = BoundedText<MAX_NAME_LEN>;
/// Text that is only shown.
type Word = BoundedText<80>;
/// An interface value, or an id.
type Value = BoundedText<200>;
type Sentence = BoundedText<400>;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ContainerRecord {
    #[serde(default)]
    pub(super) host: Word,
    interface: Value,
    pub(super) engine: Word,
    id: Value,
    pub(super) name: Name,
    pub(super) image: BoundedText<255>,
    created: i64,
    project: Option<Name>,
    network_mode: Word,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) networks: Vec<NetworkRecord>,
    pub(super) attachments: Vec<AttachmentRecord>,
    pub(super) error: Option<ErrorRecord>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct NetworkRecord {
    pub(super) name: Name,
    id: Value,
    addresses: Vec<IpAddr>,
    mac: Word,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AttachmentRecord {
    pub(super) interface: Word,
    pub(super) network: Name,
    pub(super) tap: Option<Word>,
    taps: Vec<TapRecord>,
    pub(super) host_veth: Option<Word>,
    host_index: Option<u32>,
    pub(super) default: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct TapRecord {
    tap: Word,
    unavailable: Option<UnavailableRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UnavailableRecord {
    reason: Sentence,
    remedy: Sentence,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ErrorRecord {
    message: Sentence,
    remedy: Sentence,
}

impl ContainerRecord {
    /// Reads a line of the list of `host`.
    ///
    /// Fails with the reason why it is not a container.
    pub(super) fn parse(host: &SafeText, line: &str) -> Result<Self, String> {
        let mut record: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        record.host = BoundedText(host.clone());
        record.addresses.truncate(MAX_ENTRIES);
        record.networks.truncate(MAX_ENTRIES);
        record.networks.iter_mut().for_each(|network| network.addresses.truncate(MAX_ENTRIES));
        record.attachments.truncate(MAX_ENTRIES);
        record.attachments.iter_mut().for_each(|attachment| attachment.taps.truncate(MAX_ENTRIES));
        Ok(record)
    }

    /// The record without what Wireshark's list does not show.
    pub(super) fn without_details(mut self) -> Self {
        self.attachments.clear();
        self.addresses.clear();
        self.networks.truncate(MAX_LISTED_NETWORKS);
        for network in &mut self.networks {
            *network = NetworkRecord { name: network.name.clone(), ..NetworkRecord::default() };
        }
        Self { error: None, ..self }
    }

    /// The container for Wireshark's list; `None` where a field cannot be that of a container.
    pub(super) fn container(&self) -> Option<Container> {
        let kinds = [EngineKind::Docker, EngineKind::Podman, EngineKind::Kernel];
        let engine = kinds.into_iter().find(|kind| kind.as_str() == self.engine.as_str())?;
        let value = self.interface.as_str();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let rest = value.strip_prefix(engine.as_str())?.strip_prefix('-')?;
        if rest.is_empty() || value.len() > MAX_FIELD_LEN || !rest.bytes().all(allowed) {
            return None;
        }
        let inode = || self.id.as_str().parse().ok().map(ContainerId::from_namespace_inode);
        let id = ContainerId::parse(self.id.as_str()).or_else(inode)?;
        // Its engine cannot be queried from this host.
        let endpoint = Endpoint::Kernel(NamespaceInfo::default());
        let networks = self.networks.iter().map(|network| container::Network {
            name: network.name.0.clone(),
            id: String::new(),
            addresses: Vec::new(),
            mac: SafeText::default(),
            gateways: Vec::new(),
            aliases: Vec::new(),
        });
        Some(Container {
            image: self.image.0.clone(),
            created: self.created,
            project: self.project.as_ref().map(|project| project.0.clone()),
            network_mode: match self.network_mode.as_str() {
                "host" => NetworkMode::Host,
                "none" => NetworkMode::None,
                "shared" => NetworkMode::Shared(None),
                _ => NetworkMode::Own,
            },
            networks: networks.collect(),
            value: value.to_owned(),
            ..Container::new(engine, endpoint, id, self.name.0.clone())
        })
    }

    /// The record as a JSON object on a line, its fields sorted by name.
    pub(super) fn to_line(&self) -> String {
        serde_json::to_value(self).map(|object| object.to_string() + "\n").unwrap_or_default()
    }
}

impl From<&ContainerTaps> for ContainerRecord {
    fn from(found: &ContainerTaps) -> Self {
        let container = &found.container;
        let networks = container.networks.iter().map(|network| NetworkRecord {
            name: text(network.name.as_str()),
            id: text(&network.id),
            addresses: network.addresses.clone(),
            mac: text(network.mac.as_str()),
        });
        Self {
            host: Word::default(),
            interface: text(&container.value),
            engine: text(container.engine.as_str()),
            id: text(container.id.as_str()),
            name: text(container.name.as_str()),
            image: text(container.image.as_str()),
            created: container.created,
            project: container.project.as_ref().map(|project| text(project.as_str())),
            network_mode: text(match container.network_mode {
                NetworkMode::Own | NetworkMode::Unknown => "own",
                NetworkMode::Host => "host",
                NetworkMode::None => "none",
                NetworkMode::Shared(_) => "shared",
            }),
            addresses: container.addresses().copied().collect(),
            networks: networks.collect(),
            attachments: found.attachments.iter().map(AttachmentRecord::from).collect(),
            error: found.error.as_ref().map(ErrorRecord::from),
        }
    }
}

impl From<&AttachmentTaps> for AttachmentRecord {
    fn from(taps: &AttachmentTaps) -> Self {
        let attachment = &taps.attachment;
        let (veth, index) = match &attachment.tap {
            link::Tap::HostVeth { name, index } => (Some(text(name)), Some(index.0)),
            link::Tap::Host { index, .. } => (None, Some(index.0)),
            link::Tap::Inside { .. } | link::Tap::ThroughEngine { .. } => (None, None),
        };
        Self {
            interface: text(attachment.interface.as_str()),
            network: text(attachment.network.as_str()),
            tap: taps.best().map(|candidate| text(TapKind::from_tap(&candidate.tap).as_str())),
            taps: taps.candidates.iter().map(TapRecord::from).collect(),
            host_veth: veth,
            host_index: index,
            default: taps.is_default,
        }
    }
}

impl From<&TapCandidate> for TapRecord {
    fn from(candidate: &TapCandidate) -> Self {
        let unavailable = candidate.unavailable.as_ref().map(UnavailableRecord::from);
        Self { tap: text(TapKind::from_tap(&candidate.tap).as_str()), unavailable }
    }
}

impl From<&Unavailable> for UnavailableRecord {
    fn from(unavailable: &Unavailable) -> Self {
        let Unavailable { reason, remedy } = unavailable;
        Self { reason: BoundedText(reason.clone()), remedy: BoundedText(remedy.clone()) }
    }
}

impl From<&Error> for ErrorRecord {
    fn from(error: &Error) -> Self {
        Self { message: BoundedText(error.message().clone()), remedy: BoundedText(error.remedy().clone()) }
    }
}

impl ErrorRecord {
    /// The error as users read it; `is_remote` if another host reported it.
    pub(super) fn to_text(&self, is_remote: bool) -> String {
        let (message, remedy) = (self.message.as_str(), self.remedy.as_str());
        if is_remote {
            format!("{}.", with_quoted_remedy(message, remedy))
        } else {
            Error::new(message, remedy).to_string()
        }
    }
}

fn text<const MAX_LEN: usize>(text: &str) -> BoundedText<MAX_LEN> {
    BoundedText(SafeText::with_limit(text, MAX_LEN))
}

impl<const MAX_LEN: usize> BoundedText<MAX_LEN> {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<const MAX_LEN: usize> std::fmt::Display for BoundedText<MAX_LEN> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<const MAX_LEN: usize> Serialize for BoundedText<MAX_LEN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const MAX_LEN: usize> Deserialize<'de> for BoundedText<MAX_LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SafeText::with_limit(&text, MAX_LEN)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"addresses":["172.19.0.3"],"attachments":[{"default":true,"host_index":8,
        "host_veth":"veth1","interface":"eth0","network":"back","tap":"host","taps":[]}],"created":1,
        "engine":"docker","error":null,"host":"","id":"ba","image":"a\u001b]0;x\u0007","interface":"docker-web",
        "name":"NAME","network_mode":"own","networks":[],"project":null}"#;

    #[test]
    fn the_list_of_another_host_is_bounded_and_safe_to_show() {
        let line = LINE.replace("NAME", &"x".repeat(5000));
        let record = ContainerRecord::parse(&SafeText::new("build1"), &line).expect("a container");
        assert_eq!((record.host.as_str(), record.name.as_str().chars().count()), ("build1", MAX_NAME_LEN));
        assert_eq!(record.image.as_str(), "a\u{FFFD}]0;x\u{FFFD}");
        assert!(
            record.to_line().starts_with(r#"{"addresses":["172.19.0.3"],"attachments":[{"default":true,"#)
        );
    }

    #[test]
    fn a_line_that_is_not_a_container_is_refused() {
        for wrong in ["", "[]", "{}", "null", &LINE.replace("172.19.0.3", "x"), &LINE.replace("true", "1")] {
            assert!(ContainerRecord::parse(&SafeText::new("build1"), wrong).is_err(), "{wrong}");
        }
    }
}
