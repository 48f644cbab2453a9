//! Why an engine could not be used, and what to do about it.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use bollard::errors::Error as BollardError;

use crate::container::EngineKind;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::safe_text::SafeText;

/// Why an engine could not be used.
pub(super) enum Failure {
    Connection(io::ErrorKind, String),
    Refused(u16, String),
    Silence(Duration),
    NoSense,
    /// In the words of those who know better.
    Told(Error),
    Other(String),
}

/// Why there is no connection, in the words of those who tried.
#[derive(Debug)]
pub(super) struct Why(pub(super) Error);

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.message().fmt(formatter)
    }
}

impl std::error::Error for Why {}

impl Failure {
    /// No socket, or one that nobody listens on: there is no engine.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Connection(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _))
    }

    /// Puts into words that what was `tried` with `engine` at `endpoint` did not succeed.
    pub(super) fn trouble(&self, engine: EngineKind, endpoint: &Endpoint, tried: &str) -> Error {
        let why = match self {
            Self::Connection(io::ErrorKind::PermissionDenied, _) => "permission denied".to_owned(),
            Self::Connection(_, why) | Self::Other(why) => why.clone(),
            Self::Refused(status, message) => {
                format!("the engine answered {status}: {}", SafeText::with_limit(message, 150))
            }
            Self::Silence(deadline) => format!("no answer within {:.1} s", deadline.as_secs_f32()),
            Self::NoSense => "what answers there does not speak Docker's API".to_owned(),
            Self::Told(trouble) => {
                return Error::new(
                    format!("cannot {tried} at {endpoint}: {}", trouble.message()),
                    trouble.remedy().as_str(),
                );
            }
        };
        let remedy = match engine {
            EngineKind::Docker => self.remedy_of_docker(),
            EngineKind::Podman | EngineKind::Kernel => self.remedy_of_podman(),
        };
        Error::new(format!("cannot {tried} at {endpoint}: {why}"), remedy)
    }

    fn remedy_of_docker(&self) -> &'static str {
        match self {
            Self::Connection(io::ErrorKind::PermissionDenied, _) => {
                "become a member of the group that owns the socket (sudo usermod -aG docker \"$USER\", then log in again)"
            }
            Self::Connection(..) => "see that the engine runs: docker version",
            Self::Silence(_) => "see whether the engine hangs: docker ps",
            Self::NoSense => "see what DOCKER_HOST names and who listens there",
            Self::Refused(..) | Self::Told(_) | Self::Other(_) => "ask it yourself: docker ps",
        }
    }

    fn remedy_of_podman(&self) -> &'static str {
        match self {
            Self::Connection(io::ErrorKind::PermissionDenied, _) => {
                "for containers of your own: systemctl --user enable --now podman.socket, and unset CONTAINER_HOST; \
                 for root's: run containerdump as root, or let a group use the socket \
                 (sudo systemctl edit podman.socket: SocketGroup=, SocketMode=0660)"
            }
            Self::Connection(..) => {
                "have Podman serve its socket: systemctl --user enable --now podman.socket, for root's containers \
                 sudo systemctl enable --now podman.socket"
            }
            Self::Silence(_) => "see whether the engine hangs: podman ps",
            Self::NoSense => "see what CONTAINER_HOST names and who listens there",
            Self::Refused(..) | Self::Told(_) | Self::Other(_) => "ask it yourself: podman ps",
        }
    }
}

impl From<BollardError> for Failure {
    fn from(error: BollardError) -> Self {
        match error {
            BollardError::IOError { err }
                if err.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Why>) =>
            {
                let why = err.into_inner().and_then(|why| why.downcast::<Why>().ok());
                why.map_or(Self::NoSense, |why| Self::Told(why.0))
            }
            BollardError::IOError { err } => Self::Connection(err.kind(), err.to_string()),
            BollardError::DockerResponseServerError { status_code, message } => {
                Self::Refused(status_code, message)
            }
            BollardError::JsonSerdeError { .. } | BollardError::JsonDataError { .. } => Self::NoSense,
            BollardError::HyperResponseError { err } => match err.source() {
                // Our own bound on the size of an answer arrives wrapped in hyper's error.
                Some(source) if source.is::<io::Error>() => Self::Other(source.to_string()),
                _ if err.is_parse() || err.is_incomplete_message() => Self::NoSense,
                _ => Self::Other(err.to_string()),
            },
            other => Self::Other(other.to_string()),
        }
    }
}
