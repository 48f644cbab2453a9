//! A capture for which no container was named.

use containerdump::container::Container;
use containerdump::engine::EngineTimeouts;
use containerdump::error::Error;
use containerdump::link::NamedNamespaces;
use containerdump::safe_text::SafeText;
use containerdump::tap;

/// Containers that are listed at most.
const MAX_LISTED: usize = 8;

/// Why nothing is captured, and what can be.
pub(super) fn refusal(on_other_hosts: bool) -> Error {
    let what = "cannot capture: no container was named";
    if on_other_hosts {
        return Error::new(
            what,
            "name one, or use --all; see which there are: containerdump list --host HOST",
        );
    }
    match tap::running_containers(&NamedNamespaces::default(), EngineTimeouts::COMMAND_LINE) {
        Ok(running) => Error::new(what, remedy(&running.containers)),
        Err(trouble) => trouble,
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
    let names = SafeText::with_limit(&shown.collect::<Vec<_>>().join(", "), 200);
    format!("choose from {names}{more}: containerdump capture {}; or use --all", first.name.shortened())
}
