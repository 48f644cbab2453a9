//! The error of a capture that selects no container.

use containerdump::container::Container;
use containerdump::engine::EngineTimeouts;
use containerdump::error::Error;
use containerdump::link::NamedNamespaces;
use containerdump::safe_text::SafeText;
use containerdump::tap;

/// Containers that are listed at most.
const MAX_LISTED: usize = 8;
/// Characters of the list of names.
const MAX_NAMES_LEN: usize = 200;

/// The error, with the containers that can be captured on this host.
pub(super) fn error(is_remote: bool) -> Error {
    let message = "cannot capture: no container is named";
    if is_remote {
        return Error::new(message, "name one, or use --all; list them with: containerdump list --host HOST");
    }
    match tap::running_containers(&NamedNamespaces::default(), EngineTimeouts::COMMAND_LINE) {
        Ok(running) => Error::new(message, remedy(&running.containers)),
        Err(error) => error,
    }
}

fn remedy(containers: &[Container]) -> String {
    let Some(first) = containers.first() else {
        return "start a container, or wait for one: containerdump capture NAME --wait".to_owned();
    };
    let shown = containers.iter().take(MAX_LISTED).map(|one| one.name.shortened().to_string());
    let more = match containers.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => format!(" and {more} more (containerdump list)"),
    };
    let names = SafeText::with_limit(&shown.collect::<Vec<_>>().join(", "), MAX_NAMES_LEN);
    format!("choose from {names}{more}: containerdump capture {}; or use --all", first.name.shortened())
}
