//! A container in the engine's JSON, read field by field.
//!
//! Engines differ in the fields they omit and in their names of states. Only the fields needed are read, so that no
//! other field can make a container unreadable.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::container::endpoint::Endpoint;
use crate::container::{Container, ContainerId, EngineKind, MAX_IMAGE_LEN, Network, NetworkMode};
use crate::engine::labels;
use crate::safe_text::SafeText;

/// Compose's label for the project of a container.
const PROJECT_LABEL: &str = "com.docker.compose.project";
/// Compose's label for the service of a container.
const SERVICE_LABEL: &str = "com.docker.compose.service";
/// Aliases read per container and network.
const MAX_ALIASES: usize = 16;

/// Total size of the labels kept of one container, keys and values: far more than users, images and compose write.
const MAX_LABEL_BYTES: usize = 16 * 1024;

/// Reads one element of `/containers/json`. `None` without a valid id.
pub(crate) fn container(value: &Value, engine: EngineKind, endpoint: &Endpoint) -> Option<Container> {
    let id = id(value)?;
    let name = name(&value["Names"]).unwrap_or_else(|| SafeText::from_name(id.short()));
    let label =
        |key: &str| value["Labels"][key].as_str().map(SafeText::from_name).filter(|label| !label.is_empty());
    Some(Container {
        engine,
        endpoint: endpoint.clone(),
        name,
        image: image(value),
        created: value["Created"].as_i64().unwrap_or_default(),
        project: label(PROJECT_LABEL).filter(|project| !project.is_empty()),
        service: label(SERVICE_LABEL),
        labels: labels(&value["Labels"]),
        network_mode: network_mode(value).unwrap_or(NetworkMode::Unknown),
        networks: networks(&value["NetworkSettings"]["Networks"], &id),
        process: None,
        value: String::new(),
        id,
    })
}

/// The id of the container.
pub(super) fn id(value: &Value) -> Option<ContainerId> {
    ContainerId::parse(value["Id"].as_str()?)
}

/// The container that this one captures, if its labels say that it is a tap container.
pub(crate) fn tap_target(value: &Value) -> Option<ContainerId> {
    value["Labels"].get(labels::TAP)?;
    ContainerId::parse(value["Labels"][labels::TARGET].as_str()?)
}

/// The network mode as the engine writes it; `None` where the answer omits it.
pub(super) fn network_mode_word(value: &Value) -> Option<&str> {
    value["HostConfig"]["NetworkMode"].as_str()
}

/// Details of a container that only an inspect request returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInspection {
    /// Pid of its first process, in the engine's pid namespace.
    pub pid: i32,
    /// Start time of that process, as the engine writes it; empty where unknown.
    pub started_at: SafeText,
    /// Its network mode, which Podman's list omits; `None` where unknown.
    pub network_mode: Option<NetworkMode>,
    /// Its own networks, with its aliases there.
    pub networks: Vec<Network>,
}

/// Reads `/containers/ID/json`; `None` when the container has no process.
pub(crate) fn inspection(value: &Value) -> Option<ContainerInspection> {
    let pid = i32::try_from(value["State"]["Pid"].as_i64()?).ok()?;
    let networks = id(value).map(|id| networks(&value["NetworkSettings"]["Networks"], &id));
    let started_at = SafeText::new(value["State"]["StartedAt"].as_str().unwrap_or_default());
    let networks = networks.unwrap_or_default();
    (pid > 0).then(|| ContainerInspection { pid, started_at, network_mode: network_mode(value), networks })
}

/// Whether `/containers/ID/json` shows a container that its engine is about to start again.
pub(crate) fn is_restarting(value: &Value) -> bool {
    let state = &value["State"];
    state["Restarting"] == true || state["Status"] == "restarting"
}

/// The container's own name: `/name`. A name such as `/other/alias` is a link from another container.
fn name(names: &Value) -> Option<SafeText> {
    let names: Vec<&str> = names
        .as_array()?
        .iter()
        .filter_map(|name| name.as_str().map(|name| name.strip_prefix('/').unwrap_or(name)))
        .collect();
    let own = names.iter().find(|name| !name.contains('/')).or(names.first())?;
    Some(SafeText::from_name(own)).filter(|name| !name.is_empty())
}

/// The image by name; by the first digits of its id where it has no name any more.
fn image(value: &Value) -> SafeText {
    let image = value["Image"].as_str().unwrap_or_default();
    match image.strip_prefix("sha256:") {
        Some(digest) => SafeText::new(digest.get(..12).unwrap_or(digest)),
        None => SafeText::with_limit(image, MAX_IMAGE_LEN),
    }
}

fn network_mode(value: &Value) -> Option<NetworkMode> {
    match network_mode_word(value)? {
        "host" => Some(NetworkMode::Host),
        "none" => Some(NetworkMode::None),
        word => Some(match word.strip_prefix("container:") {
            // Both engines replace a name by an id when they create the container.
            Some(id) => NetworkMode::Shared(ContainerId::parse(id)),
            None => NetworkMode::Own,
        }),
    }
}

