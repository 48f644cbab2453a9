//! A proxy of an engine's socket that records what the engine is asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::lab::folder;
use super::tcp_relay::carry;

/// Forwards connections to an engine.
pub(crate) struct EngineProxy {
    folder: TempDir,
    requests: Arc<Mutex<Vec<String>>>,
}

impl EngineProxy {
    /// A proxy of the engine at `url`, a socket.
    pub(crate) fn start(url: &str) -> Self {
        let engine = PathBuf::from(url.strip_prefix("unix://").expect("a socket"));
        let (folder, requests) = (folder(), Arc::new(Mutex::new(Vec::new())));
        let listener = UnixListener::bind(folder.path().join("engine.sock")).expect("a socket");
        let of_thread = Arc::clone(&requests);
        // Ends with the process: closing a listener does not wake it.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let engine = UnixStream::connect(&engine).expect("the engine");
                let (to_client, from_engine) =
                    (client.try_clone().expect("client"), engine.try_clone().expect("engine"));
                let requests = Arc::clone(&of_thread);
                std::thread::spawn(move || forward_requests(client, engine, &requests));
                std::thread::spawn(move || {
                    carry(from_engine, &to_client, |client| client.shutdown(Shutdown::Write));
                });
            }
        });
        Self { folder, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("engine.sock").display())
    }

    /// The request lines since the last call: `GET /containers/json`.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().expect("no test panics in here"))
    }
}

/// Forwards line by line, so that every request of a connection is seen.
fn forward_requests(client: UnixStream, mut engine: UnixStream, requests: &Mutex<Vec<String>>) {
    let mut client = BufReader::new(client);
    let mut line = Vec::new();
    while client.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if let Some(request) = String::from_utf8_lossy(&line).trim_end().strip_suffix(" HTTP/1.1") {
            requests.lock().expect("no test panics in here").push(request.to_owned());
        }
        if engine.write_all(&line).is_err() {
            break;
        }
        line.clear();
    }
    let _ = engine.shutdown(Shutdown::Write);
}
