//! A session in a process of its own that captures the streams of other processes.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use containerdump::error::Error;
use containerdump::peer;
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::session::{CaptureSession, Member, Output, Source, Totals};
use containerdump::stop::Stop;
use tempfile::TempDir;

use super::lab::{Container, end_of, eventually, folder, signal, start};

/// The argument that makes this test program a session.
pub(crate) const PEER_SESSION: &str = "session-elsewhere";

/// Separates two commands.
pub(crate) const AND: &str = "++";

/// Captures the streams of `commands` to the file `path`.
pub(crate) fn session(path: &str, commands: &[&str]) -> ExitCode {
    match run(path, commands) {
        Ok(totals) => {
            totals.errors.iter().for_each(|trouble| eprintln!("{trouble}"));
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn run(path: &str, commands: &[&str]) -> Result<Totals, Error> {
    // Before privileges are dropped: entering a namespace needs them.
    let (children, streams): (Vec<Child>, Vec<UnixStream>) =
        commands.split(|word| *word == AND).map(begin).unzip();
    let privilege = Privilege::confine()?;
    let stop = Stop::watch(false)?;
    let mut sources = Vec::new();
    for stream in streams {
        let (interfaces, remote) =
            peer::open_tap_stream(stream, &SafeText::new("elsewhere"), Duration::from_secs(10))?;
        sources.push(Source::Remote { interfaces, remote, outlives_holders: true });
    }
    let output = if path == "-" {
        Output::stdout()?
    } else if std::fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo()) {
        Output::fifo(Path::new(path), &stop).expect("no reason to stop")?
    } else {
        Output::file(Path::new(path), false, &stop).expect("no reason to stop")?
    };
    let proof = privilege.give_up()?;
    let members = vec![Member { sources, ..Member::default() }];
    let session = CaptureSession::new(members, Duration::from_millis(4), output);
    let outcome = session.run(&stop, &proof, None);
    // Their streams are closed, so they end.
    for mut child in children {
        child.wait().expect("our own child");
    }
    outcome
}

/// Starts a command with a socket as standard input and output. Returns the other end.
pub(crate) fn begin(command: &[&str]) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("two sockets");
    let output = theirs.try_clone().expect("a descriptor");
    let mut program = Command::new(command[0]);
    program.args(&command[1..]).stdin(OwnedFd::from(theirs)).stdout(OwnedFd::from(output));
    (program.spawn().expect("the command starts"), ours)
}

/// A running session.
pub(crate) struct PeerSession {
    pub(crate) child: Child,
    pub(crate) path: PathBuf,
    folder: TempDir,
}

/// An ended session.
pub(crate) struct EndedPeerSession {
    pub(crate) path: PathBuf,
    pub(crate) status: Option<i32>,
    pub(crate) said: String,
    /// Is removed with this value.
    #[expect(dead_code)]
    folder: TempDir,
}

impl PeerSession {
    pub(crate) fn begin(taps: &[Vec<String>]) -> Self {
        let folder = folder();
        let path = folder.path().join("out.pcapng");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(PEER_SESSION).arg(&path).args(taps.join(&AND.to_owned()));
        let child = start(&mut command);
        let recording = Self { child, path, folder };
        eventually("the session begins", || recording.path.metadata().is_ok_and(|about| about.len() > 100));
        recording
    }

    pub(crate) fn stop(self) -> EndedPeerSession {
        signal(&self.child, "TERM");
        let recorded = self.end();
        assert_eq!((recorded.status, recorded.said.as_str()), (Some(0), ""));
        recorded
    }

    pub(crate) fn end(self) -> EndedPeerSession {
        let ended = end_of(self.child);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        EndedPeerSession { path: self.path, status: ended.status.code(), said, folder: self.folder }
    }
}

/// The command line of a tap in the namespace of `container`.
pub(crate) fn tap(container: &Container, options: &[&str]) -> Vec<String> {
    let enter = ["nsenter", "--net", "--target", &container.pid, env!("CARGO_BIN_EXE_containerdump"), "tap"];
    enter.iter().chain(options).map(|&word| word.to_owned()).collect()
}

/// The same with its output piped through a shell command.
pub(crate) fn tap_through(container: &Container, filter: &str) -> Vec<String> {
    let tap = tap(container, &["--filter", "tcp"]).join(" ");
    ["sh", "-c", &format!("{tap} | {filter}")].map(str::to_owned).to_vec()
}
