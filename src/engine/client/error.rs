//! Errors of requests to an engine, with their remedies.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use bollard::errors::Error as BollardError;

use crate::container::EngineKind;
use crate::container::endpoint::Endpoint;
use crate::error::Error;
use crate::safe_text::SafeText;

/// Why a request to an engine failed.
pub(crate) enum RequestError {
    Connection(io::ErrorKind, String),
    /// The HTTP status of an error response, and its message.
    Status(u16, String),
    Timeout(Duration),
    NotDockerApi,
    /// An error that already has a message and a remedy.
    Explained(Error),
    Other(String),
}

/// Carries an explained error through `io::Error` and bollard.
#[derive(Debug)]
pub(super) struct ConnectError(pub(super) Error);

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.message().fmt(formatter)
    }
}

impl std::error::Error for ConnectError {}

impl RequestError {
    /// Whether no engine is present: the socket is missing or nothing listens on it.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Connection(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _))
    }

    /// The error message: cannot `action` at `endpoint`, cause, remedy.
    pub(crate) fn explain(&self, engine: EngineKind, endpoint: &Endpoint, action: &str) -> Error {
        let cause = match self {
            Self::Connection(io::ErrorKind::PermissionDenied, _) => "permission denied".to_owned(),
            Self::Connection(_, cause) | Self::Other(cause) => cause.clone(),
            Self::Status(status, message) => {
                format!("the engine returned HTTP status {status}: {}", SafeText::with_limit(message, 150))
            }
            Self::Timeout(timeout) => format!("no response within {:.1} s", timeout.as_secs_f32()),
            Self::NotDockerApi => "the endpoint does not speak the Docker API".to_owned(),
            Self::Explained(error) => {
                return Error::new(
                    format!("cannot {action} at {endpoint}: {}", error.message()),
                    error.remedy().as_str(),
                );
            }
        };
        let remedy = match engine {
            EngineKind::Docker => self.docker_remedy(),
            EngineKind::Podman | EngineKind::Kernel => self.podman_remedy(),
        };
        Error::new(format!("cannot {action} at {endpoint}: {cause}"), remedy)
    }

    fn docker_remedy(&self) -> &'static str {
        match self {
            Self::Connection(io::ErrorKind::PermissionDenied, _) => {
                "join the group that owns the socket (sudo usermod -aG docker \"$USER\", then log in again)"
            }
            Self::Connection(..) => "check that Docker is running: docker version",
            Self::Timeout(_) => "check that Docker responds: docker ps",
            Self::NotDockerApi => "check the address in DOCKER_HOST",
            Self::Status(..) | Self::Explained(_) | Self::Other(_) => "check that Docker works: docker ps",
        }
    }

    fn podman_remedy(&self) -> &'static str {
        match self {
            Self::Connection(io::ErrorKind::PermissionDenied, _) => {
                "for your own containers: systemctl --user enable --now podman.socket, and unset CONTAINER_HOST; \
                 for root's containers: run containerdump as root, or give a group access to the socket \
                 (sudo systemctl edit podman.socket: SocketGroup=, SocketMode=0660)"
            }
            Self::Connection(..) => {
                "enable Podman's socket: systemctl --user enable --now podman.socket, or for root's containers \
                 sudo systemctl enable --now podman.socket"
            }
            Self::Timeout(_) => "check that Podman responds: podman ps",
            Self::NotDockerApi => "check the address in CONTAINER_HOST",
            Self::Status(..) | Self::Explained(_) | Self::Other(_) => "check that Podman works: podman ps",
        }
    }
}

impl From<BollardError> for RequestError {
    fn from(error: BollardError) -> Self {
        match error {
            BollardError::IOError { err }
                if err.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<ConnectError>) =>
            {
                let error = err.into_inner().and_then(|error| error.downcast::<ConnectError>().ok());
                error.map_or(Self::NotDockerApi, |error| Self::Explained(error.0))
            }
            BollardError::IOError { err } => Self::Connection(err.kind(), err.to_string()),
            BollardError::DockerResponseServerError { status_code, message } => {
                Self::Status(status_code, message)
            }
            BollardError::JsonSerdeError { .. } | BollardError::JsonDataError { .. } => Self::NotDockerApi,
            BollardError::HyperResponseError { err } => match err.source() {
                // The response size limit arrives wrapped in hyper's error.
                Some(source) if source.is::<io::Error>() => Self::Other(source.to_string()),
                _ if err.is_parse() || err.is_incomplete_message() => Self::NotDockerApi,
                _ => Self::Other(err.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }
}
