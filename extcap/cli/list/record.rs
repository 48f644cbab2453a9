//! A container as the list tells of it: docs/list-json.md. What another host tells is read into the same, and
//! nothing of it is shown that is not.

use std::net::IpAddr;

use containerdump::container::endpoint::{Endpoint, NamespaceInfo};
use containerdump::container::{self, Container, ContainerId, EngineKind, NetworkMode};
use containerdump::error::Error;
use containerdump::link;
use containerdump::safe_text::{MAX_NAME_LEN, SafeText};
use containerdump::tap::{self, TapKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AttachmentTaps, ContainerTaps};

/// Of things that a container has several of, those that another host may tell.
const MOST: usize = 1000;
/// Networks of a container that Wireshark may show.
const MOST_NETWORKS: usize = 8;
/// The longest interface value: two short ids beside the longest name (see `containerdump::container`).
const LONGEST_VALUE: usize = 170;

/// Foreign text of at most so many characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BoundedText<const LONGEST: usize>(SafeText);

/// What something is selected by, and what is only shown.
type Name = BoundedText<MAX_NAME_LEN>;
type Word = BoundedText<80>;
/// An interface value, an id.
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
    pub(super) trouble: Option<ErrorRecord>,
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
    lack: Option<UnavailableRecord>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UnavailableRecord {
    why: Sentence,
    remedy: Sentence,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ErrorRecord {
    what: Sentence,
    remedy: Sentence,
}

impl ContainerRecord {
    /// Reads what `host` told of a container.
    ///
    /// Fails when it is something else.
    pub(super) fn of_host(host: &SafeText, line: &str) -> Result<Self, String> {
        let mut listed: Self = serde_json::from_str(line).map_err(|error| error.to_string())?;
        listed.host = BoundedText(host.clone());
        listed.addresses.truncate(MOST);
        listed.networks.truncate(MOST);
        listed.networks.iter_mut().for_each(|network| network.addresses.truncate(MOST));
        listed.attachments.truncate(MOST);
        listed.attachments.iter_mut().for_each(|attachment| attachment.taps.truncate(MOST));
        Ok(listed)
    }

    /// It without all that the list of Wireshark does not need.
    pub(super) fn bare(mut self) -> Self {
        self.attachments.clear();
        self.addresses.clear();
        self.networks.truncate(MOST_NETWORKS);
        for network in &mut self.networks {
            *network = NetworkRecord { name: network.name.clone(), ..NetworkRecord::default() };
        }
        Self { trouble: None, ..self }
    }

    /// It as a container, for lists of Wireshark's; `None` where it could not be one.
    pub(super) fn container(&self) -> Option<Container> {
        let kinds = [EngineKind::Docker, EngineKind::Podman, EngineKind::Kernel];
        let engine = kinds.into_iter().find(|kind| kind.as_str() == self.engine.as_str())?;
        let value = self.interface.as_str();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let rest = value.strip_prefix(engine.as_str())?.strip_prefix('-')?;
        if rest.is_empty() || value.len() > LONGEST_VALUE || !rest.bytes().all(allowed) {
            return None;
        }
        let inode = || self.id.as_str().parse().ok().map(ContainerId::from_namespace_inode);
        let id = ContainerId::parse(self.id.as_str()).or_else(inode)?;
        // Nobody here is to ask its engine.
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

    /// It as a JSON object, on one line.
    pub(super) fn line(&self) -> String {
        // Sorted by name, as objects of `Value` are.
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
                NetworkMode::Own => "own",
                NetworkMode::Host => "host",
                NetworkMode::None => "none",
                NetworkMode::Shared(_) => "shared",
            }),
            addresses: container.addresses().copied().collect(),
            networks: networks.collect(),
            attachments: found.passes.iter().map(AttachmentRecord::from).collect(),
            trouble: found.trouble.as_ref().map(ErrorRecord::from),
        }
    }
}

impl From<&AttachmentTaps> for AttachmentRecord {
    fn from(passes: &AttachmentTaps) -> Self {
        let attachment = &passes.attachment;
        let (veth, index) = match &attachment.tap {
            link::Tap::HostVeth { name, index } => (Some(text(name)), Some(index.0)),
            link::Tap::Host { index, .. } => (None, Some(index.0)),
            link::Tap::Inside { .. } | link::Tap::ThroughEngine { .. } => (None, None),
        };
        Self {
            interface: text(attachment.interface.as_str()),
            network: text(attachment.network.as_str()),
            tap: passes.best().map(|offer| text(TapKind::from_tap(&offer.tap).as_str())),
            taps: passes.offers.iter().map(TapRecord::from).collect(),
            host_veth: veth,
            host_index: index,
            default: passes.is_default,
        }
    }
}

impl From<&tap::TapCandidate> for TapRecord {
    fn from(offer: &tap::TapCandidate) -> Self {
        let lack = offer.unavailable.as_ref().map(|lack| UnavailableRecord {
            why: BoundedText(lack.reason.clone()),
            remedy: BoundedText(lack.remedy.clone()),
        });
        Self { tap: text(TapKind::from_tap(&offer.tap).as_str()), lack }
    }
}

impl From<&Error> for ErrorRecord {
    fn from(trouble: &Error) -> Self {
        Self { what: BoundedText(trouble.message().clone()), remedy: BoundedText(trouble.remedy().clone()) }
    }
}

impl std::fmt::Display for ErrorRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Error::new(self.what.as_str(), self.remedy.as_str()).fmt(formatter)
    }
}

fn text<const LONGEST: usize>(text: &str) -> BoundedText<LONGEST> {
    BoundedText(SafeText::with_limit(text, LONGEST))
}

impl<const LONGEST: usize> BoundedText<LONGEST> {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<const LONGEST: usize> Serialize for BoundedText<LONGEST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const LONGEST: usize> Deserialize<'de> for BoundedText<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SafeText::with_limit(&text, LONGEST)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"addresses":["172.19.0.3"],"attachments":[{"default":true,"host_index":8,
        "host_veth":"veth1","interface":"eth0","network":"back","tap":"host","taps":[]}],"created":1,
        "engine":"docker","host":"","id":"ba","image":"a\u001b]0;x\u0007","interface":"docker-web","name":"NAME",
        "network_mode":"own","networks":[],"project":null,"trouble":null}"#;

    #[test]
    fn what_another_host_tells_is_made_harmless_and_bounded() {
        let line = LINE.replace("NAME", &"x".repeat(5000));
        let listed = ContainerRecord::of_host(&SafeText::new("build1"), &line).expect("a container");
        assert_eq!((listed.host.as_str(), listed.name.as_str().chars().count()), ("build1", MAX_NAME_LEN));
        assert_eq!(listed.image.as_str(), "a\u{FFFD}]0;x\u{FFFD}");
        assert!(listed.line().starts_with(r#"{"addresses":["172.19.0.3"],"attachments":[{"default":true,"#));
    }

    #[test]
    fn what_is_no_container_is_refused() {
        for wrong in ["", "[]", "{}", "null", &LINE.replace("172.19.0.3", "x"), &LINE.replace("true", "1")] {
            assert!(ContainerRecord::of_host(&SafeText::new("build1"), wrong).is_err(), "{wrong}");
        }
    }
}
