//! Listing and inspecting containers.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use hyper::header::SERVER;

use super::container_fields::ContainerJson;
use super::container_list::ContainerList;
use super::error::RequestError;
use super::{ContainerInspection, request};
use crate::container::endpoint::Endpoint;
use crate::container::{self, Container, ContainerId, EngineKind};
use crate::engine::listing::EngineStatus;
use crate::error::Error;

/// For recognising tap containers, each of which may need a request of its own.
const TAP_CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// Lists the running containers within `timeout`. Also returns the engine that answered, `expected` where the answer
/// does not name it.
pub(crate) async fn list_containers(
    expected: EngineKind,
    endpoint: &Endpoint,
    timeout: Duration,
) -> (EngineKind, EngineStatus) {
    let (detected, deadline) = (DetectedEngine::default(), Instant::now() + timeout);
    let request = async {
        let answer = get(endpoint, "/containers/json", &detected).await?;
        let mut list = ContainerList::parse(&answer, deadline).map_err(|_| {
            if Instant::now() > deadline {
                RequestError::Timeout(timeout)
            } else {
                RequestError::NotDockerApi
            }
        })?;
        drop(answer);
        remove_tap_containers(&mut list.containers, endpoint).await;
        Ok(list)
    };
    let result = with_timeout(timeout, request).await;
    let engine = detected.get().copied().unwrap_or(expected);
    let status = match result {
        Ok(list) => available(engine, endpoint, list),
        Err(error) if error.is_absence() => EngineStatus::Absent,
        Err(error) => EngineStatus::Unavailable(error.explain(engine, endpoint, "list containers")),
    };
    (engine, status)
}

/// Removes our own tap containers from a list.
///
/// The label alone is not trusted, or any container could hide itself: a tap container must also be joined to the
/// network of the container it names, where its packets are captured anyway.
async fn remove_tap_containers(containers: &mut Vec<ContainerJson>, endpoint: &Endpoint) {
    // An engine that hangs on one of them has answered for all others.
    let taps = tokio::time::timeout(TAP_CHECK_TIMEOUT, tap_containers(containers, endpoint)).await;
    let taps = taps.unwrap_or_default();
    containers.retain(|container| container.id().is_none_or(|id| !taps.contains(&id)));
}

async fn tap_containers(containers: &[ContainerJson], endpoint: &Endpoint) -> HashSet<ContainerId> {
    let ids: HashSet<ContainerId> = containers.iter().filter_map(ContainerJson::id).collect();
    let mut taps = HashSet::new();
    for container in containers {
        let (Some(id), Some(target)) = (container.id(), container.tap_target()) else { continue };
        if target == id || !ids.contains(&target) {
            continue;
        }
        let network_mode = match container.network_mode_word() {
            // Podman's list omits it.
            None => {
                let inspected = inspect_json(endpoint, &id).await.unwrap_or_default();
                inspected.network_mode_word().map(str::to_owned)
            }
            word => word.map(str::to_owned),
        };
        if network_mode.is_some_and(|mode| mode == format!("container:{}", target.as_str())) {
            taps.insert(id);
        }
    }
    taps
}

fn available(engine: EngineKind, endpoint: &Endpoint, list: ContainerList) -> EngineStatus {
    let (mut seen, count) = (HashSet::new(), list.containers.len() + list.unreadable);
    let mut containers: Vec<Container> = list
        .containers
        .into_iter()
        .filter_map(|json| json.container(engine, endpoint))
        .filter(|container| seen.insert(container.id.clone()))
        .collect();
    container::resolve_shared_networks(&mut containers);
    let unreadable = count - containers.len();
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    EngineStatus::Available { containers, unreadable }
}

/// Inspects one container within `timeout`.
///
/// Fails when the engine does not answer or the container is not running.
pub(crate) async fn inspect(container: &Container, timeout: Duration) -> Result<ContainerInspection, Error> {
    let (id, endpoint) = (&container.id, &container.endpoint);
    let inspection = inspect_if_running(endpoint, id, timeout).await.map_err(|error| {
        error.explain(container.engine, endpoint, &format!("inspect container {}", id.short()))
    })?;
    inspection.ok_or_else(|| {
        Error::new(format!("container {} is not running", id.short()), "start it, then capture again")
    })
}

/// The same; `None` where the container is not running.
///
/// Fails when the engine does not answer, or has no such container.
pub(crate) async fn inspect_if_running(
    endpoint: &Endpoint,
    id: &ContainerId,
    timeout: Duration,
) -> Result<Option<ContainerInspection>, RequestError> {
    Ok(with_timeout(timeout, inspect_json(endpoint, id)).await?.inspection())
}

/// Whether the engine is about to start the container again.
///
/// Fails when the engine does not answer, or has no such container.
pub(crate) async fn is_restarting(
    endpoint: &Endpoint,
    id: &ContainerId,
    timeout: Duration,
) -> Result<bool, RequestError> {
    Ok(with_timeout(timeout, inspect_json(endpoint, id)).await?.is_restarting())
}

async fn inspect_json(endpoint: &Endpoint, id: &ContainerId) -> Result<ContainerJson, RequestError> {
    let path = format!("/containers/{}/json", id.as_str());
    let answer = get(endpoint, &path, &DetectedEngine::default()).await?;
    serde_json::from_str(&answer).map_err(|_| RequestError::NotDockerApi)
}

/// The engine that an answer came from, once there is one.
type DetectedEngine = OnceLock<EngineKind>;

/// Requests `path` and returns the answer, in which invalid UTF-8 is replaced.
async fn get(endpoint: &Endpoint, path: &str, detected: &DetectedEngine) -> Result<String, RequestError> {
    let response = request::get(endpoint, path).await?;
    if let Some(engine) = engine_of(response.headers()) {
        detected.get_or_init(|| engine);
    }
    let body = request::successful_body(response).await?;
    Ok(String::from_utf8(body).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The engine that sends these response headers: Podman may listen at Docker's address and vice versa.
fn engine_of(headers: &HeaderMap) -> Option<EngineKind> {
    let server = headers.get(SERVER).and_then(|server| server.to_str().ok()).unwrap_or_default();
    if headers.contains_key("libpod-api-version") || server.starts_with("Libpod/") {
        Some(EngineKind::Podman)
    } else {
        server.starts_with("Docker/").then_some(EngineKind::Docker)
    }
}

async fn with_timeout<T>(
    timeout: Duration,
    request: impl Future<Output = Result<T, RequestError>>,
) -> Result<T, RequestError> {
    tokio::time::timeout(timeout, request).await.unwrap_or(Err(RequestError::Timeout(timeout)))
}
