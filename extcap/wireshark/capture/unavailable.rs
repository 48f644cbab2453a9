//! Interfaces that stand for containers that cannot be captured: starting a capture explains why.

use containerdump::container::EngineKind;
use containerdump::engine::{self, EngineStatus, EngineTimeouts};
use containerdump::error::Error;
use containerdump::link::NamedNamespaces;
use containerdump::session::Output;
use containerdump::stop::Stop;
use containerdump::tap;

use crate::wireshark::interfaces::unavailable_engine;

/// Explains why there are no containers.
///
/// # Errors
///
/// Always, unless the capture is stopped.
pub(super) fn explain_no_containers(stop: &Stop, output: &Output) -> Result<(), Error> {
    let running = || tap::running_containers(&NamedNamespaces::default(), EngineTimeouts::COMMAND_LINE);
    let Ok(running) = stop.wait_for(output.pipe(), running) else { return Ok(()) };
    Err(if running?.containers.is_empty() {
        Error::new(
            "no container is running",
            "start a container, then press F5 to refresh the interface list",
        )
    } else {
        Error::new(
            "containers have started since the interface list was loaded",
            "press F5 to refresh the interface list, and select a container",
        )
    })
}

/// Explains why an engine is unavailable.
///
/// # Errors
///
/// Always, unless the capture is stopped.
pub(super) fn explain_engine(engine: EngineKind, stop: &Stop, output: &Output) -> Result<(), Error> {
    let list = || Ok(engine::list(&NamedNamespaces::default(), EngineTimeouts::COMMAND_LINE));
    let Ok(listings) = stop.wait_for(output.pipe(), list) else { return Ok(()) };
    let mut is_available = false;
    for listing in listings?.into_iter().filter(|listing| listing.engine == engine) {
        match listing.status {
            EngineStatus::Unavailable(error) => return Err(error),
            EngineStatus::Available { .. } => is_available = true,
            EngineStatus::Absent => {}
        }
    }
    let status = if is_available { "is available now" } else { "is not running" };
    Err(Error::new(
        format!(
            "cannot capture {}: it is not a container, and {} {status}",
            unavailable_engine(engine),
            engine.display_name()
        ),
        "press F5 to refresh the interface list, and select a container; to capture one that is not listed, run: \
         containerdump capture NAME",
    ))
}
