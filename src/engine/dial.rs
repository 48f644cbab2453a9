//! Engines on other hosts whose API a command there speaks on its standard streams, as Docker's own client reaches
//! them.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard::errors::Error as BollardError;
use tokio::net::UnixStream;

use super::failure::Why;
use super::places::{self, Place};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::ssh::{Connection, Dialled, Host};

/// What a command that failed may take to end, once its streams have.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The connections of this program, one for each host. A second request must not authenticate again.
static CONNECTIONS: Mutex<Vec<(String, Way)>> = Mutex::new(Vec::new());

/// A connection, and who connects.
#[derive(Clone)]
struct Way {
    connection: Connection,
    connecting: Arc<tokio::sync::Mutex<()>>,
}

/// Ends the connections of this program when it is dropped.
#[derive(Debug)]
pub struct SshConnectionGuard;

impl Drop for SshConnectionGuard {
    fn drop(&mut self) {
        // Whoever still uses one loses it: this is the end of the program.
        for (_, way) in CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            way.connection.end();
        }
    }
}

/// What a connection lives by.
#[derive(Clone)]
pub(super) struct Held(Arc<Mutex<Dialled>>);

impl Held {
    fn with<T>(&self, ask: impl FnOnce(&mut Dialled) -> T) -> T {
        ask(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why it ended, if it did soon and says so.
    pub(super) async fn why(&self) -> Option<BollardError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.with(Dialled::ended) {
                None if Instant::now() < until => tokio::time::sleep(LOOK_EVERY).await,
                None | Some(Ok(())) => return None,
                Some(Err(trouble)) => return Some(io::Error::other(Why(trouble)).into()),
            }
        }
    }
}

/// The ports where servers of `ssh` listen that lead to engines; 22 among them, which another may stand for.
pub fn ssh_ports() -> Vec<u16> {
    let port = |place: Place| {
        let Ok(Endpoint::Ssh { host, .. }) = place.endpoint else { return None };
        way(&host).ok().map(|way| way.connection.port())
    };
    let mut ports: Vec<u16> =
        places::all().into_iter().filter_map(port).flat_map(|port| [port, 22]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Starts `command` on `host`. The first of all connects, which may take as long as somebody needs to type.
///
/// Fails when `host` cannot be one, or `ssh` does not start.
pub(super) async fn connect(host: &str, command: &str) -> io::Result<(UnixStream, Held)> {
    let way = way(host).map_err(|trouble| io::Error::other(Why(trouble)))?;
    let alone = way.connecting.lock().await;
    let held = Held(Arc::new(Mutex::new(way.connection.dial(command)?)));
    while !held.with(Dialled::is_connected) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    drop(alone);
    let stream = held.with(|dialled| dialled.stream())?;
    stream.set_nonblocking(true)?;
    Ok((UnixStream::from_std(stream)?, held))
}

fn way(host: &str) -> Result<Way, Error> {
    let mut connections = CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, way)) = connections.iter().find(|(of, _)| of == host) {
        return Ok(way.clone());
    }
    let to: Host =
        host.parse().map_err(|why| Error::new(format!("cannot connect to {host}: {why}"), "see its name"))?;
    let way = Way { connection: Connection::to(&to)?, connecting: Arc::default() };
    connections.push((host.to_owned(), way.clone()));
    Ok(way)
}
