//! Which engines to ask, and where each of them listens.

use std::env;
use std::io;
use std::path::PathBuf;

use super::address::{self, DOCKER_SOCKET, Named};
use super::context::{self, Current};
use super::podman_connection;
use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::safe_text::SafeText;

/// The socket of root's Podman where nothing else is said.
const ROOTFUL_SOCKET: &str = "/run/podman/podman.sock";

/// An engine to ask.
#[derive(Debug)]
pub(super) struct Place {
    /// Which engine is looked for here. Another may answer.
    pub(super) engine: EngineKind,
    /// Where it listens, or why that cannot be known.
    pub(super) endpoint: Result<Endpoint, Error>,
    /// What configures this place, such as `DOCKER_HOST`; `None` where it is one of the usual ones.
    configured_by: Option<String>,
}

impl Place {
    /// A place where `engine` usually is.
    fn usual(engine: EngineKind, path: PathBuf) -> Self {
        Self { engine, endpoint: Ok(Endpoint::Unix(path)), configured_by: None }
    }

    /// A place that the user configured.
    fn configured(engine: EngineKind, by: &str, endpoint: Result<Endpoint, Error>) -> Self {
        Self { engine, endpoint, configured_by: Some(by.to_owned()) }
    }

    /// Why a place that the user configured cannot be used when no engine listens there. That none
    /// listens at a usual place is no trouble: `None`.
    pub(super) fn absence(&self) -> Option<Error> {
        let by = self.configured_by.as_ref()?;
        Some(Error::new(
            format!("cannot list containers at {}: nothing listens there", self.shown()),
            format!("start the engine, or change {by}, which configures this address"),
        ))
    }

    /// Where it is, safe to show.
    pub(super) fn shown(&self) -> SafeText {
        match &self.endpoint {
            Ok(endpoint) => SafeText::with_limit(&endpoint.to_string(), 200),
            Err(_) => SafeText::new(self.engine.as_str()),
        }
    }

    /// Whether nothing tells of an engine here: a usual place that is empty, or in a folder that we may
    /// not look into. Podman's package makes such a folder, whether or not root's Podman serves a
    /// socket in it.
    pub(super) fn is_bare(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied};
        let Ok(Endpoint::Unix(path)) = &self.endpoint else { return false };
        let looked = path.symlink_metadata().map_err(|error| error.kind());
        self.configured_by.is_none() && matches!(looked, Err(NotFound | PermissionDenied))
    }

    fn is_same(&self, other: &Self) -> bool {
        matches!((&self.endpoint, &other.endpoint), (Ok(one), Ok(other)) if one.is_same_socket(other))
    }
}

/// All places, Docker's first. No socket is there twice: Docker's may be a link to Podman's, and is
/// Podman's then.
pub(super) fn all() -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for place in podman() {
        if !places.iter().any(|other| other.is_same(&place)) {
            places.push(place);
        }
    }
    for docker in docker().into_iter().rev() {
        match places.iter_mut().find(|place| place.is_same(&docker)) {
            Some(place) => place.configured_by = place.configured_by.take().or(docker.configured_by),
            None => places.insert(0, docker),
        }
    }
    places.retain(|place| is_wanted(place.engine));
    places
}

/// Docker where its own client would look: `DOCKER_HOST`, then the context that `DOCKER_CONTEXT` or
/// its settings name, then the usual sockets: root's, and our own where Docker is rootless.
fn docker() -> Vec<Place> {
    let engine = EngineKind::Docker;
    if let Some(address) = variable("DOCKER_HOST") {
        let by = "DOCKER_HOST";
        let endpoint = match certificates() {
            Some(certificates) if address.trim().is_empty() => Ok(address::usual_with_tls(certificates)),
            certificates => Named { by, address: &address, certificates }.endpoint(engine),
        };
        return vec![Place::configured(engine, by, endpoint)];
    }
    if let Some(Current { by, endpoint }) = context::current(variable("DOCKER_CONTEXT")) {
        return vec![Place::configured(engine, &by, endpoint)];
    }
    if let Some(certificates) = certificates() {
        let endpoint = Ok(address::usual_with_tls(certificates));
        return vec![Place::configured(engine, "DOCKER_TLS_VERIFY", endpoint)];
    }
    vec![
        Place::usual(engine, DOCKER_SOCKET.into()),
        Place::usual(engine, runtime_folder().join("docker.sock")),
    ]
}

/// Podman where `CONTAINER_HOST` or `CONTAINER_CONNECTION` says, else at its default connection, our own and root's.
fn podman() -> Vec<Place> {
    let engine = EngineKind::Podman;
    if let Some(address) = variable("CONTAINER_HOST") {
        let by = "CONTAINER_HOST";
        let endpoint = Named { by, address: &address, certificates: None }.endpoint(engine);
        return vec![Place::configured(engine, by, endpoint)];
    }
    if let Some(name) = variable("CONTAINER_CONNECTION") {
        let podman_connection::Connection { by, endpoint } = podman_connection::named(&name);
        return vec![Place::configured(engine, &by, endpoint)];
    }
    // Podman's own command asks its default connection with --remote, and its own containers without.
    let default = podman_connection::default();
    let default = default.map(|connection| Place::configured(engine, &connection.by, connection.endpoint));
    let usual = [
        Place::usual(engine, ROOTFUL_SOCKET.into()),
        Place::usual(engine, runtime_folder().join("podman/podman.sock")),
    ];
    default.into_iter().chain(usual).collect()
}

/// The certificates for `DOCKER_HOST`, where it is to speak TLS: in `DOCKER_CERT_PATH`, else beside Docker's settings.
fn certificates() -> Option<PathBuf> {
    variable("DOCKER_TLS_VERIFY")?;
    variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(context::folder)
}

/// Where our own engines have their sockets.
fn runtime_folder() -> PathBuf {
    let said = variable("XDG_RUNTIME_DIR").filter(|folder| folder.starts_with('/'));
    said.map_or_else(|| PathBuf::from(format!("/run/user/{}", nix::unistd::Uid::effective())), PathBuf::from)
}

/// Whether `CONTAINERDUMP_ENGINES`, words separated by commas, names `engine`; all are wanted where it
/// is not set.
pub(super) fn is_wanted(engine: EngineKind) -> bool {
    let words = variable("CONTAINERDUMP_ENGINES");
    words.is_none_or(|words| words.split(',').any(|word| word.trim() == engine.as_str()))
}

/// An environment variable that says something.
fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.is_empty())
}
