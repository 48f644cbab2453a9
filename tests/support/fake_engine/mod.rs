//! A container engine that does as it is told, also what no real one would: HTTP/1.1 on a socket
//! of its own, with every request line kept.

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

/// Listens until it is dropped.
pub(crate) struct FakeEngine {
    folder: TempDir,
    script: Arc<Script>,
}

/// What to answer, and what was asked.
struct Script {
    list: Mutex<Answer>,
    inspect: Mutex<Answer>,
    /// Answers to whatever else begins so: `POST /images/create`.
    others: Mutex<Vec<(String, Answer)>>,
    asked: Mutex<Vec<String>>,
    /// What came with the last question that had anything with it.
    received: Mutex<Vec<u8>>,
    /// Bytes of answers taken off our hands.
    sent: AtomicUsize,
}

impl FakeEngine {
    /// An engine that answers `list` when it is asked for its containers. Like an engine of some
    /// years ago, it refuses versions of the API it does not know.
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
        // Ends with the test's process: a listener cannot be woken by closing it.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let script = Arc::clone(&of_thread);
                thread::spawn(move || script.serve(&stream));
            }
        });
        Self { folder, script }
    }

    /// An engine that runs `containers`, described as Docker does.
    pub(crate) fn running(containers: impl IntoIterator<Item = Described>) -> Self {
        Self::answering(Answer::containers(containers))
    }

    /// Answers `inspect` when asked about any one container.
    pub(crate) fn inspecting(self, inspect: Answer) -> Self {
        *self.script.inspect.lock().expect("no test panics in here") = inspect;
        self
    }

    /// Answers whatever begins with `question` so: `POST /images/create`.
    pub(crate) fn also(self, question: &str, answer: Answer) -> Self {
        self.script.others.lock().expect("no test panics in here").push((question.to_owned(), answer));
        self
    }

    /// What came with the last question that had anything with it.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.script.received.lock().expect("no test panics in here").clone()
    }

    /// Answers that the first process of every container is `pid`.
    pub(crate) fn with_pid(self, pid: impl Into<serde_json::Value>) -> Self {
        let state = serde_json::json!({ "State": { "Status": "running", "Pid": pid.into() } });
        self.inspecting(Answer::json(&state))
    }

    /// Changes the answer to the question for all containers.
    pub(crate) fn now_answers(&self, list: Answer) {
        *self.script.list.lock().expect("no test panics in here") = list;
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// What `DOCKER_HOST` must be for this engine to be asked.
    pub(crate) fn address(&self) -> String {
        address(&self.socket())
    }

    /// Sets the rights on the socket; those on its folder let everyone through.
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

    /// How many bytes of answers were taken.
    pub(crate) fn sent(&self) -> usize {
        self.script.sent.load(Ordering::Relaxed)
    }

    /// Asserts that nothing was asked but for all containers, or about one by its full id.
    pub(crate) fn was_only_asked_what_is_allowed(&self) {
        let is_id =
            |id: &str| id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let asked = self.asked();
        for line in &asked {
            let one = line.strip_prefix("GET /containers/").and_then(|rest| rest.strip_suffix("/json"));
            assert!(line == "GET /containers/json" || one.is_some_and(is_id), "asked for {line:?}");
        }
    }
}

/// What `DOCKER_HOST` must be for whoever listens at `socket` to be asked.
pub(crate) fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

impl Script {
    /// Reads one request and answers it. A program that leaves early is no trouble of ours.
    fn serve(&self, stream: &UnixStream) {
        let Some((line, body)) = request(stream) else { return };
        self.asked.lock().expect("no test panics in here").push(line.clone());
        if !body.is_empty() {
            *self.received.lock().expect("no test panics in here") = body;
        }
        // Not for as long as the answer takes.
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

/// The request line without its `HTTP/1.1`, and what came with it; the headers are read and left.
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
