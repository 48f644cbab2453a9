//! Listing and inspecting containers through bollard.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::errors::Error as BollardError;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper::HeaderMap;
use hyper::header::SERVER;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::RequestError;
use super::{ContainerInspection, connection, container_json};
use crate::container::endpoint::Endpoint;
use crate::container::{self, Container, ContainerId, EngineKind};
use crate::engine::listing::EngineStatus;
use crate::error::Error;

/// Containers taken from one answer; the rest count as unreadable.
const MAX_CONTAINERS: usize = 10_000;
/// For recognising tap containers, each of which may need a request of its own.
const TAP_CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// Lists the running containers within `timeout`. Also returns the engine that answered, `expected` where the answer
/// does not name it.
pub(crate) async fn list_containers(
    expected: EngineKind,
    endpoint: &Endpoint,
    timeout: Duration,
) -> (EngineKind, EngineStatus) {
    let detected = DetectedEngine::default();
    let request = async {
        let client = client(endpoint, &detected)?;
        let mut descriptions = elements(client.list_containers(None).await)?;
        remove_tap_containers(&mut descriptions, &client).await;
        Ok(descriptions)
    };
    let result = with_timeout(timeout, request).await;
    let engine = detected.get().copied().unwrap_or(expected);
    let status = match result {
        Ok(descriptions) => available(engine, endpoint, &descriptions),
        Err(error) if error.is_absence() => EngineStatus::Absent,
        Err(error) => EngineStatus::Unavailable(error.explain(engine, endpoint, "list containers")),
    };
    (engine, status)
}

/// Removes our own tap containers from a list.
///
/// The label alone is not trusted, or any container could hide itself: a tap container must also be joined to the
/// network of the container it names, where its packets are captured anyway.
async fn remove_tap_containers(descriptions: &mut Vec<Value>, client: &Docker) {
    // An engine that hangs on one of them has answered for all others.
    let taps = tokio::time::timeout(TAP_CHECK_TIMEOUT, tap_containers(descriptions, client)).await;
    let taps = taps.unwrap_or_default();
    descriptions.retain(|value| container_json::id(value).is_none_or(|id| !taps.contains(&id)));
}

async fn tap_containers(descriptions: &[Value], client: &Docker) -> HashSet<ContainerId> {
    let ids: HashSet<ContainerId> = descriptions.iter().filter_map(container_json::id).collect();
    let mut taps = HashSet::new();
    for value in descriptions {
        let (Some(id), Some(target)) = (container_json::id(value), container_json::tap_target(value)) else {
            continue;
        };
        if target == id || !ids.contains(&target) {
            continue;
        }
        let network_mode = match container_json::network_mode_word(value) {
            // Podman's list omits it.
            None => {
                let inspected = inspect_json(client, &id).await.unwrap_or_default();
                container_json::network_mode_word(&inspected).map(str::to_owned)
            }
            word => word.map(str::to_owned),
        };
        if network_mode.is_some_and(|mode| mode == format!("container:{}", target.as_str())) {
            taps.insert(id);
        }
    }
    taps
}

fn available(engine: EngineKind, endpoint: &Endpoint, descriptions: &[Value]) -> EngineStatus {
    let mut seen = HashSet::new();
    let mut containers: Vec<Container> = descriptions
        .iter()
        .take(MAX_CONTAINERS)
        .filter_map(|value| container_json::container(value, engine, endpoint))
        .filter(|container| seen.insert(container.id.clone()))
        .collect();
    container::resolve_shared_networks(&mut containers);
    let unreadable = descriptions.len() - containers.len();
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
    let request = async { inspect_json(&client(endpoint, &DetectedEngine::default())?, id).await };
    Ok(container_json::inspection(&with_timeout(timeout, request).await?))
}

/// Whether the engine is about to start the container again.
///
/// Fails when the engine does not answer, or has no such container.
pub(crate) async fn is_restarting(
    endpoint: &Endpoint,
    id: &ContainerId,
    timeout: Duration,
) -> Result<bool, RequestError> {
    let request = async { inspect_json(&client(endpoint, &DetectedEngine::default())?, id).await };
    Ok(container_json::is_restarting(&with_timeout(timeout, request).await?))
}

async fn inspect_json(client: &Docker, id: &ContainerId) -> Result<Value, BollardError> {
    to_json(client.inspect_container(id.as_str(), None).await)
}

/// The engine that an answer came from, once there is one.
type DetectedEngine = Arc<OnceLock<EngineKind>>;

fn client(endpoint: &Endpoint, detected: &DetectedEngine) -> Result<Docker, BollardError> {
    let (endpoint, detected) = (endpoint.clone(), Arc::clone(detected));
    let transport = move |request: BollardRequest| {
        let (endpoint, detected) = (endpoint.clone(), Arc::clone(&detected));
        async move {
            let response = connection::send(&endpoint, request).await?;
            if let Some(engine) = engine_of(response.headers()) {
                detected.get_or_init(|| engine);
            }
            Ok(response)
        }
    };
    // bollard's timeout has whole seconds and covers the response head only; `with_timeout` covers everything.
    Docker::connect_with_custom_transport(transport, Some("http://localhost"), 120, API_DEFAULT_VERSION)
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

/// The answer as JSON, also where bollard's strict enumerations reject it.
fn to_json<T: Serialize>(answer: Result<T, BollardError>) -> Result<Value, BollardError> {
    match answer {
        Ok(typed) => Ok(serde_json::to_value(typed)?),
        Err(BollardError::JsonDataError { contents, .. }) => Ok(serde_json::from_str(&contents)?),
        Err(error) => Err(error),
    }
}

/// The elements of a list, each parsed on its own: one that is rejected does not hide the others.
fn elements<T: Serialize>(answer: Result<Vec<T>, BollardError>) -> Result<Vec<Value>, BollardError> {
    match answer {
        Ok(typed) => Ok(typed.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?),
        Err(BollardError::JsonDataError { contents, .. }) => {
            let elements: Vec<&RawValue> = serde_json::from_str(&contents)?;
            let element = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_default();
            Ok(elements.into_iter().map(element).collect())
        }
        Err(error) => Err(error),
    }
}

async fn with_timeout<T>(
    timeout: Duration,
    request: impl Future<Output = Result<T, BollardError>>,
) -> Result<T, RequestError> {
    match tokio::time::timeout(timeout, request).await {
        Ok(result) => result.map_err(RequestError::from),
        Err(_) => Err(RequestError::Timeout(timeout)),
    }
}
