//! A container of our own that captures another one: it joins the other's network namespace, contains only our static
//! program, has only CAP_NET_RAW, and ends with the connection that carries its standard streams.

mod cleanup;
mod error;
mod image;
pub(crate) mod stream;
mod task;

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::Method;

pub use self::cleanup::{Leftover, find_leftovers, remove_leftover};
use self::stream::StderrTail;
use self::task::{StartEvent, TapContainerTask};
use super::client::block_on;
use super::client::request::{RequestBody, request_json};
use crate::container::{Container, ContainerId};
use crate::error::Error;
use crate::safe_text::SafeText;
use crate::static_program::{Architecture, StaticProgram};

/// The first API version with automatic removal of containers (Docker 1.13).
const MIN_API_VERSION: (u32, u32) = (1, 25);
/// For requests that an engine answers from memory.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long [`TapContainer::end`] waits: longer than the program may take to exit.
const TAP_CONTAINER_END_TIMEOUT: Duration = Duration::from_secs(8);

/// The processor architecture of a container's engine.
///
/// Fails when the engine does not answer, is not Linux, or has an architecture without a program.
pub fn engine_architecture(container: &Container) -> Result<Architecture, Error> {
    let request =
        request_json(&container.endpoint, Method::GET, "/version", RequestBody::Empty, QUERY_TIMEOUT);
    let version = block_on(request)?
        .map_err(|error| error::explain(&error, container, "query the engine's architecture"))?;
    let field = |name: &str| SafeText::new(version[name].as_str().unwrap_or_default());
    let api = field("ApiVersion");
    if parse_version(api.as_str()).is_some_and(|version| version < MIN_API_VERSION) {
        return Err(error::api_too_old(container, &api));
    }
    let (system, processor) = (field("Os"), field("Arch"));
    match Architecture::from_name(processor.as_str()).filter(|_| system.as_str() == "linux") {
        Some(architecture) => Ok(architecture),
        None => Err(error::unsupported_platform(container, &system, &processor)),
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A running tap container. Dropping it ends it.
#[derive(Debug)]
pub struct TapContainer {
    stream: UnixStream,
    stderr: Arc<StderrTail>,
    exit_status: Receiver<Option<i64>>,
    thread: JoinHandle<()>,
    target: ContainerId,
}

/// How a tap container ended.
#[derive(Debug)]
pub struct TapContainerExit {
    /// Exit status of the program, where the engine reported it in time.
    pub status: Option<i64>,
    /// The last 4 KiB of the program's stderr.
    pub stderr: SafeText,
}

impl TapContainer {
    /// Runs `program` with `arguments` in the network namespace of `container`, through its engine. Calls `on_import`
    /// with the image name before the image is imported, which takes seconds.
    ///
    /// Fails when the engine refuses a step or does not respond in time; everything created is removed then.
    pub fn start(
        container: &Container,
        program: &StaticProgram,
        arguments: &[String],
        mut on_import: impl FnMut(&str),
    ) -> Result<Self, Error> {
        let local_failure = |error: io::Error| error::local_failure(&error, container);
        let (stream, task_stream) = UnixStream::pair().map_err(local_failure)?;
        task_stream.set_nonblocking(true).map_err(local_failure)?;
        let stderr = Arc::new(StderrTail::default());
        let (event_sender, events) = mpsc::channel();
        let (status_sender, exit_status) = mpsc::channel();
        let task = TapContainerTask {
            container: container.clone(),
            arguments: arguments.to_vec(),
            stderr: Arc::clone(&stderr),
            events: event_sender,
        };
        let program = program.clone();
        let thread = thread::Builder::new()
            .name("tap container".to_owned())
            .spawn(move || {
                // The receiver may be gone.
                let _ = status_sender.send(task.run(program, task_stream));
            })
            .map_err(local_failure)?;
        loop {
            match events.recv() {
                Ok(StartEvent::Importing(name)) => on_import(&name),
                Ok(StartEvent::Started) => {
                    return Ok(Self { stream, stderr, exit_status, thread, target: container.id.clone() });
                }
                Ok(StartEvent::Failed(error)) => return Err(error),
                Err(_) => return Err(local_failure(io::Error::other("its thread ended"))),
            }
        }
    }

    /// Another handle to its streams: reads the program's stdout, writes its stdin. All handles end with this value.
    ///
    /// Fails when no file descriptor is left.
    pub fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// The container that it captures.
    pub fn target(&self) -> &ContainerId {
        &self.target
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Makes it end, without waiting.
    pub fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The last 4 KiB of the program's stderr so far.
    pub fn stderr(&self) -> SafeText {
        self.stderr.text()
    }

    /// Ends it and returns how it ended. Takes up to 8 seconds where the engine hangs.
    pub fn end(self) -> TapContainerExit {
        self.close();
        let status = self.exit_status.recv_timeout(TAP_CONTAINER_END_TIMEOUT).ok().flatten();
        TapContainerExit { status, stderr: self.stderr.text() }
    }
}

impl Drop for TapContainer {
    fn drop(&mut self) {
        // Other handles must not keep it running.
        self.close();
    }
}
