//! The thread of a tap container: creates and starts it, and forwards its streams until it ends.

use std::hash::{BuildHasher as _, RandomState};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use log::{debug, info};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::image::{PROGRAM_PATH, TapImage, bare_id};
use super::stream::{StderrTail, forward_output};
use super::{QUERY_TIMEOUT, cleanup, error};
use crate::container::endpoint::Endpoint;
use crate::container::{Container, ContainerId};
use crate::engine::client::EngineStream;
use crate::engine::client::error::RequestError;
use crate::engine::client::request::{self, RequestBody, request_json};
use crate::engine::labels;
use crate::error::Error;
use crate::privilege;
use crate::static_program::StaticProgram;

/// For creating or starting a container, which waits for disks and control groups.
const CREATE_TIMEOUT: Duration = Duration::from_secs(30);
/// For a response that arrives when a container ends.
const NO_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);
/// How long the program may take to exit after its stdin is closed, before the container is removed.
const EXIT_GRACE: Duration = Duration::from_secs(3);
/// For the exit status after the streams have ended.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Threads and processes in the container; the program has a handful.
const MAX_PROCESSES: u32 = 64;

/// Progress until the streams are available.
pub(super) enum StartEvent {
    Importing(String),
    Started,
    Failed(Error),
}

/// The work of the thread.
pub(super) struct TapContainerTask {
    pub(super) container: Container,
    pub(super) arguments: Vec<String>,
    pub(super) stderr: Arc<StderrTail>,
    pub(super) events: Sender<StartEvent>,
}

/// A started tap container with its streams.
struct AttachedContainer {
    id: ContainerId,
    stream: EngineStream,
    first_bytes: Bytes,
    exit_status: tokio::task::JoinHandle<Option<i64>>,
}

impl TapContainerTask {
    /// Returns the exit status. Frees `program` once it runs.
    pub(super) fn run(self, program: StaticProgram, local: UnixStream) -> Option<i64> {
        // A capture checks that no thread of the process has a capability.
        let runtime = privilege::drop_on_this_thread()
            .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = self.events.send(StartEvent::Failed(error::local_failure(&error, &self.container)));
                return None;
            }
        };
        let status = runtime.block_on(async {
            match self.start(program).await {
                Ok(attached) => {
                    let _ = self.events.send(StartEvent::Started);
                    self.forward(attached, local).await
                }
                Err(error) => {
                    let _ = self.events.send(StartEvent::Failed(error));
                    None
                }
            }
        });
        runtime.shutdown_background();
        status
    }

    async fn start(&self, program: StaticProgram) -> Result<AttachedContainer, Error> {
        let (container, endpoint) = (&self.container, &self.container.endpoint);
        let on_import = |name: &str| {
            info!("importing image {name} at {endpoint}");
            let _ = self.events.send(StartEvent::Importing(name.to_owned()));
        };
        let image = TapImage::ensure(endpoint, &program, on_import)
            .await
            .map_err(|error| error::explain(&error, container, "import the tap container image"))?;
        // Frees megabytes per tap while the capture runs.
        drop(program);
        // A process that was killed between creating and starting a container left it behind.
        cleanup::remove_stale(endpoint).await;
        let id = self
            .create(&image)
            .await
            .map_err(|error| error::explain(&error, container, "create a tap container"))?;
        match self.attach_and_start(&id, &image).await {
            Ok(attached) => Ok(attached),
            Err(error) => {
                cleanup::remove(endpoint, &id, true).await;
                Err(error::explain(&error, container, "start a tap container"))
            }
        }
    }

    async fn create(&self, image: &TapImage) -> Result<ContainerId, RequestError> {
        let target = &self.container.id;
        let name = format!("containerdump-tap-{}-{:08x}", target.short(), random());
        let path = format!("/containers/create?name={name}");
        let body = RequestBody::Json(container_config(image, target, &self.arguments));
        let created =
            request_json(&self.container.endpoint, Method::POST, &path, body, CREATE_TIMEOUT).await?;
        created["Id"].as_str().and_then(ContainerId::parse).ok_or(RequestError::NotDockerApi)
    }

    async fn attach_and_start(
        &self,
        id: &ContainerId,
        image: &TapImage,
    ) -> Result<AttachedContainer, RequestError> {
        let endpoint = &self.container.endpoint;
        let path = |rest: &str| format!("/containers/{}/{rest}", id.as_str());
        // The image name may have been reassigned since it was checked.
        let created =
            request_json(endpoint, Method::GET, &path("json"), RequestBody::Empty, QUERY_TIMEOUT).await?;
        if created["Image"].as_str().and_then(bare_id).as_ref() != Some(&image.id) {
            return Err(RequestError::Other(format!("it was not created from image {}", image.name)));
        }
        let streams = path("attach?stream=1&stdin=1&stdout=1&stderr=1");
        let (stream, first_bytes) = request::attach(endpoint, &streams, QUERY_TIMEOUT).await?;
        let exit_status = tokio::spawn(exit_status(endpoint.clone(), path("wait?condition=next-exit")));
        request_json(endpoint, Method::POST, &path("start"), RequestBody::Empty, CREATE_TIMEOUT).await?;
        debug!("tap container {} captures {}", id.short(), self.container.name);
        Ok(AttachedContainer { id: id.clone(), stream, first_bytes, exit_status })
    }

    /// Forwards the streams until the program exits, the local end is closed, or the target container ends.
    async fn forward(&self, attached: AttachedContainer, local: UnixStream) -> Option<i64> {
        let AttachedContainer { id, stream, first_bytes, exit_status } = attached;
        let endpoint = self.container.endpoint.clone();
        let target_watch = local.try_clone().map(|local| {
            let path = format!("/containers/{}/wait", self.container.id.as_str());
            tokio::spawn(end_with_target(endpoint.clone(), path, local))
        });
        let (from_local, to_local) = match tokio::net::UnixStream::from_std(local) {
            Ok(local) => tokio::io::split(local),
            Err(error) => {
                debug!("cannot read the input for a tap container: {error}");
                cleanup::remove(&endpoint, &id, true).await;
                return None;
            }
        };
        let (from_container, to_container) = tokio::io::split(stream);
        let input = tokio::spawn(forward_input(from_local, to_container, endpoint.clone(), id.clone()));
        if let Err(error) = forward_output(first_bytes, from_container, to_local, &self.stderr).await {
            debug!("the streams of tap container {} broke: {error}", id.short());
            cleanup::remove(&endpoint, &id, true).await;
        }
        input.abort();
        if let Ok(target_watch) = target_watch {
            target_watch.abort();
        }
        let status = tokio::time::timeout(STATUS_TIMEOUT, exit_status).await.ok()?.ok()?;
        debug!("tap container {} ended with status {status:?}", id.short());
        status
    }
}

