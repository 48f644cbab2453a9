//! Where engines may listen, as their own clients look for them.

mod address;
mod docker_context;
mod podman_connection;

use std::env;
use std::io;
use std::path::PathBuf;

use crate::container::EngineKind;
use crate::container::endpoint::Endpoint;
use crate::error::Error;
use crate::safe_text::SafeText;
use address::{ConfiguredAddress, DOCKER_SOCKET};
use docker_context::DockerContext;
pub(super) use docker_context::{docker_config_error, is_context_certificate_folder};
use podman_connection::PodmanConnection;

/// The socket of root's Podman.
const ROOTFUL_PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// An address where an engine may listen.
#[derive(Debug)]
pub(super) struct EngineCandidate {
    /// The engine expected here. Another may answer.
    pub(super) engine: EngineKind,
    /// The address, or why it is invalid.
    pub(super) endpoint: Result<Endpoint, Error>,
    /// The setting that configures the address, such as `DOCKER_HOST`; `None` for a default.
    configured_by: Option<String>,
}

impl EngineCandidate {
    fn default_socket(engine: EngineKind, path: PathBuf) -> Self {
        Self { engine, endpoint: Ok(Endpoint::Unix(path)), configured_by: None }
    }

    fn configured(engine: EngineKind, setting: &str, endpoint: Result<Endpoint, Error>) -> Self {
        Self { engine, endpoint, configured_by: Some(setting.to_owned()) }
    }

    /// The error for a configured address at which no engine listens. At a default address that is no error.
    pub(super) fn absence_error(&self) -> Option<Error> {
        let setting = self.configured_by.as_ref()?;
        Some(Error::new(
            format!("cannot list containers at {}: no engine is listening", self.shown()),
            format!("start the engine, or change {setting}, which configures this address"),
        ))
    }

    /// The address, safe to show.
    pub(super) fn shown(&self) -> SafeText {
        match &self.endpoint {
            Ok(endpoint) => SafeText::with_limit(&endpoint.to_string(), 200),
            Err(_) => SafeText::new(self.engine.as_str()),
        }
    }

    /// Whether this is a default socket that does not exist, or whose folder is not accessible: Podman's package
    /// creates the folder whether or not the socket is enabled.
    pub(super) fn is_unused_default(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied};
        let Ok(Endpoint::Unix(path)) = &self.endpoint else { return false };
        let metadata = path.symlink_metadata().map_err(|error| error.kind());
        self.configured_by.is_none() && matches!(metadata, Err(NotFound | PermissionDenied))
    }

    fn is_same_socket(&self, other: &Self) -> bool {
        matches!((&self.endpoint, &other.endpoint), (Ok(one), Ok(other)) if one.is_same_socket(other))
    }
}

/// All candidates, Docker's first, each socket once. Where Docker's socket is a link to Podman's, it counts as Podman's.
pub(super) fn candidates() -> Vec<EngineCandidate> {
    let mut candidates: Vec<EngineCandidate> = Vec::new();
    for podman in podman() {
        if !candidates.iter().any(|other| other.is_same_socket(&podman)) {
            candidates.push(podman);
        }
    }
    for docker in docker().into_iter().rev() {
        match candidates.iter_mut().find(|other| other.is_same_socket(&docker)) {
            Some(podman) => podman.configured_by = podman.configured_by.take().or(docker.configured_by),
            None => candidates.insert(0, docker),
        }
    }
    candidates.retain(|candidate| is_enabled(candidate.engine));
    candidates
}

/// Docker, where its own client looks: `DOCKER_HOST`, the context in `DOCKER_CONTEXT` or the configuration file, else
/// the default sockets of root's and of rootless Docker.
fn docker() -> Vec<EngineCandidate> {
    let engine = EngineKind::Docker;
    if let Some(address) = variable("DOCKER_HOST") {
        let setting = "DOCKER_HOST";
        let endpoint = match certificates() {
            Some(certificates) if address.trim().is_empty() => Ok(address::default_tls(certificates)),
            certificates => ConfiguredAddress { setting, address: &address, certificates }.endpoint(engine),
        };
        return vec![EngineCandidate::configured(engine, setting, endpoint)];
    }
    if let Some(DockerContext { setting, endpoint }) = docker_context::current(variable("DOCKER_CONTEXT")) {
        return vec![EngineCandidate::configured(engine, &setting, endpoint)];
    }
    if let Some(certificates) = certificates() {
        let endpoint = Ok(address::default_tls(certificates));
        return vec![EngineCandidate::configured(engine, "DOCKER_TLS_VERIFY", endpoint)];
    }
    vec![
        EngineCandidate::default_socket(engine, DOCKER_SOCKET.into()),
        EngineCandidate::default_socket(engine, runtime_folder().join("docker.sock")),
    ]
}

/// Podman, at `CONTAINER_HOST` or the connection in `CONTAINER_CONNECTION`, else at its default connection and the
/// default sockets.
fn podman() -> Vec<EngineCandidate> {
    let engine = EngineKind::Podman;
    if let Some(address) = variable("CONTAINER_HOST") {
        let setting = "CONTAINER_HOST";
        let endpoint = ConfiguredAddress { setting, address: &address, certificates: None }.endpoint(engine);
        return vec![EngineCandidate::configured(engine, setting, endpoint)];
    }
    if let Some(name) = variable("CONTAINER_CONNECTION") {
        let PodmanConnection { setting, endpoint } = podman_connection::named(&name);
        return vec![EngineCandidate::configured(engine, &setting, endpoint)];
    }
    // `podman` uses the default connection only with --remote, and the user's own containers otherwise.
    let default = podman_connection::default()
        .map(|connection| EngineCandidate::configured(engine, &connection.setting, connection.endpoint));
    let sockets = [
        EngineCandidate::default_socket(engine, ROOTFUL_PODMAN_SOCKET.into()),
        EngineCandidate::default_socket(engine, runtime_folder().join("podman/podman.sock")),
    ];
    default.into_iter().chain(sockets).collect()
}

/// The folder of TLS certificates for `DOCKER_HOST`, if `DOCKER_TLS_VERIFY` is set.
fn certificates() -> Option<PathBuf> {
    variable("DOCKER_TLS_VERIFY")?;
    variable("DOCKER_CERT_PATH").map(PathBuf::from).or_else(docker_context::config_folder)
}

/// The folder of the user's own sockets.
fn runtime_folder() -> PathBuf {
    let configured = variable("XDG_RUNTIME_DIR").filter(|folder| folder.starts_with('/'));
    configured
        .map_or_else(|| PathBuf::from(format!("/run/user/{}", nix::unistd::Uid::effective())), PathBuf::from)
}

/// Whether `CONTAINERDUMP_ENGINES`, a comma-separated list, has `engine`. All engines are enabled where it is not set.
pub(super) fn is_enabled(engine: EngineKind) -> bool {
    let engines = variable("CONTAINERDUMP_ENGINES");
    engines.is_none_or(|engines| engines.split(',').any(|word| word.trim() == engine.as_str()))
}

/// A non-empty environment variable.
fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.is_empty())
}