/// The labels by key, up to the size limit. A label that does not fit is skipped, not cut: it must not match another.
fn labels(value: &Value) -> BTreeMap<String, String> {
    let mut remaining = MAX_LABEL_BYTES;
    let mut labels = BTreeMap::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let Some(value) = value.as_str() else { continue };
        if let Some(rest) = remaining.checked_sub(key.len() + value.len()) {
            remaining = rest;
            labels.insert(key.clone(), value.to_owned());
        }
    }
    labels
}

/// The networks of container `id`.
fn networks(value: &Value, id: &ContainerId) -> Vec<Network> {
    let addresses = |network: &Value, keys: [&str; 2]| -> Vec<IpAddr> {
        keys.iter().filter_map(|key| network[key].as_str()?.parse().ok()).collect()
    };
    // Both engines add the first digits of the id as an alias.
    let is_own = |alias: &&str| !id.as_str().starts_with(alias);
    let aliases = |network: &Value| -> Vec<SafeText> {
        let given = network["Aliases"].as_array().into_iter().flatten().take(MAX_ALIASES);
        given.filter_map(Value::as_str).filter(is_own).map(SafeText::new).collect()
    };
    let mut networks: Vec<Network> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, network)| Network {
            name: SafeText::from_name(name),
            id: network["NetworkID"].as_str().unwrap_or_default().to_owned(),
            addresses: addresses(network, ["IPAddress", "GlobalIPv6Address"]),
            mac: SafeText::new(network["MacAddress"].as_str().unwrap_or_default()),
            gateways: addresses(network, ["Gateway", "IPv6Gateway"]),
            aliases: aliases(network),
        })
        .collect();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    networks
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(value: &Value) -> Option<Container> {
        super::container(value, EngineKind::Docker, &Endpoint::Unix("/run/docker.sock".into()))
    }

    fn described(extra: &Value) -> Value {
        let mut value = json!({ "Id": "ab".repeat(32), "Names": ["/web"], "Image": "nginx:1.27" });
        if let (Some(value), Some(extra)) = (value.as_object_mut(), extra.as_object()) {
            value.extend(extra.clone());
        }
        value
    }

    #[test]
    fn a_link_from_another_container_is_not_the_name() {
        let container =
            container(&described(&json!({ "Names": ["/other/db", "/database"] }))).expect("a container");
        assert_eq!(container.name.as_str(), "database");
    }

    #[test]
    fn unexpected_types_and_states_do_not_make_a_container_unreadable() {
        let unexpected =
            json!({ "State": 7, "Labels": null, "NetworkSettings": [], "Created": "then", "Image": null });
        let container = container(&described(&unexpected)).expect("a container");
        assert_eq!((container.created, container.networks.len()), (0, 0));
    }

    #[test]
    fn a_container_without_a_valid_id_is_rejected() {
        assert_eq!(container(&described(&json!({ "Id": "../images" }))), None);
    }

    #[test]
    fn an_unnamed_image_is_shown_by_its_short_id() {
        let container =
            container(&described(&json!({ "Image": format!("sha256:{}", "0123456789ab".repeat(5)) })));
        assert_eq!(container.expect("a container").image.as_str(), "0123456789ab");
    }

    #[test]
    fn labels_beyond_the_size_limit_are_skipped_whole() {
        let labels = json!({ "a": "1", "b": "x".repeat(MAX_LABEL_BYTES), "c": 7, "d": "" });
        let kept = container(&described(&json!({ "Labels": labels }))).expect("a container").labels;
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["a", "d"]);
        let many: serde_json::Map<String, Value> =
            (0..10_000).map(|number| (format!("{number:05}"), "x".into())).collect();
        let kept = container(&described(&json!({ "Labels": many }))).expect("a container").labels;
        assert_eq!(kept.len(), MAX_LABEL_BYTES / 6);
    }

    #[test]
    fn a_container_with_pid_zero_has_no_process() {
        let pid_of =
            |pid: &Value| inspection(&json!({ "State": { "Pid": pid } })).map(|inspection| inspection.pid);
        assert_eq!(pid_of(&json!(0)), None);
        assert_eq!(pid_of(&json!(71)), Some(71));
        assert_eq!(pid_of(&json!(i64::MAX)), None);
    }

    #[test]
    fn podmans_network_mode_is_read_from_inspect() {
        let listed = json!({ "NetworkSettings": { "Networks": null }, "HostConfig": null });
        assert_eq!(container(&described(&listed)).expect("a container").network_mode, NetworkMode::Unknown);
        let inspected = json!({ "State": { "Pid": 71 }, "HostConfig": { "NetworkMode": "none" } });
        assert_eq!(inspection(&inspected).expect("a process").network_mode, Some(NetworkMode::None));
    }
}
