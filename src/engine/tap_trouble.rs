//! Why packets cannot be taken through an engine, and what to do about it.

use std::io;

use super::failure::Failure;
use crate::container::Container;
use crate::error::Error;
use crate::safe_text::SafeText;

/// Puts into words that what was `tried` towards a tap container for `container` did not succeed.
pub(super) fn of(failure: &Failure, container: &Container, tried: &str) -> Error {
    let (name, engine) = (&container.name, container.engine.as_str());
    let tried = format!("{tried} for container {name}");
    let trouble = failure.trouble(container.engine, &container.endpoint, &tried);
    let Failure::Refused(status, message) = failure else { return trouble };
    let says = |words: &[&str]| words.iter().any(|word| message.to_ascii_lowercase().contains(word));
    if says(&["no space left", "disk quota exceeded"]) {
        return Error::new(
            trouble.message().as_str(),
            format!("free some space of the engine's: {engine} system df"),
        );
    }
    // Docker; Podman's words for the same.
    if says(&["non running container", "is not running", "no such container", "no container with name or id"])
        || says(&["container state improper", "cannot join its networks"])
    {
        return Error::new(
            format!("container {name} went away before a tap container could join it"),
            "start it, then capture again",
        );
    }
    let remedy = match status {
        401 | 403 => "have whoever rules this engine allow it, or capture as root of its host",
        _ => "capture as root of the engine's host: sudo containerdump capture",
    };
    Error::new(trouble.message().as_str(), format!("{remedy}; the engine's own log may tell more"))
}

/// What is missing is missing here.
pub(super) fn at_home(error: &io::Error, container: &Container) -> Error {
    Error::new(
        format!("cannot start a tap container for container {}: {error}", container.name),
        "free some file descriptors or processes: ulimit -n, ulimit -u",
    )
}

/// The engine cannot remove a container by itself.
pub(super) fn too_old(container: &Container, api: &SafeText) -> Error {
    Error::new(
        format!(
            "cannot take packets through {} at {}: its API {api} is older than 1.25",
            container.engine.as_str(),
            container.endpoint
        ),
        "update the engine, or capture as root of its host",
    )
}

/// There is no program for what the engine runs on.
pub(super) fn no_program(container: &Container, system: &SafeText, processor: &SafeText) -> Error {
    Error::new(
        format!(
            "cannot take packets through {} at {}: it runs on {system} {processor}, for which there is no containerdump",
            container.engine.as_str(),
            container.endpoint
        ),
        "capture on a host with Linux on x86_64 or aarch64",
    )
}
