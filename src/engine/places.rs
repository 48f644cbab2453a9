//! Which engines to ask, and where each of them listens.

use std::env;
use std::io;
use std::path::PathBuf;

use super::address::Named;
use super::context;
use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::text::Label;
use crate::trouble::Trouble;

/// Docker's own socket where nothing else is said.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// The socket of root's Podman where nothing else is said.
const ROOTFUL_SOCKET: &str = "/run/podman/podman.sock";

/// An engine to ask.
#[derive(Debug)]
pub(super) struct Place {
    /// Which engine is looked for here. Another may answer.
    pub(super) engine: EngineKind,
    /// Where it listens, or why that cannot be known.
    pub(super) endpoint: Result<Endpoint, Trouble>,
    /// Whether somebody named this place; else it is where engines usually are.
    is_named: bool,
}

impl Place {
    /// A place where `engine` usually is.
    fn usual(engine: EngineKind, path: PathBuf) -> Self {
        Self { engine, endpoint: Ok(Endpoint::Unix(path)), is_named: false }
    }

    /// Where it is, safe to show.
    pub(super) fn shown(&self) -> Label {
        match &self.endpoint {
            Ok(endpoint) => Label::with_limit(&endpoint.to_string(), 200),
            Err(_) => Label::new(self.engine.word()),
        }
    }

    /// Whether nothing tells of an engine here: a usual place that is empty, or in a folder that we may
    /// not look into. Podman's package makes such a folder, whether or not root's Podman serves a
    /// socket in it.
    pub(super) fn is_bare(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied};
        let Ok(Endpoint::Unix(path)) = &self.endpoint else { return false };
        let looked = path.symlink_metadata().map_err(|error| error.kind());
        !self.is_named && matches!(looked, Err(NotFound | PermissionDenied))
    }

    fn is_same(&self, other: &Self) -> bool {
        matches!((&self.endpoint, &other.endpoint), (Ok(one), Ok(other)) if one.is_same(other))
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
            Some(place) => place.is_named |= docker.is_named,
            None => places.insert(0, docker),
        }
    }
    places.retain(|place| is_wanted(place.engine));
    places
}

/// Docker where its own client would look: `DOCKER_HOST`, then the context that `DOCKER_CONTEXT` or
/// its settings name, then the usual sockets: root's, and our own where Docker is rootless.
fn docker() -> Vec<Place> {
    let named = match variable("DOCKER_HOST") {
        Some(address) => {
            let named = Named { by: "DOCKER_HOST", address: &address, certificates: certificates() };
            Some(named.endpoint(EngineKind::Docker))
        }
        None => context::current(variable("DOCKER_CONTEXT")).transpose(),
    };
    let engine = EngineKind::Docker;
    match named {
        Some(endpoint) => vec![Place { engine, endpoint, is_named: true }],
        None => vec![
            Place::usual(engine, DOCKER_SOCKET.into()),
            Place::usual(engine, runtime_folder().join("docker.sock")),
        ],
    }
}

/// Podman where `CONTAINER_HOST` says, else our own and root's.
fn podman() -> Vec<Place> {
    let engine = EngineKind::Podman;
    if let Some(address) = variable("CONTAINER_HOST") {
        let endpoint = Named { by: "CONTAINER_HOST", address: &address, certificates: None }.endpoint(engine);
        return vec![Place { engine, endpoint, is_named: true }];
    }
    vec![
        Place::usual(engine, ROOTFUL_SOCKET.into()),
        Place::usual(engine, runtime_folder().join("podman/podman.sock")),
    ]
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
    words.is_none_or(|words| words.split(',').any(|word| word.trim() == engine.word()))
}

/// An environment variable that says something.
fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name)?.to_string_lossy().into_owned();
    Some(value).filter(|value| !value.is_empty())
}
