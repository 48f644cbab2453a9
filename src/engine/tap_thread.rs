//! The thread of a tap container: makes it, starts it, and carries its streams until it ends.

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

use super::ask::{self, Sent, ask};
use super::connection::Wire;
use super::failure::Failure;
use super::tap_image::{PROGRAM, TapImage, bare_id};
use super::tap_stream::{Said, hand_on};
use super::{labels, leftovers, tap_trouble};
use crate::container::{Container, ContainerId};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::privilege;
use crate::static_program::StaticProgram;

/// For a question that an engine answers from memory.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
/// For making or starting a container, which waits for disks and control groups.
const MAKE_DEADLINE: Duration = Duration::from_secs(30);
/// For an answer that comes when a container ends.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);
/// How long the program may take to end once its stdin is closed, before it is removed.
const GRACE: Duration = Duration::from_secs(3);
/// For its status to be told once its streams have ended.
const STATUS_DEADLINE: Duration = Duration::from_secs(2);
/// Threads and processes; the program has a handful.
const MOST_PROCESSES: u32 = 64;

/// What the thread tells before the streams are there.
pub(super) enum Told {
    Importing(String),
    Started,
    Failed(Error),
}

/// What the thread of a tap container has to do.
pub(super) struct Work {
    pub(super) container: Container,
    pub(super) arguments: Vec<String>,
    pub(super) said: Arc<Said>,
    pub(super) told: Sender<Told>,
}

/// A tap container that was made and started, with its streams.
struct Started {
    id: ContainerId,
    wire: Wire,
    first: Bytes,
    status: tokio::task::JoinHandle<Option<i64>>,
}

impl Work {
    /// Returns the exit status of `program`, which is let go once it runs.
    pub(super) fn run(self, program: StaticProgram, near: UnixStream) -> Option<i64> {
        // This thread lives as long as the capture, which looks at every thread's rights.
        let runtime = privilege::drop_on_this_thread()
            .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = self.told.send(Told::Failed(tap_trouble::at_home(&error, &self.container)));
                return None;
            }
        };
        let status = runtime.block_on(async {
            match self.start(program).await {
                Ok(started) => {
                    let _ = self.told.send(Told::Started);
                    self.carry(started, near).await
                }
                Err(trouble) => {
                    let _ = self.told.send(Told::Failed(trouble));
                    None
                }
            }
        });
        runtime.shutdown_background();
        status
    }

    async fn start(&self, program: StaticProgram) -> Result<Started, Error> {
        let (container, endpoint) = (&self.container, &self.container.endpoint);
        let importing = |name: &str| {
            info!("{name} is imported at {endpoint}");
            let _ = self.told.send(Told::Importing(name.to_owned()));
        };
        let image = TapImage::ready(endpoint, &program, importing)
            .await
            .map_err(|failure| tap_trouble::of(&failure, container, "import the image of tap containers"))?;
        // Of each tap, that would be megabytes for as long as the capture runs.
        drop(program);
        // Whoever was killed between making one and starting it left it there.
        leftovers::remove_stale(endpoint).await;
        let id = self
            .make(&image)
            .await
            .map_err(|failure| tap_trouble::of(&failure, container, "make a tap container"))?;
        match self.started(&id, &image).await {
            Ok(started) => Ok(started),
            Err(failure) => {
                leftovers::remove(endpoint, &id, true).await;
                Err(tap_trouble::of(&failure, container, "start a tap container"))
            }
        }
    }

    async fn make(&self, image: &TapImage) -> Result<ContainerId, Failure> {
        let target = &self.container.id;
        let name = format!("containerdump-tap-{}-{:08x}", target.short(), random());
        let path = format!("/containers/create?name={name}");
        let body = Sent::Json(described(image, target, &self.arguments));
        let told = ask(&self.container.endpoint, Method::POST, &path, body, MAKE_DEADLINE).await?;
        told["Id"].as_str().and_then(ContainerId::parse).ok_or(Failure::NoSense)
    }

    async fn started(&self, id: &ContainerId, image: &TapImage) -> Result<Started, Failure> {
        let endpoint = &self.container.endpoint;
        let path = |rest: &str| format!("/containers/{}/{rest}", id.as_str());
        // By whatever name: it is made of the image that was looked at, and nothing else.
        let made = ask(endpoint, Method::GET, &path("json"), Sent::Nothing, LOOK_DEADLINE).await?;
        if made["Image"].as_str().and_then(bare_id).as_ref() != Some(&image.id) {
            return Err(Failure::Other(format!("made of another image than {}", image.name)));
        }
        let streams = path("attach?stream=1&stdin=1&stdout=1&stderr=1");
        let (wire, first) = ask::attach(endpoint, &streams, LOOK_DEADLINE).await?;
        let status = tokio::spawn(exit_status(endpoint.clone(), path("wait?condition=next-exit")));
        ask(endpoint, Method::POST, &path("start"), Sent::Nothing, MAKE_DEADLINE).await?;
        debug!("tap container {} takes the packets of {}", id.short(), self.container.name);
        Ok(Started { id: id.clone(), wire, first, status })
    }

    /// Carries its streams until it ends: by itself, because whoever reads them is gone, or because
    /// the container whose packets it takes has ended.
    async fn carry(&self, started: Started, near: UnixStream) -> Option<i64> {
        let Started { id, wire, first, status } = started;
        let endpoint = self.container.endpoint.clone();
        let target = near.try_clone().map(|near| {
            let path = format!("/containers/{}/wait", self.container.id.as_str());
            tokio::spawn(end_with_target(endpoint.clone(), path, near))
        });
        let (from_near, to_near) = match tokio::net::UnixStream::from_std(near) {
            Ok(near) => tokio::io::split(near),
            Err(error) => {
                debug!("cannot wait for what is written to a tap container: {error}");
                leftovers::remove(&endpoint, &id, true).await;
                return None;
            }
        };
        let (from_far, to_far) = tokio::io::split(wire);
        let input = tokio::spawn(hand_in(from_near, to_far, endpoint.clone(), id.clone()));
        if let Err(error) = hand_on(first, from_far, to_near, &self.said).await {
            debug!("the streams of tap container {} broke off: {error}", id.short());
            leftovers::remove(&endpoint, &id, true).await;
        }
        input.abort();
        if let Ok(target) = target {
            target.abort();
        }
        let status = tokio::time::timeout(STATUS_DEADLINE, status).await.ok()?.ok()?;
        debug!("tap container {} ended with status {status:?}", id.short());
        status
    }
}

