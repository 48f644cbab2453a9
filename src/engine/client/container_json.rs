//! A container as the engine's JSON describes it. Engines differ in the fields they omit and in their names of states.

use super::container_fields::{ContainerJson, JsonName, JsonWord, NetworkJson};
use crate::container::endpoint::Endpoint;
use crate::container::{Container, ContainerId, EngineKind, MAX_IMAGE_LEN, Network, NetworkMode};
use crate::safe_text::SafeText;

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

impl ContainerJson {
    /// The container; `None` without a valid id.
    pub(crate) fn container(&self, engine: EngineKind, endpoint: &Endpoint) -> Option<Container> {
        let id = self.id()?;
        let label = |text: &SafeText| Some(text.clone()).filter(|text| !text.is_empty());
        Some(Container {
            engine,
            endpoint: endpoint.clone(),
            name: self.name().unwrap_or_else(|| SafeText::from_name(id.short())),
            image: self.image(),
            created: self.created,
            project: label(&self.labels.project),
            service: label(&self.labels.service),
            labels: self.labels.kept.clone(),
            network_mode: self.network_mode().unwrap_or(NetworkMode::Unknown),
            networks: self.networks(&id),
            process: None,
            value: String::new(),
            id,
        })
    }

    /// The id of the container.
    pub(super) fn id(&self) -> Option<ContainerId> {
        ContainerId::parse(&self.id.0)
    }

    /// The container that this one captures, if its labels say that it is a tap container.
    pub(crate) fn tap_target(&self) -> Option<ContainerId> {
        self.labels.target.clone().filter(|_| self.labels.is_tap)
    }

    /// The network mode as the engine writes it; `None` where the answer omits it.
    pub(super) fn network_mode_word(&self) -> Option<&str> {
        self.host_config.network_mode.as_ref().map(|word| word.0.as_str())
    }

    /// Texts kept of it, as a measure of its memory.
    pub(super) fn text_count(&self) -> usize {
        let networks = self.network_settings.networks.0.values();
        let in_networks: usize = networks.map(|network| 6 + network.aliases.0.len()).sum();
        self.labels.kept.len() + self.names.0.len() + in_networks
    }

    /// What only an inspect request returns; `None` when the container has no process.
    pub(crate) fn inspection(&self) -> Option<ContainerInspection> {
        let pid = i32::try_from(self.state.pid).ok().filter(|pid| *pid > 0)?;
        Some(ContainerInspection {
            pid,
            started_at: SafeText::new(&self.state.started_at.0),
            network_mode: self.network_mode(),
            networks: self.id().map(|id| self.networks(&id)).unwrap_or_default(),
        })
    }

    /// Whether the engine is about to start it again.
    pub(crate) fn is_restarting(&self) -> bool {
        self.state.restarting || self.state.status.0 == "restarting"
    }

    /// The container's own name: `/name`. A name such as `/other/alias` is a link from another container.
    fn name(&self) -> Option<SafeText> {
        let mut names = self.names.0.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
        let first = names.clone().next();
        let own = names.find(|name| !name.contains('/')).or(first)?;
        Some(SafeText::from_name(own)).filter(|name| !name.is_empty())
    }

    /// The image by name; by the first digits of its id where it has no name any more.
    fn image(&self) -> SafeText {
        let image = self.image.0.as_str();
        match image.strip_prefix("sha256:") {
            Some(digest) => SafeText::new(digest.get(..12).unwrap_or(digest)),
            None => SafeText::with_limit(image, MAX_IMAGE_LEN),
        }
    }

    fn network_mode(&self) -> Option<NetworkMode> {
        match self.network_mode_word()? {
            "host" => Some(NetworkMode::Host),
            "none" => Some(NetworkMode::None),
            word => Some(match word.strip_prefix("container:") {
                // Both engines replace a name by an id when they create the container.
                Some(id) => NetworkMode::Shared(ContainerId::parse(id)),
                None => NetworkMode::Own,
            }),
        }
    }

    /// The networks of container `id`.
    fn networks(&self, id: &ContainerId) -> Vec<Network> {
        let addresses =
            |both: [&JsonWord; 2]| both.iter().filter_map(|address| address.0.parse().ok()).collect();
        // Both engines add the first digits of the id as an alias.
        let is_given = |alias: &&String| !id.as_str().starts_with(alias.as_str());
        let network = |(name, json): (&JsonName, &NetworkJson)| Network {
            name: SafeText::from_name(&name.0),
            id: json.id.0.clone(),
            addresses: addresses([&json.ipv4_address, &json.ipv6_address]),
            mac: SafeText::new(&json.mac_address.0),
            gateways: addresses([&json.ipv4_gateway, &json.ipv6_gateway]),
            aliases: json.aliases.0.iter().filter(is_given).map(|alias| SafeText::new(alias)).collect(),
        };
        let mut networks: Vec<Network> = self.network_settings.networks.0.iter().map(network).collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        networks
    }
}

#[cfg(test)]
mod tests {
    use super::super::container_fields::{MAX_LABEL_BYTES, MAX_NETWORKS};
    use super::*;
    use serde_json::{Value, json};

    fn read(value: &Value) -> ContainerJson {
        serde_json::from_value(value.clone()).expect("an object")
    }

    fn container(value: &Value) -> Option<Container> {
        read(value).container(EngineKind::Docker, &Endpoint::Unix("/run/docker.sock".into()))
    }

    fn inspection(value: &Value) -> Option<ContainerInspection> {
        read(value).inspection()
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
    fn networks_and_aliases_beyond_the_limits_are_not_read() {
        let aliases: Vec<String> = (0..1000).map(|number| format!("x{number}")).collect();
        let network =
            json!({ "Aliases": aliases, "IPAddress": "172.17.0.2", "GlobalIPv6Address": "fd00::2" });
        let networks: serde_json::Map<String, Value> =
            (0..1000).map(|number| (format!("{number:03}"), network.clone())).collect();
        let read = container(&described(&json!({ "NetworkSettings": { "Networks": networks } })));
        let networks = read.expect("a container").networks;
        assert_eq!((networks.len(), networks[0].name.as_str()), (MAX_NETWORKS, "000"));
        assert_eq!((networks[0].aliases.len(), networks[0].addresses.len()), (16, 2));
    }

    #[test]
    fn labels_with_a_meaning_are_read_behind_any_others() {
        let labels = json!({ "a": "x".repeat(MAX_LABEL_BYTES - 1), "com.docker.compose.project": "shop" });
        let read = container(&described(&json!({ "Labels": labels }))).expect("a container");
        assert_eq!((read.project, read.labels.len()), (Some("shop".into()), 1));
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
