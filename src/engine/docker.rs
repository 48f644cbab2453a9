//! Docker through bollard: the only place that names it, beside its connection.

use std::collections::HashSet;
use std::error::Error as _;
use std::io;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::endpoint::Endpoint;
use super::{Outcome, connection, description};
use crate::container::{self, Container, ContainerId};
use crate::text::Label;
use crate::trouble::Trouble;

/// Most containers taken from one answer; what is beyond is counted as left out.
const MOST_CONTAINERS: usize = 10_000;

/// Asks for the running containers, once, within `deadline`.
pub(super) async fn list(endpoint: &Endpoint, deadline: Duration) -> Outcome {
    match within(deadline, async { elements(client(endpoint)?.list_containers(None).await) }).await {
        Ok(described) => {
            let mut told = HashSet::new();
            let mut containers: Vec<Container> = described
                .iter()
                .take(MOST_CONTAINERS)
                .filter_map(description::container)
                .filter(|container| told.insert(container.id.clone()))
                .collect();
            let left_out = described.len() - containers.len();
            containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
            container::assign_values(&mut containers);
            Outcome::Containers { containers, left_out }
        }
        Err(failure) if failure.is_absence() => Outcome::Absent,
        Err(failure) => Outcome::Unusable(trouble(endpoint, "list containers", &failure)),
    }
}

/// Asks for the pid of a container's first process, within `deadline`.
///
/// Fails when the engine cannot be asked or the container does not run.
pub(super) async fn first_pid(
    endpoint: &Endpoint,
    id: &ContainerId,
    deadline: Duration,
) -> Result<i32, Trouble> {
    let answer =
        within(deadline, async { described(client(endpoint)?.inspect_container(id.as_str(), None).await) });
    let described = match answer.await {
        Ok(described) => described,
        Err(failure) => {
            return Err(trouble(endpoint, &format!("inspect container {}", id.short()), &failure));
        }
    };
    description::first_pid(&described).ok_or_else(|| {
        Trouble::new(format!("container {} does not run", id.short()), "start it, then capture again")
    })
}

fn client(endpoint: &Endpoint) -> Result<Docker, Error> {
    let endpoint = endpoint.clone();
    let transport = move |request: BollardRequest| connection::send(endpoint.clone(), request);
    // The time limit here is in whole seconds and covers the head of an answer only: ours, around
    // everything, is shorter.
    Docker::connect_with_custom_transport(transport, Some("http://localhost"), 120, API_DEFAULT_VERSION)
}

/// The answer as plain JSON, also where bollard's types refuse it: its enumerations are strict.
fn described<T: Serialize>(answer: Result<T, Error>) -> Result<Value, Error> {
    match answer {
        Ok(typed) => Ok(serde_json::to_value(typed)?),
        Err(Error::JsonDataError { contents, .. }) => Ok(serde_json::from_str(&contents)?),
        Err(error) => Err(error),
    }
}

/// The elements of an answer that is a list, each read by itself: one that bollard's types refuse,
/// or that is not even JSON to the parser (too deep, half a character), does not hide the others.
fn elements<T: Serialize>(answer: Result<Vec<T>, Error>) -> Result<Vec<Value>, Error> {
    match answer {
        Ok(typed) => Ok(typed.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?),
        Err(Error::JsonDataError { contents, .. }) => {
            let elements: Vec<&RawValue> = serde_json::from_str(&contents)?;
            let element = |raw: &RawValue| serde_json::from_str(raw.get()).unwrap_or_default();
            Ok(elements.into_iter().map(element).collect())
        }
        Err(error) => Err(error),
    }
}

async fn within<T>(deadline: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(deadline, work).await {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(_) => Err(Failure::Silence(deadline)),
    }
}

/// Why an engine could not be used.
enum Failure {
    Connection(io::ErrorKind, String),
    Refused(u16, String),
    Silence(Duration),
    NoSense,
    Other(String),
}

impl Failure {
    /// No socket, or one that nobody listens on: there is no engine.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Connection(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::IOError { err } => Self::Connection(err.kind(), err.to_string()),
            Error::DockerResponseServerError { status_code, message } => Self::Refused(status_code, message),
            Error::JsonSerdeError { .. } | Error::JsonDataError { .. } => Self::NoSense,
            Error::HyperResponseError { err } => match err.source() {
                // Our own bound on the size of an answer arrives wrapped in hyper's error.
                Some(source) if source.is::<io::Error>() => Self::Other(source.to_string()),
                _ if err.is_parse() || err.is_incomplete_message() => Self::NoSense,
                _ => Self::Other(err.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }
}

fn trouble(endpoint: &Endpoint, tried: &str, failure: &Failure) -> Trouble {
    let (why, remedy) = match failure {
        Failure::Connection(io::ErrorKind::PermissionDenied, _) => (
            "permission denied".to_owned(),
            "become a member of the group that owns the socket (sudo usermod -aG docker \"$USER\", then log in again)",
        ),
        Failure::Connection(_, why) => (why.clone(), "see that the engine runs: docker version"),
        Failure::Refused(status, message) => (
            format!("the engine answered {status}: {}", Label::with_limit(message, 150)),
            "ask it yourself: docker ps",
        ),
        Failure::Silence(deadline) => (
            format!("no answer within {:.1} s", deadline.as_secs_f32()),
            "see whether the engine hangs: docker ps",
        ),
        Failure::NoSense => (
            "what answers there does not speak Docker's API".to_owned(),
            "see what DOCKER_HOST names and who listens there",
        ),
        Failure::Other(why) => (why.clone(), "ask it yourself: docker ps"),
    };
    Trouble::new(format!("cannot {tried} at {endpoint}: {why}"), remedy)
}
