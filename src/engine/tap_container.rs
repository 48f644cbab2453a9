//! A container of our own that takes the packets of another one: it is joined to the other's network
//! namespace, has nothing but our static program and no right but CAP_NET_RAW, and ends with the
//! connection that carries its standard streams.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
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
use super::{leftovers, tap_trouble};
use crate::container::{Container, ContainerId};
use crate::endpoint::Endpoint;
use crate::privilege;
use crate::static_program::{Architecture, StaticProgram};
use crate::text::Label;
use crate::trouble::Trouble;

/// Label of every tap container.
pub(super) const LABEL: &str = "org.containerdump.tap";
/// Label with the id of the container whose packets it takes.
pub(super) const TARGET: &str = "org.containerdump.target";
/// The first version of the API that removes a container by itself (Docker 1.13).
const OLDEST_API: (u32, u32) = (1, 25);
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
/// How long [`TapContainer::end`] waits.
const END_DEADLINE: Duration = Duration::from_secs(8);
/// Threads and processes; the program has a handful.
const MOST_PROCESSES: u32 = 64;

/// The processor that the engine of a container is on.
///
/// Fails when the engine cannot be asked, is not Linux, or is of a processor without a program.
pub fn architecture(container: &Container) -> Result<Architecture, Trouble> {
    let asked = ask(&container.endpoint, Method::GET, "/version", Sent::Nothing, LOOK_DEADLINE);
    let told = super::block_on(asked)?
        .map_err(|failure| tap_trouble::of(&failure, container, "ask for the processor of the engine"))?;
    let word = |field: &str| Label::new(told[field].as_str().unwrap_or_default());
    let api = word("ApiVersion");
    if version(api.as_str()).is_some_and(|version| version < OLDEST_API) {
        return Err(tap_trouble::too_old(container, &api));
    }
    let (system, processor) = (word("Os"), word("Arch"));
    match Architecture::called(processor.as_str()).filter(|_| system.as_str() == "linux") {
        Some(architecture) => Ok(architecture),
        None => Err(tap_trouble::no_program(container, &system, &processor)),
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A tap container that runs. It ends when this value is dropped.
#[derive(Debug)]
pub struct TapContainer {
    stream: UnixStream,
    said: Arc<Said>,
    ended: Receiver<Option<i64>>,
}

/// How a tap container ended.
#[derive(Debug)]
pub struct TapEnd {
    /// Exit status of the program, where the engine told it in time.
    pub status: Option<i64>,
    /// The last 4 KiB of what the program said on stderr.
    pub said: Label,
}

impl TapContainer {
    /// Runs `program` with `arguments` in the network namespace of `container`, by its engine.
    /// `importing` is called with the name of the image before that is imported, which takes seconds.
    ///
    /// Fails when the engine refuses a step or does not answer in time; nothing of it is left then.
    pub fn start(
        container: &Container,
        program: &StaticProgram,
        arguments: &[String],
        mut importing: impl FnMut(&str),
    ) -> Result<Self, Trouble> {
        let failed = |error: io::Error| {
            Trouble::new(
                format!("cannot start a tap container for container {}: {error}", container.name),
                "free some file descriptors or processes: ulimit -n, ulimit -u",
            )
        };
        let (stream, far) = UnixStream::pair().map_err(failed)?;
        far.set_nonblocking(true).map_err(failed)?;
        let said = Arc::new(Said::default());
        let (told, tells) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let work = Work {
            container: container.clone(),
            program: program.clone(),
            arguments: arguments.to_vec(),
            said: Arc::clone(&said),
            told,
        };
        thread::Builder::new()
            .name("tap container".to_owned())
            .spawn(move || {
                // A reader that has left does not want to know.
                let _ = end.send(work.run(far));
            })
            .map_err(failed)?;
        loop {
            match tells.recv() {
                Ok(Told::Importing(name)) => importing(&name),
                Ok(Told::Started) => return Ok(Self { stream, said, ended }),
                Ok(Told::Failed(trouble)) => return Err(trouble),
                Err(_) => return Err(failed(io::Error::other("its thread ended"))),
            }
        }
    }

    /// Another handle on its streams: what is read is the program's stdout, what is written its stdin.
    /// They end with this value, whoever else holds them.
    ///
    /// Fails when there is no file descriptor left.
    pub fn stream(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// The last 4 KiB of what the program said on stderr so far.
    pub fn said(&self) -> Label {
        self.said.label()
    }

    /// Ends it, where it has not ended by itself, and tells how it ended. Takes 8 seconds at most,
    /// and that only where the engine hangs.
    pub fn end(self) -> TapEnd {
        let _ = self.stream.shutdown(Shutdown::Both);
        let status = self.ended.recv_timeout(END_DEADLINE).ok().flatten();
        TapEnd { status, said: self.said.label() }
    }
}

impl Drop for TapContainer {
    fn drop(&mut self) {
        // Handles of others must not keep it alive.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// What the thread tells before the streams are there.
enum Told {
    Importing(String),
    Started,
    Failed(Trouble),
}

/// What the thread of a tap container has to do.
struct Work {
    container: Container,
    program: StaticProgram,
    arguments: Vec<String>,
    said: Arc<Said>,
    told: Sender<Told>,
}

/// A tap container that was made and started, with its streams.
struct Started {
    id: ContainerId,
    wire: Wire,
    first: Bytes,
    status: tokio::task::JoinHandle<Option<i64>>,
}

impl Work {
    /// Returns the exit status of the program.
    fn run(self, near: UnixStream) -> Option<i64> {
        let failed = |error: io::Error| {
            Trouble::new(
                format!("cannot start a tap container for container {}: {error}", self.container.name),
                "free some file descriptors or processes: ulimit -n, ulimit -u",
            )
        };
        // This thread lives as long as the capture, which looks at every thread's rights.
        let runtime = privilege::drop_on_this_thread()
            .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = self.told.send(Told::Failed(failed(error)));
                return None;
            }
        };
        let status = runtime.block_on(async {
            match self.start().await {
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

    async fn start(&self) -> Result<Started, Trouble> {
        let (container, endpoint) = (&self.container, &self.container.endpoint);
        let importing = |name: &str| {
            info!("{name} is imported at {endpoint}");
            let _ = self.told.send(Told::Importing(name.to_owned()));
        };
        let image = TapImage::ready(endpoint, &self.program, importing)
            .await
            .map_err(|failure| tap_trouble::of(&failure, container, "import the image of tap containers"))?;
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
        // The image's name may have gone to another image meanwhile.
        let made = ask(endpoint, Method::GET, &path("json"), Sent::Nothing, LOOK_DEADLINE).await?;
        if made["Image"].as_str().and_then(bare_id).as_ref() != Some(&image.id) {
            return Err(Failure::Other(format!("{} became another image meanwhile", image.name)));
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
        "Image": image.name,
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
        "Labels": { LABEL: "1", TARGET: target.as_str() },
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
