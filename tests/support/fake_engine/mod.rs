//! A scripted container engine: HTTP/1.1 on a socket, with all request lines recorded.

mod answer;
mod described;
mod hostile;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

pub(crate) use answer::Answer;
pub(crate) use described::{Described, container, id};
#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use hostile::{Case, alike, hostile};

/// An engine that listens until it is dropped.
pub(crate) struct FakeEngine {
    folder: TempDir,
    script: Arc<Script>,
}

/// Responses to give, and requests received.
struct Script {
    list: Mutex<Answer>,
    inspect: Mutex<Answer>,
    /// Responses to other requests by their beginning: `POST /images/create`.
    others: Mutex<Vec<(String, Answer)>>,
    asked: Mutex<Vec<String>>,
    /// The body of the last request that had one.
    received: Mutex<Vec<u8>>,
    /// Bytes of responses sent.
    sent: AtomicUsize,
}

impl FakeEngine {
    /// An engine that responds with `list` when asked for its containers. Like older engines, it refuses newer API versions.
    pub(crate) fn answering(list: Answer) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let listener = UnixListener::bind(folder.path().join("engine.sock")).expect("a socket");
        let script = Arc::new(Script {
            list: Mutex::new(list),
            inspect: Mutex::new(Answer::Status(404, "No such container".to_owned())),
            others: Mutex::default(),
            asked: Mutex::default(),
            received: Mutex::default(),
            sent: AtomicUsize::new(0),
        });
        let of_thread = Arc::clone(&script);
        // Ends with the process: closing a listener does not wake it.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let script = Arc::clone(&of_thread);
                thread::spawn(move || script.serve(&stream));
            }
        });
        Self { folder, script }
    }

    /// An engine that runs `containers`, in Docker's format.
    pub(crate) fn running(containers: impl IntoIterator<Item = Described>) -> Self {
        Self::answering(Answer::containers(containers))
    }

    /// Sets the response to requests for a single container.
    pub(crate) fn inspecting(self, inspect: Answer) -> Self {
        *self.script.inspect.lock().expect("no test panics in here") = inspect;
        self
    }

    /// Sets the response to requests that begin with `question`: `POST /images/create`.
    pub(crate) fn also(self, question: &str, answer: Answer) -> Self {
        self.script.others.lock().expect("no test panics in here").push((question.to_owned(), answer));
        self
    }

    /// The body of the last request that had one.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.script.received.lock().expect("no test panics in here").clone()
    }

    /// Sets the pid of every container.
    pub(crate) fn with_pid(self, pid: impl Into<serde_json::Value>) -> Self {
        let state = serde_json::json!({ "State": { "Status": "running", "Pid": pid.into() } });
        self.inspecting(Answer::json(&state))
    }

    /// Changes the response to requests for all containers.
    pub(crate) fn set_list(&self, list: Answer) {
        *self.script.list.lock().expect("no test panics in here") = list;
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// The `DOCKER_HOST` of this engine.
    pub(crate) fn address(&self) -> String {
        address(&self.socket())
    }

    /// Sets the mode of the socket, and makes its directory accessible.
    pub(crate) fn with_mode(self, mode: u32) -> Self {
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        set(self.folder.path(), 0o755).expect("the folder is ours");
        set(&self.socket(), mode).expect("the socket is ours");
        self
    }

    /// The request lines so far: `GET /containers/json`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.script.asked.lock().expect("no test panics in here").clone()
    }

    /// The number of response bytes sent.
    pub(crate) fn sent(&self) -> usize {
        self.script.sent.load(Ordering::Relaxed)
    }

    /// Asserts that only the list and single containers by full id were requested.
    pub(crate) fn assert_only_allowed_requests(&self) {
        let is_id =
            |id: &str| id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let asked = self.asked();
        for line in &asked {
            let one = line.strip_prefix("GET /containers/").and_then(|rest| rest.strip_suffix("/json"));
            assert!(line == "GET /containers/json" || one.is_some_and(is_id), "asked for {line:?}");
        }
    }
}

/// The `DOCKER_HOST` of a socket.
pub(crate) fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

impl Script {
    /// Reads one request and responds. A client may close early.
    fn serve(&self, stream: &UnixStream) {
        let Some((line, body)) = request(stream) else { return };
        self.asked.lock().expect("no test panics in here").push(line.clone());
        if !body.is_empty() {
            *self.received.lock().expect("no test panics in here") = body;
        }
        // Releases the lock before the response is written.
        let other = {
            let others = self.others.lock().expect("no test panics in here");
            others.iter().find(|(question, _)| line.starts_with(question)).map(|(_, answer)| answer.clone())
        };
        let path = line.split_once(' ').map_or("", |(_, path)| path);
        let answer = match path.split('/').collect::<Vec<_>>().as_slice() {
            _ if other.is_some() => other.unwrap_or(Answer::Farewell),
            ["", version, ..] if version.starts_with("v1.") => Answer::Status(
                400,
                format!("client version {version} is too new. Maximum supported API version is 1.41"),
            ),
            ["", "containers", "json"] => self.list.lock().expect("no test panics in here").clone(),
            ["", "containers", _, "json"] => self.inspect.lock().expect("no test panics in here").clone(),
            _ => Answer::Status(404, "page not found".to_owned()),
        };
        let _ = answer.give(stream, &self.sent);
    }
}

/// The request line without `HTTP/1.1`, and the body.
fn request(stream: &UnixStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream.take(64 * 1024));
    let mut lines = (&mut reader).lines();
    let line = lines.next()?.ok()?;
    let mut length = 0;
    loop {
        let header = lines.next()?.ok()?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(said) = header.strip_prefix("content-length:") {
            length = said.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((line.trim_end_matches(" HTTP/1.1").to_owned(), body))
}
