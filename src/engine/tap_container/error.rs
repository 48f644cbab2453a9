//! Errors of tap containers, with their remedies.

use std::io;

use crate::container::Container;
use crate::engine::client::error::RequestError;
use crate::error::Error;
use crate::safe_text::SafeText;

/// The error message: cannot `action` for `container`, cause, remedy.
pub(super) fn explain(error: &RequestError, container: &Container, action: &str) -> Error {
    let (name, engine) = (&container.name, container.engine.as_str());
    let action = format!("{action} for container {name}");
    let explained = error.explain(container.engine, &container.endpoint, &action);
    let RequestError::Status(status, message) = error else { return explained };
    let contains_any = |words: &[&str]| words.iter().any(|word| message.to_ascii_lowercase().contains(word));
    if contains_any(&["no space left", "disk quota exceeded"]) {
        return Error::new(
            explained.message().as_str(),
            format!("free disk space of the engine: {engine} system df"),
        );
    }
    // Docker's messages, then Podman's.
    if contains_any(&[
        "non running container",
        "is not running",
        "no such container",
        "no container with name or id",
    ]) || contains_any(&["container state improper", "cannot join its networks"])
    {
        return Error::new(
            format!("container {name} stopped before a tap container could join its network"),
            "start it, then capture again",
        );
    }
    let remedy = match status {
        401 | 403 => "ask the engine's administrator to allow it, or capture as root on its host",
        _ => "capture as root on the engine's host: sudo containerdump capture",
    };
    Error::new(explained.message().as_str(), format!("{remedy}; see also the engine's log"))
}

/// A resource of this process is exhausted.
pub(super) fn local_failure(error: &io::Error, container: &Container) -> Error {
    Error::new(
        format!("cannot start a tap container for container {}: {error}", container.name),
        "free some file descriptors or processes: ulimit -n, ulimit -u",
    )
}

/// The engine does not support automatic removal of containers.
pub(super) fn api_too_old(container: &Container, api: &SafeText) -> Error {
    Error::new(
        format!(
            "cannot capture through {} at {}: API version {api} is older than 1.25",
            container.engine.as_str(),
            container.endpoint
        ),
        "update the engine, or capture as root on its host",
    )
}

/// No program exists for the engine's platform.
pub(super) fn unsupported_platform(container: &Container, system: &SafeText, processor: &SafeText) -> Error {
    Error::new(
        format!(
            "cannot capture through {} at {}: unsupported platform {system} {processor}",
            container.engine.as_str(),
            container.endpoint
        ),
        "capture on a Linux host with x86_64 or aarch64",
    )
}
