//! An engine's description of a container, read field by field.
//!
//! Engines differ in what they leave out and in the words they use for states; whatever is not
//! needed here is not looked at, so that it cannot make a container unreadable.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::labels;
use crate::container::{Container, ContainerId, EngineKind, MAX_IMAGE_LEN, Network, NetworkMode};
use crate::endpoint::Endpoint;
use crate::safe_text::SafeText;

/// Label in which compose keeps the name of a container's project.
const PROJECT_LABEL: &str = "com.docker.compose.project";
/// Label in which compose keeps the name of a container's service.
const SERVICE_LABEL: &str = "com.docker.compose.service";
/// Most further names that are taken of a container on one network.
const MOST_ALIASES: usize = 16;

/// Bytes of labels kept of one container, keys and values together: many times what
/// people, images and compose write.
const MOST_LABEL_BYTES: usize = 16 * 1024;

/// Reads one element of `/containers/json`, answered by `engine` at `endpoint`. `None` when it has no
/// valid id.
pub(super) fn container(value: &Value, engine: EngineKind, endpoint: &Endpoint) -> Option<Container> {
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
        network_mode: mode(value).unwrap_or(NetworkMode::Own),
        networks: networks(&value["NetworkSettings"]["Networks"], &id),
        value: String::new(),
        id,
    })
}

/// The id of the container that is described.
pub(super) fn id(value: &Value) -> Option<ContainerId> {
    ContainerId::parse(value["Id"].as_str()?)
}

/// The container whose packets this one takes, if it says that it is a tap container.
pub(super) fn tapped(value: &Value) -> Option<ContainerId> {
    value["Labels"].get(labels::TAP)?;
    ContainerId::parse(value["Labels"][labels::TARGET].as_str()?)
}

/// How a container is connected, in the engine's words, where they are told.
pub(super) fn joined(value: &Value) -> Option<&str> {
    value["HostConfig"]["NetworkMode"].as_str()
}

/// What an engine tells of a container only when it is asked about that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInspection {
    /// Pid of its first process, as the engine counts.
    pub pid: i32,
    /// When that was started, in the engine's words; empty where it does not say.
    pub started: SafeText,
    /// How it is connected, which Podman leaves out of its list; `None` where it is not told.
    pub mode: Option<NetworkMode>,
    /// Its own networks, with its further names there.
    pub networks: Vec<Network>,
}

/// Reads `/containers/ID/json`; `None` when the container has no process.
pub(super) fn inspected(value: &Value) -> Option<ContainerInspection> {
    let pid = i32::try_from(value["State"]["Pid"].as_i64()?).ok()?;
    let networks = id(value).map(|id| networks(&value["NetworkSettings"]["Networks"], &id));
    let started = SafeText::new(value["State"]["StartedAt"].as_str().unwrap_or_default());
    let networks = networks.unwrap_or_default();
    (pid > 0).then(|| ContainerInspection { pid, started, mode: mode(value), networks })
}

/// Whether `/containers/ID/json` shows a container without a process that its engine starts again.
pub(super) fn is_restarting(value: &Value) -> bool {
    let state = &value["State"];
    state["Restarting"] == true || state["Status"] == "restarting"
}

/// The name that is the container's own: with the API's slash in front and no other, since
/// `/other/alias` is what another container calls this one.
fn name(names: &Value) -> Option<SafeText> {
    let names: Vec<&str> = names
        .as_array()?
        .iter()
        .filter_map(|name| name.as_str().map(|name| name.strip_prefix('/').unwrap_or(name)))
        .collect();
    let own = names.iter().find(|name| !name.contains('/')).or(names.first())?;
    Some(SafeText::from_name(own)).filter(|name| !name.is_empty())
}

/// The image by name; by the first digits of its id where the name is gone.
fn image(value: &Value) -> SafeText {
    let image = value["Image"].as_str().unwrap_or_default();
    match image.strip_prefix("sha256:") {
        Some(digest) => SafeText::new(digest.get(..12).unwrap_or(digest)),
        None => SafeText::with_limit(image, MAX_IMAGE_LEN),
    }
}

