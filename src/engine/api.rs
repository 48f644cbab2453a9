//! Docker's API, which Podman serves too, through bollard: the only place that names it, beside its
//! connection and its failures.

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

use super::failure::Failure;
use super::{ContainerInspection, EngineStatus, connection, description};
use crate::container::{self, Container, ContainerId, EngineKind};
use crate::endpoint::Endpoint;
use crate::error::Error;

/// Most containers taken from one answer; what is beyond is counted as left out.
const MOST_CONTAINERS: usize = 10_000;
/// For telling tap containers from others, each of which may be a question of its own.
const TAPS_DEADLINE: Duration = Duration::from_millis(500);

/// Asks for the running containers, once, within `deadline`. Returns also which engine it was that
/// answered; `expected` where it does not say.
pub(super) async fn list(
    expected: EngineKind,
    endpoint: &Endpoint,
    deadline: Duration,
) -> (EngineKind, EngineStatus) {
    let told = Told::default();
    let asked = async {
        let client = client(endpoint, &told)?;
        let mut described = elements(client.list_containers(None).await)?;
        without_taps(&mut described, &client).await;
        Ok(described)
    };
    let answer = within(deadline, asked).await;
    let engine = told.get().copied().unwrap_or(expected);
    let outcome = match answer {
        Ok(described) => containers(engine, endpoint, &described),
        Err(failure) if failure.is_absence() => EngineStatus::Absent,
        Err(failure) => EngineStatus::Unavailable(failure.trouble(engine, endpoint, "list containers")),
    };
    (engine, outcome)
}

/// Takes our own tap containers out of a list: they are no containers of anybody's, and come and go
/// with captures.
///
/// A label alone hides nothing, or anybody could keep a container from being seen: it has to be joined to
/// the network of another one in the list, where its packets are captured all the same.
async fn without_taps(described: &mut Vec<Value>, client: &Docker) {
    // An engine that hangs on one of them has answered for all others.
    let taps = tokio::time::timeout(TAPS_DEADLINE, taps(described, client)).await.unwrap_or_default();
    described.retain(|value| description::id(value).is_none_or(|id| !taps.contains(&id)));
}

async fn taps(described: &[Value], client: &Docker) -> HashSet<ContainerId> {
    let ids: HashSet<ContainerId> = described.iter().filter_map(description::id).collect();
    let mut taps = HashSet::new();
    for value in described {
        let (Some(id), Some(target)) = (description::id(value), description::tapped(value)) else { continue };
        if target == id || !ids.contains(&target) {
            continue;
        }
        let joined = match description::joined(value) {
            // Podman tells it only of one container at a time.
            None => {
                let alone = described_one(client, &id).await.unwrap_or_default();
                description::joined(&alone).map(str::to_owned)
            }
            told => told.map(str::to_owned),
        };
        if joined.is_some_and(|joined| joined == format!("container:{}", target.as_str())) {
            taps.insert(id);
        }
    }
    taps
}

/// The containers among the elements of a list.
fn containers(engine: EngineKind, endpoint: &Endpoint, described: &[Value]) -> EngineStatus {
    let mut told = HashSet::new();
    let mut containers: Vec<Container> = described
        .iter()
        .take(MOST_CONTAINERS)
        .filter_map(|value| description::container(value, engine, endpoint))
        .filter(|container| told.insert(container.id.clone()))
        .collect();
    container::resolve_shared_networks(&mut containers);
    let left_out = described.len() - containers.len();
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    EngineStatus::Available { containers, unreadable: left_out }
}

/// Asks about one container, within `deadline`.
///
/// Fails when the engine cannot be asked or the container does not run.
pub(super) async fn inspect(container: &Container, deadline: Duration) -> Result<ContainerInspection, Error> {
    let (id, endpoint) = (&container.id, &container.endpoint);
    let told = inspect_if_it_runs(endpoint, id, deadline).await.map_err(|failure| {
        failure.trouble(container.engine, endpoint, &format!("inspect container {}", id.short()))
    })?;
    told.ok_or_else(|| {
        Error::new(format!("container {} does not run", id.short()), "start it, then capture again")
    })
}

/// The same; `None` where the container does not run.
///
/// Fails when the engine cannot be asked, or knows no such container.
pub(super) async fn inspect_if_it_runs(
    endpoint: &Endpoint,
    id: &ContainerId,
    deadline: Duration,
) -> Result<Option<ContainerInspection>, Failure> {
    let asked = async { described_one(&client(endpoint, &Told::default())?, id).await };
    Ok(description::inspected(&within(deadline, asked).await?))
}

/// Whether the container is between two restarts: its engine starts it again.
///
/// Fails when the engine cannot be asked, or knows no such container.
pub(super) async fn is_restarting(
    endpoint: &Endpoint,
    id: &ContainerId,
    deadline: Duration,
) -> Result<bool, Failure> {
    let asked = async { described_one(&client(endpoint, &Told::default())?, id).await };
    Ok(description::is_restarting(&within(deadline, asked).await?))
}

async fn described_one(client: &Docker, id: &ContainerId) -> Result<Value, BollardError> {
    described(client.inspect_container(id.as_str(), None).await)
}

/// Which engine an answer came from, once there is one.
type Told = Arc<OnceLock<EngineKind>>;

fn client(endpoint: &Endpoint, told: &Told) -> Result<Docker, BollardError> {
    let (endpoint, told) = (endpoint.clone(), Arc::clone(told));
    let transport = move |request: BollardRequest| {
        let (endpoint, told) = (endpoint.clone(), Arc::clone(&told));
        async move {
            let answer = connection::send(&endpoint, request).await?;
            if let Some(engine) = engine(answer.headers()) {
                told.get_or_init(|| engine);
            }
            Ok(answer)
        }
    };
    // The time limit here is in whole seconds and covers the head of an answer only: ours, around
    // everything, is shorter.
    Docker::connect_with_custom_transport(transport, Some("http://localhost"), 120, API_DEFAULT_VERSION)
}

/// Which engine sends such a head: either may be where the other is looked for, and says who it is
/// in every answer, so that nothing more need be asked.
fn engine(head: &HeaderMap) -> Option<EngineKind> {
    let server = head.get(SERVER).and_then(|server| server.to_str().ok()).unwrap_or_default();
    if head.contains_key("libpod-api-version") || server.starts_with("Libpod/") {
        Some(EngineKind::Podman)
    } else {
        server.starts_with("Docker/").then_some(EngineKind::Docker)
    }
}

/// The answer as plain JSON, also where bollard's types refuse it: its enumerations are strict.
fn described<T: Serialize>(answer: Result<T, BollardError>) -> Result<Value, BollardError> {
    match answer {
        Ok(typed) => Ok(serde_json::to_value(typed)?),
        Err(BollardError::JsonDataError { contents, .. }) => Ok(serde_json::from_str(&contents)?),
        Err(error) => Err(error),
    }
}

/// The elements of an answer that is a list, each read by itself: one that bollard's types refuse,
/// or that is not even JSON to the parser (too deep, half a character), does not hide the others.
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

async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, BollardError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, work).await {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(_) => Err(Failure::Silence(deadline)),
    }
}
