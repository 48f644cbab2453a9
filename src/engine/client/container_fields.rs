//! The fields that are read of a container in the engine's JSON, each up to a limit.
//!
//! Only those needed, so that no other field can make a container unreadable, and none takes memory without end.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::MapAccess;

use super::lenient::{AnyJson, JsonText, JsonTexts, Lenient, LenientObject, lenient, skip_entries};
use crate::container::ContainerId;
use crate::engine::labels;
use crate::safe_text::SafeText;

/// Compose's label for the project of a container.
const PROJECT_LABEL: &str = "com.docker.compose.project";
/// Compose's label for the service of a container.
const SERVICE_LABEL: &str = "com.docker.compose.service";
/// Aliases read per container and network, and names per container.
const MAX_ALIASES: usize = 16;
/// Networks read per container.
pub(super) const MAX_NETWORKS: usize = 256;
/// Bytes read of a name: more than its characters that are kept.
const MAX_TEXT_LEN: usize = 4096;
/// Bytes read of an id, an address, a time or a word.
const MAX_WORD_LEN: usize = 128;

/// Total size of the labels kept of one container, keys and values: far more than users, images and compose write.
pub(super) const MAX_LABEL_BYTES: usize = 16 * 1024;

pub(super) type JsonName = JsonText<MAX_TEXT_LEN>;
pub(super) type JsonWord = JsonText<MAX_WORD_LEN>;

/// An element of `/containers/json`, or the answer to `/containers/ID/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct ContainerJson {
    #[serde(deserialize_with = "lenient")]
    pub(super) id: JsonWord,
    #[serde(deserialize_with = "lenient")]
    pub(super) names: JsonTexts<MAX_TEXT_LEN, MAX_ALIASES>,
    #[serde(deserialize_with = "lenient")]
    pub(super) image: JsonName,
    #[serde(deserialize_with = "lenient")]
    pub(super) created: i64,
    #[serde(deserialize_with = "lenient")]
    pub(super) labels: LabelsJson,
    #[serde(deserialize_with = "lenient")]
    pub(super) host_config: HostConfigJson,
    #[serde(deserialize_with = "lenient")]
    pub(super) network_settings: NetworkSettingsJson,
    /// In a list, a word.
    #[serde(deserialize_with = "lenient")]
    pub(super) state: StateJson,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct HostConfigJson {
    /// `None` where the answer omits it.
    #[serde(deserialize_with = "lenient")]
    pub(super) network_mode: Option<JsonWord>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NetworkSettingsJson {
    #[serde(deserialize_with = "lenient")]
    pub(super) networks: NetworksJson,
}

/// The first networks by name.
#[derive(Debug, Default)]
pub(super) struct NetworksJson(pub(super) BTreeMap<JsonName, NetworkJson>);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NetworkJson {
    #[serde(rename = "NetworkID", deserialize_with = "lenient")]
    pub(super) id: JsonWord,
    #[serde(rename = "IPAddress", deserialize_with = "lenient")]
    pub(super) ipv4_address: JsonWord,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "lenient")]
    pub(super) ipv6_address: JsonWord,
    #[serde(deserialize_with = "lenient")]
    pub(super) mac_address: JsonWord,
    #[serde(rename = "Gateway", deserialize_with = "lenient")]
    pub(super) ipv4_gateway: JsonWord,
    #[serde(rename = "IPv6Gateway", deserialize_with = "lenient")]
    pub(super) ipv6_gateway: JsonWord,
    #[serde(deserialize_with = "lenient")]
    pub(super) aliases: JsonTexts<MAX_TEXT_LEN, MAX_ALIASES>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct StateJson {
    #[serde(deserialize_with = "lenient")]
    pub(super) pid: i64,
    #[serde(deserialize_with = "lenient")]
    pub(super) started_at: JsonWord,
    #[serde(deserialize_with = "lenient")]
    pub(super) restarting: bool,
    #[serde(deserialize_with = "lenient")]
    pub(super) status: JsonWord,
}

/// The labels up to the size limit, and those with a meaning.
#[derive(Debug, Default)]
pub(super) struct LabelsJson {
    pub(super) kept: BTreeMap<String, String>,
    pub(super) project: SafeText,
    pub(super) service: SafeText,
    pub(super) is_tap: bool,
    pub(super) target: Option<ContainerId>,
}

impl LenientObject for HostConfigJson {}
impl LenientObject for NetworkSettingsJson {}
impl LenientObject for NetworkJson {}
impl LenientObject for StateJson {}

impl Lenient for Option<JsonWord> {
    fn from_text(text: &str) -> Self {
        Some(JsonWord::from_text(text))
    }
}

impl Lenient for NetworksJson {
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut networks = BTreeMap::new();
        for _ in 0..MAX_NETWORKS {
            let Some((AnyJson(name), AnyJson(network))) = object.next_entry()? else {
                return Ok(Self(networks));
            };
            networks.insert(name, network);
        }
        skip_entries(object).map(|()| Self(networks))
    }
}

impl Lenient for LabelsJson {
    /// A label that does not fit is skipped, not cut: it must not match another.
    fn from_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let (mut labels, mut left) = (Self::default(), MAX_LABEL_BYTES);
        while let Some((AnyJson(key), AnyJson(value))) =
            object.next_entry::<AnyJson<LabelText>, AnyJson<LabelText>>()?
        {
            let LabelText { text, is_whole: true } = key else { continue };
            labels.is_tap |= text == labels::TAP;
            let LabelText { text: value, is_whole } = value;
            match text.as_str() {
                PROJECT_LABEL => labels.project = SafeText::from_name(&value),
                SERVICE_LABEL => labels.service = SafeText::from_name(&value),
                labels::TARGET => labels.target = ContainerId::parse(&value),
                _ => {}
            }
            if let Some(rest) = left.checked_sub(text.len() + value.len()).filter(|_| is_whole) {
                left = rest;
                labels.kept.insert(text, value);
            }
        }
        Ok(labels)
    }
}

/// The key or value of a label.
#[derive(Default)]
struct LabelText {
    text: String,
    /// Whether it is a text, and this is all of it.
    is_whole: bool,
}

impl Lenient for LabelText {
    fn from_text(text: &str) -> Self {
        Self {
            text: text[..text.floor_char_boundary(MAX_LABEL_BYTES)].to_owned(),
            is_whole: text.len() <= MAX_LABEL_BYTES,
        }
    }
}