/// The body of the create request.
fn container_config(image: &TapImage, target: &ContainerId, arguments: &[String]) -> Value {
    json!({
        "Image": image.id,
        "Entrypoint": [PROGRAM_PATH],
        "Cmd": arguments,
        "Env": [],
        // Docker grants added capabilities only to root.
        "User": "0:0",
        "WorkingDir": "/",
        "Tty": false,
        "OpenStdin": true,
        "StdinOnce": true,
        "AttachStdin": true,
        "AttachStdout": true,
        "AttachStderr": true,
        "Healthcheck": { "Test": ["NONE"] },
        "Labels": { labels::TAP: "1", labels::TARGET: target.as_str() },
        "HostConfig": {
            "NetworkMode": format!("container:{}", target.as_str()),
            "CapDrop": ["ALL"],
            "CapAdd": ["NET_RAW"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": true,
            "AutoRemove": true,
            "RestartPolicy": { "Name": "no" },
            // The output contains packets, which must not be written to the engine's disk.
            "LogConfig": { "Type": "none", "Config": {} },
            "PidsLimit": MAX_PROCESSES,
        },
    })
}

/// A random number, to make container names unique.
fn random() -> u32 {
    // `RandomState` is seeded by the system, differently in each thread.
    let number = RandomState::new().hash_one(std::process::id());
    u32::try_from(number >> 32).unwrap_or_default()
}

async fn exit_status(endpoint: Endpoint, path: String) -> Option<i64> {
    let response = request_json(&endpoint, Method::POST, &path, RequestBody::Empty, NO_TIMEOUT).await;
    response.ok()?["StatusCode"].as_i64()
}

/// Ends the input when the target container ends. The program itself does not notice that where the container has
/// only a loopback interface.
async fn end_with_target(endpoint: Endpoint, path: String, local: UnixStream) {
    let response = request_json(&endpoint, Method::POST, &path, RequestBody::Empty, NO_TIMEOUT).await;
    if matches!(response, Ok(_) | Err(RequestError::Status(404, _))) {
        let _ = local.shutdown(Shutdown::Read);
    }
}

/// Copies the input to the program. When the input ends, the program has a moment to exit before it is removed.
async fn forward_input(
    mut local: impl tokio::io::AsyncRead + Unpin,
    mut to_container: impl tokio::io::AsyncWrite + Unpin,
    endpoint: Endpoint,
    id: ContainerId,
) {
    // A broken connection ends the input, too.
    let _ = tokio::io::copy(&mut local, &mut to_container).await;
    let _ = to_container.shutdown().await;
    tokio::time::sleep(EXIT_GRACE).await;
    debug!("tap container {} did not exit after its stdin was closed; removing it", id.short());
    cleanup::remove(&endpoint, &id, true).await;
}
