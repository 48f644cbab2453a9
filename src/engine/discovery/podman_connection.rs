//! Podman's connections: named addresses, one of which `podman --remote` uses where `CONTAINER_HOST` is not set.
//!
//! ```text
//! containers.conf             [engine] active_service = "desk"    [engine.service_destinations.desk] uri = "…"
//! podman-connections.json     { "Connection": { "Default": "desk", "Connections": { "desk": { "URI": "…" } } } }
//! ```

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};

use log::warn;
use serde::Deserialize;

use super::address::ConfiguredAddress;
use crate::container::EngineKind;
use crate::container::endpoint::Endpoint;
use crate::error::Error;
use crate::settings_file;

/// A configured connection.
pub(super) struct PodmanConnection {
    /// The setting that selects it.
    pub(super) setting: String,
    /// Its address, or why it cannot be used.
    pub(super) endpoint: Result<Endpoint, Error>,
}

/// The connection in `CONTAINER_CONNECTION`.
pub(super) fn named(name: &str) -> PodmanConnection {
    let setting = format!("CONTAINER_CONNECTION={name}");
    let endpoint = match PodmanConnections::read().addresses.get(name) {
        Some(address) => endpoint(&setting, address),
        None => Err(Error::new(
            format!("cannot use {setting}: no such connection"),
            "list the connections: podman system connection list",
        )),
    };
    PodmanConnection { setting, endpoint }
}

/// The default connection, if there is one.
pub(super) fn default() -> Option<PodmanConnection> {
    let PodmanConnections { default, addresses } = PodmanConnections::read();
    let name = default.filter(|name| !name.is_empty())?;
    let setting = format!("Podman's default connection {name} (podman system connection default)");
    let endpoint = endpoint(&setting, addresses.get(&name)?);
    Some(PodmanConnection { setting, endpoint })
}

fn endpoint(setting: &str, address: &str) -> Result<Endpoint, Error> {
    ConfiguredAddress { setting, address, certificates: None }.endpoint(EngineKind::Podman)
}

/// The connections of all configuration files; later files override earlier ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct PodmanConnections {
    default: Option<String>,
    addresses: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainersConf {
    engine: EngineTable,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EngineTable {
    active_service: Option<String>,
    service_destinations: BTreeMap<String, ServiceDestination>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceDestination {
    #[serde(alias = "URI")]
    uri: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConnectionsJson {
    connection: ConnectionList,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConnectionList {
    default: Option<String>,
    connections: BTreeMap<String, ServiceDestination>,
}

impl PodmanConnections {
    fn read() -> Self {
        let mut all = Self::default();
        let conf = |text: &str| toml::from_str(text).map_err(io::Error::other);
        for path in containers_conf() {
            if let Some(ContainersConf { engine }) = read(&path, conf) {
                all.add(engine.active_service, engine.service_destinations);
            }
        }
        let json = |text: &str| serde_json::from_str(text).map_err(io::Error::other);
        if let Some(ConnectionsJson { connection }) = connections_json().and_then(|path| read(&path, json)) {
            all.add(connection.default, connection.connections);
        }
        all
    }

    fn add(&mut self, default: Option<String>, destinations: BTreeMap<String, ServiceDestination>) {
        self.default = default.filter(|name| !name.is_empty()).or(self.default.take());
        self.addresses.extend(destinations.into_iter().map(|(name, destination)| (name, destination.uri)));
    }
}

/// Reads and parses a file; `None` where it is missing or invalid.
fn read<T>(path: &Path, parse: impl Fn(&str) -> io::Result<T>) -> Option<T> {
    let content = match settings_file::read(path) {
        Ok(content) => content,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                warn!("cannot read Podman's configuration in {}: {error}", path.display());
            }
            return None;
        }
    };
    let parsed = parse(&String::from_utf8_lossy(&content));
    parsed.map_err(|error| warn!("cannot read Podman's configuration in {}: {error}", path.display())).ok()
}

/// The configuration files, in the order in which Podman reads them (containers.conf(5)).
fn containers_conf() -> Vec<PathBuf> {
    let mut paths = if let Some(path) = variable("CONTAINERS_CONF") {
        vec![path]
    } else {
        let folders = [Some("/usr/share/containers".into()), Some("/etc/containers".into()), config_folder()];
        folders.into_iter().flatten().flat_map(|folder: PathBuf| with_drop_ins(&folder)).collect()
    };
    paths.extend(variable("CONTAINERS_CONF_OVERRIDE"));
    paths
}

/// The configuration file of a folder and its drop-in files.
fn with_drop_ins(folder: &Path) -> Vec<PathBuf> {
    let parts = std::fs::read_dir(folder.join("containers.conf.d")).into_iter().flatten().flatten();
    let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    parts.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    parts.sort();
    parts.insert(0, folder.join("containers.conf"));
    parts
}

/// The file in which Podman 5 keeps connections.
fn connections_json() -> Option<PathBuf> {
    variable("PODMAN_CONNECTIONS_CONF").or_else(|| Some(config_folder()?.join("podman-connections.json")))
}

fn config_folder() -> Option<PathBuf> {
    let folder = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
    Some(folder.join("containers"))
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
