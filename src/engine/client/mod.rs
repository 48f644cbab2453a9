//! Requests to an engine: Docker's API, which Podman serves too, over Unix sockets, TCP, TLS and SSH.

pub(super) mod api;
mod connection;
pub(crate) mod container_fields;
mod container_json;
pub(crate) mod container_list;
pub(super) mod error;
pub(super) mod lenient;
pub(super) mod request;
mod ssh;
mod tcp;
mod tls;

pub(super) use connection::EngineStream;
pub use container_json::ContainerInspection;
pub use ssh::{SshConnectionGuard, ssh_ports};
pub use tcp::{SOURCE_PORTS, tcp_ports};

use crate::error::Error;

/// Runs `work` on a single-threaded runtime of its own.
///
/// Fails when the runtime cannot be created.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(
            format!("cannot query the engine: {error}"),
            "free some memory or file descriptors (ulimit -n)",
        )
    })?;
    let output = runtime.block_on(work);
    // A name lookup that hangs must not delay the result.
    runtime.shutdown_background();
    Ok(output)
}