/// The tap container as it is asked for.
fn described(image: &TapImage, target: &ContainerId, arguments: &[String]) -> Value {
    json!({
        "Image": image.id,
        "Entrypoint": [PROGRAM],
        "Cmd": arguments,
        "Env": [],
        // Docker gives the rights it adds to this user only.
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
            // Packets are in its output: they must not be written to the engine's disk.
            "LogConfig": { "Type": "none", "Config": {} },
            "PidsLimit": MOST_PROCESSES,
        },
    })
}

/// A number that nobody else has at the moment.
fn random() -> u32 {
    // Keyed by the system's random numbers, anew in each thread.
    let number = RandomState::new().hash_one(std::process::id());
    u32::try_from(number >> 32).unwrap_or_default()
}

async fn exit_status(endpoint: Endpoint, path: String) -> Option<i64> {
    let told = ask(&endpoint, Method::POST, &path, Sent::Nothing, FOR_EVER).await;
    told.ok()?["StatusCode"].as_i64()
}

/// Ends the reading from `near` when the target ends. Where it had nothing but a loopback, no
/// interface goes away that would tell the program.
async fn end_with_target(endpoint: Endpoint, path: String, near: UnixStream) {
    let ended = ask(&endpoint, Method::POST, &path, Sent::Nothing, FOR_EVER).await;
    if matches!(ended, Ok(_) | Err(Failure::Refused(404, _))) {
        let _ = near.shutdown(Shutdown::Read);
    }
}

/// Hands what is written to `near` in to the program. Once that has ended, the program has a moment to
/// end, too.
async fn hand_in(
    mut near: impl tokio::io::AsyncRead + Unpin,
    mut far: impl tokio::io::AsyncWrite + Unpin,
    endpoint: Endpoint,
    id: ContainerId,
) {
    // Either side may be gone: that is the end of it, too.
    let _ = tokio::io::copy(&mut near, &mut far).await;
    let _ = far.shutdown().await;
    tokio::time::sleep(GRACE).await;
    debug!("tap container {} goes on without its stdin and is removed", id.short());
    leftovers::remove(&endpoint, &id, true).await;
}
