//! Who runs containers, and which run now.
//!
//! The only part of the program that waits on more than one thing at a time: each question runs
//! on a single-threaded runtime that is gone when the answer is there.

mod connection;
mod description;
mod docker;
mod endpoint;

use std::time::Duration;

use crate::container::{Container, EngineKind};
use crate::text::Label;
use crate::trouble::Trouble;
use endpoint::Endpoint;

/// For everything a list takes: Wireshark waits for it before its window opens.
const LIST_DEADLINE: Duration = Duration::from_millis(1500);
/// For finding one container's process, which only that capture waits for.
const INSPECT_DEADLINE: Duration = Duration::from_secs(5);

/// What one engine answered.
#[derive(Debug)]
pub struct Listing {
    /// Which engine was asked.
    pub engine: EngineKind,
    /// Where: `unix:///var/run/docker.sock`, safe to show.
    pub endpoint: Label,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of asking an engine for its containers.
#[derive(Debug)]
pub enum Outcome {
    /// Its running containers, and how many more it has that could not be understood.
    Containers {
        /// The containers, sorted by name, with their interface values assigned.
        containers: Vec<Container>,
        /// How many were left out because their description made no sense.
        left_out: usize,
    },
    /// No engine there.
    Absent,
    /// An engine is there but cannot be used.
    Unusable(Trouble),
}

/// Asks every engine for its running containers; takes at most 1.5 seconds for all of them.
pub fn list() -> Vec<Listing> {
    let (endpoint, outcome) = match Endpoint::docker() {
        Ok(endpoint) => {
            let outcome = match block_on(docker::list(&endpoint, LIST_DEADLINE)) {
                Ok(outcome) => outcome,
                Err(trouble) => Outcome::Unusable(trouble),
            };
            (Label::with_limit(&endpoint.to_string(), 200), outcome)
        }
        Err(trouble) => (Label::new("DOCKER_HOST"), Outcome::Unusable(trouble)),
    };
    vec![Listing { engine: EngineKind::Docker, endpoint, outcome }]
}

/// Pid of a container's first process, on this host.
///
/// Fails when the engine cannot be asked within 5 seconds or the container does not run.
pub fn first_pid(container: &Container) -> Result<i32, Trouble> {
    match container.engine {
        EngineKind::Docker => {
            let endpoint = Endpoint::docker()?;
            block_on(docker::first_pid(&endpoint, &container.id, INSPECT_DEADLINE))?
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Trouble::new(format!("cannot wait for the engine: {error}"), "free some memory or file descriptors")
    })?;
    let outcome = runtime.block_on(work);
    // A name look-up that hangs must not hold up the answer.
    runtime.shutdown_background();
    Ok(outcome)
}