fn mode(value: &Value) -> Option<NetworkMode> {
    match joined(value)? {
        "host" => Some(NetworkMode::Host),
        "none" => Some(NetworkMode::None),
        word => Some(match word.strip_prefix("container:") {
            // Both engines turn a name into an id when the container is made.
            Some(id) => NetworkMode::Shared(ContainerId::parse(id)),
            None => NetworkMode::Own,
        }),
    }
}

/// The labels, in the order of their keys, as many as may be kept. One that is too long for what is
/// left is none: it must not be taken for another.
fn labels(value: &Value) -> BTreeMap<String, String> {
    let mut left = MOST_LABEL_BYTES;
    let mut labels = BTreeMap::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let Some(value) = value.as_str() else { continue };
        if let Some(rest) = left.checked_sub(key.len() + value.len()) {
            left = rest;
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
    // Both engines add the first digits of its id.
    let is_given = |alias: &&str| !id.as_str().starts_with(alias);
    let aliases = |network: &Value| -> Vec<SafeText> {
        let told = network["Aliases"].as_array().into_iter().flatten().take(MOST_ALIASES);
        told.filter_map(Value::as_str).filter(is_given).map(SafeText::new).collect()
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
    fn an_alias_given_by_another_container_is_not_the_name() {
        let container =
            container(&described(&json!({ "Names": ["/other/db", "/database"] }))).expect("a container");
        assert_eq!(container.name.as_str(), "database");
    }

    #[test]
    fn strange_types_and_states_do_not_make_a_container_unreadable() {
        let strange =
            json!({ "State": 7, "Labels": null, "NetworkSettings": [], "Created": "then", "Image": null });
        let container = container(&described(&strange)).expect("a container");
        assert_eq!((container.created, container.networks.len()), (0, 0));
    }

    #[test]
    fn an_id_that_is_not_64_digits_is_no_container() {
        assert_eq!(container(&described(&json!({ "Id": "../images" }))), None);
    }

    #[test]
    fn an_image_without_a_name_is_shown_by_the_first_digits_of_its_id() {
        let container =
            container(&described(&json!({ "Image": format!("sha256:{}", "0123456789ab".repeat(5)) })));
        assert_eq!(container.expect("a container").image.as_str(), "0123456789ab");
    }

    #[test]
    fn labels_are_kept_whole_or_not_at_all() {
        let labels = json!({ "a": "1", "b": "x".repeat(MOST_LABEL_BYTES), "c": 7, "d": "" });
        let kept = container(&described(&json!({ "Labels": labels }))).expect("a container").labels;
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["a", "d"]);
        let many: serde_json::Map<String, Value> =
            (0..10_000).map(|number| (format!("{number:05}"), "x".into())).collect();
        let kept = container(&described(&json!({ "Labels": many }))).expect("a container").labels;
        assert_eq!(kept.len(), MOST_LABEL_BYTES / 6);
    }

    #[test]
    fn a_pid_of_zero_is_no_process() {
        let pid_of = |pid: &Value| inspected(&json!({ "State": { "Pid": pid } })).map(|told| told.pid);
        assert_eq!(pid_of(&json!(0)), None);
        assert_eq!(pid_of(&json!(71)), Some(71));
        assert_eq!(pid_of(&json!(i64::MAX)), None);
    }

    #[test]
    fn how_podman_connects_a_container_is_read_where_it_tells() {
        let listed = json!({ "NetworkSettings": { "Networks": null }, "HostConfig": null });
        assert_eq!(container(&described(&listed)).expect("a container").network_mode, NetworkMode::Own);
        let asked = json!({ "State": { "Pid": 71 }, "HostConfig": { "NetworkMode": "none" } });
        assert_eq!(inspected(&asked).expect("a process").mode, Some(NetworkMode::None));
    }
}
