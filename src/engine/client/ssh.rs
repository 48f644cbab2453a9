//! Engines on other hosts: a command there, started over SSH, speaks the engine's API on its standard streams, as for
//! Docker's own client.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::errors::Error as BollardError;
use tokio::net::UnixStream;

use super::error::ConnectError;
use crate::container::endpoint::Endpoint;
use crate::engine::discovery::{self, EngineCandidate};
use crate::error::Error;
use crate::ssh::{ConnectOptions, Host, SshConnection, StdioConnection};

/// How long a command may take to exit after its streams have ended.
const SSH_EXIT_TIMEOUT: Duration = Duration::from_secs(2);
const SSH_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// One connection per host, so that a second request does not authenticate again.
static CONNECTIONS: Mutex<Vec<(String, PooledConnection)>> = Mutex::new(Vec::new());

#[derive(Clone)]
struct PooledConnection {
    connection: SshConnection,
    /// Held while connecting.
    connect_lock: Arc<tokio::sync::Mutex<()>>,
}

/// Closes the SSH connections to engines when dropped, at the end of the program.
#[derive(Debug)]
pub struct SshConnectionGuard;

impl Drop for SshConnectionGuard {
    fn drop(&mut self) {
        for (_, pooled) in CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            pooled.connection.close();
        }
    }
}

/// The ssh process that carries one connection to an engine.
#[derive(Clone)]
pub(crate) struct SshTransport(Arc<Mutex<StdioConnection>>);

impl SshTransport {
    fn with<T>(&self, action: impl FnOnce(&mut StdioConnection) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the process failed, if it exits soon with an error.
    pub(super) async fn failure(&self) -> Option<BollardError> {
        let deadline = Instant::now() + SSH_EXIT_TIMEOUT;
        loop {
            match self.with(StdioConnection::try_outcome) {
                None if Instant::now() < deadline => tokio::time::sleep(SSH_POLL_INTERVAL).await,
                None | Some(Ok(())) => return None,
                Some(Err(error)) => return Some(io::Error::other(ConnectError(error)).into()),
            }
        }
    }
}

/// The ports of the SSH servers that lead to engines, and 22, to which one may be forwarded.
pub fn ssh_ports() -> Vec<u16> {
    let port = |candidate: EngineCandidate| {
        let Ok(Endpoint::Ssh { host, .. }) = candidate.endpoint else { return None };
        pooled(&host).ok().map(|pooled| pooled.connection.port())
    };
    let mut ports: Vec<u16> =
        discovery::candidates().into_iter().filter_map(port).flat_map(|port| [port, 22]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Starts `command` on `host`. The first call connects, which may take as long as the user types a passphrase.
///
/// Fails when the host name is invalid or `ssh` cannot be started.
pub(super) async fn connect(host: &str, command: &str) -> io::Result<(UnixStream, SshTransport)> {
    let pooled = pooled(host).map_err(|error| io::Error::other(ConnectError(error)))?;
    let connecting = pooled.connect_lock.lock().await;
    let transport = SshTransport(Arc::new(Mutex::new(pooled.connection.dial(command)?)));
    while !transport.with(StdioConnection::is_connected) {
        tokio::time::sleep(SSH_POLL_INTERVAL).await;
    }
    drop(connecting);
    let stream = transport.with(|dialled| dialled.stream())?;
    stream.set_nonblocking(true)?;
    Ok((UnixStream::from_std(stream)?, transport))
}

fn pooled(name: &str) -> Result<PooledConnection, Error> {
    let mut connections = CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, pooled)) = connections.iter().find(|(host, _)| host == name) {
        return Ok(pooled.clone());
    }
    let host: Host = name
        .parse()
        .map_err(|cause| Error::new(format!("cannot connect to {name}: {cause}"), "check the host name"))?;
    let pooled = PooledConnection {
        connection: SshConnection::new(&host, ConnectOptions::default())?,
        connect_lock: Arc::default(),
    };
    connections.push((name.to_owned(), pooled.clone()));
    Ok(pooled)
}
