//! A container of our own that takes the packets of another one: it is joined to the other's network
//! namespace, has nothing but our static program and no right but CAP_NET_RAW, and ends with the
//! connection that carries its standard streams.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::Method;

use super::ask::{Sent, ask};
use super::tap_stream::Said;
use super::tap_thread::{Told, Work};
use super::tap_trouble;
use crate::container::{Container, ContainerId};
use crate::error::Error;
use crate::safe_text::SafeText;
use crate::static_program::{Architecture, StaticProgram};

/// The first version of the API that removes a container by itself (Docker 1.13).
const OLDEST_API: (u32, u32) = (1, 25);
/// For a question that an engine answers from memory.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
/// How long [`TapContainer::end`] waits: longer than the program is given to end by itself.
const END_DEADLINE: Duration = Duration::from_secs(8);

/// The processor that the engine of a container is on.
///
/// Fails when the engine cannot be asked, is not Linux, or is of a processor without a program.
pub fn engine_architecture(container: &Container) -> Result<Architecture, Error> {
    let asked = ask(&container.endpoint, Method::GET, "/version", Sent::Nothing, LOOK_DEADLINE);
    let told = super::block_on(asked)?
        .map_err(|failure| tap_trouble::of(&failure, container, "ask for the processor of the engine"))?;
    let word = |field: &str| SafeText::new(told[field].as_str().unwrap_or_default());
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
    thread: JoinHandle<()>,
    taps: ContainerId,
}

/// How a tap container ended.
#[derive(Debug)]
pub struct TapContainerExit {
    /// Exit status of the program, where the engine told it in time.
    pub status: Option<i64>,
    /// The last 4 KiB of what the program said on stderr.
    pub stderr: SafeText,
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
    ) -> Result<Self, Error> {
        let failed = |error: io::Error| tap_trouble::at_home(&error, container);
        let (stream, far) = UnixStream::pair().map_err(failed)?;
        far.set_nonblocking(true).map_err(failed)?;
        let said = Arc::new(Said::default());
        let (told, tells) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let work = Work {
            container: container.clone(),
            arguments: arguments.to_vec(),
            said: Arc::clone(&said),
            told,
        };
        let program = program.clone();
        let thread = thread::Builder::new()
            .name("tap container".to_owned())
            .spawn(move || {
                // A reader that has left does not want to know.
                let _ = end.send(work.run(program, far));
            })
            .map_err(failed)?;
        loop {
            match tells.recv() {
                Ok(Told::Importing(name)) => importing(&name),
                Ok(Told::Started) => {
                    return Ok(Self { stream, said, ended, thread, taps: container.id.clone() });
                }
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

    /// The container whose packets it takes.
    pub fn target(&self) -> &ContainerId {
        &self.taps
    }

    /// Whether it is gone.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Has it end, without waiting for that.
    pub fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The last 4 KiB of what the program said on stderr so far.
    pub fn stderr(&self) -> SafeText {
        self.said.label()
    }

    /// Ends it, where it has not ended by itself, and tells how it ended. Takes 8 seconds at most,
    /// and that only where the engine hangs.
    pub fn end(self) -> TapContainerExit {
        self.close();
        let status = self.ended.recv_timeout(END_DEADLINE).ok().flatten();
        TapContainerExit { status, stderr: self.said.label() }
    }
}

impl Drop for TapContainer {
    fn drop(&mut self) {
        // Handles of others must not keep it alive.
        self.close();
    }
}
