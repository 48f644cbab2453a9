//! Podman's connections: addresses under a name, one of which `podman --remote` takes where `CONTAINER_HOST` is not set.
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

use super::address::Named;
use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::settings_file;

/// A connection that is configured.
pub(super) struct Connection {
    /// What configures it.
    pub(super) by: String,
    /// Its address, or why it cannot be used.
    pub(super) endpoint: Result<Endpoint, Error>,
}

/// The connection that `CONTAINER_CONNECTION` names.
pub(super) fn named(name: &str) -> Connection {
    let by = format!("CONTAINER_CONNECTION={name}");
    let endpoint = match Connections::read().addresses.get(name) {
        Some(address) => endpoint(&by, address),
        None => Err(Error::new(
            format!("cannot use {by}: there is no such connection"),
            "see which there are: podman system connection list",
        )),
    };
    Connection { by, endpoint }
}

/// The default connection, if there is one.
pub(super) fn default() -> Option<Connection> {
    let Connections { default, addresses } = Connections::read();
    let name = default.filter(|name| !name.is_empty())?;
    let by = format!("Podman's default connection {name} (podman system connection default)");
    let endpoint = endpoint(&by, addresses.get(&name)?);
    Some(Connection { by, endpoint })
}

fn endpoint(by: &str, address: &str) -> Result<Endpoint, Error> {
    Named { by, address, certificates: None }.endpoint(EngineKind::Podman)
}

/// What all files together say; later ones are above earlier ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Connections {
    default: Option<String>,
    addresses: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainersConf {
    engine: Engine,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Engine {
    active_service: Option<String>,
    service_destinations: BTreeMap<String, Destination>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Destination {
    #[serde(alias = "URI")]
    uri: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ConnectionsJson {
    connection: OfJson,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct OfJson {
    default: Option<String>,
    connections: BTreeMap<String, Destination>,
}

impl Connections {
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

    fn add(&mut self, default: Option<String>, destinations: BTreeMap<String, Destination>) {
        self.default = default.filter(|name| !name.is_empty()).or(self.default.take());
        self.addresses.extend(destinations.into_iter().map(|(name, destination)| (name, destination.uri)));
    }
}

/// What is in a file; `None` where it is missing or cannot be understood.
fn read<T>(path: &Path, parse: impl Fn(&str) -> io::Result<T>) -> Option<T> {
    let content = match settings_file::read(path) {
        Ok(content) => content,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                warn!("cannot read Podman's settings in {}: {error}", path.display());
            }
            return None;
        }
    };
    let parsed = parse(&String::from_utf8_lossy(&content));
    parsed.map_err(|error| warn!("cannot read Podman's settings in {}: {error}", path.display())).ok()
}

/// The files of settings, in the order in which Podman reads them (containers.conf(5)).
fn containers_conf() -> Vec<PathBuf> {
    let mut paths = if let Some(path) = variable("CONTAINERS_CONF") {
        vec![path]
    } else {
        let folders =
            [Some("/usr/share/containers".into()), Some("/etc/containers".into()), settings_folder()];
        folders.into_iter().flatten().flat_map(|folder: PathBuf| in_folder(&folder)).collect()
    };
    paths.extend(variable("CONTAINERS_CONF_OVERRIDE"));
    paths
}

/// The file of settings of a folder, and those that add to it.
fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let parts = std::fs::read_dir(folder.join("containers.conf.d")).into_iter().flatten().flatten();
    let mut parts: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    parts.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    parts.sort();
    parts.insert(0, folder.join("containers.conf"));
    parts
}

/// The file in which Podman 5 keeps connections.
fn connections_json() -> Option<PathBuf> {
    variable("PODMAN_CONNECTIONS_CONF").or_else(|| Some(settings_folder()?.join("podman-connections.json")))
}

fn settings_folder() -> Option<PathBuf> {
    let settings = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")))?;
    Some(settings.join("containers"))
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
