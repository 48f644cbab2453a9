//! A session in this test program, to which containers are added by commands on standard input. The broker opens them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use containerdump::broker::{Broker, TapLocation, TapRequest};
use containerdump::capture::CaptureSettings;
use containerdump::container::endpoint::{NamespaceProcessRef, NamespaceRef};
use containerdump::error::Error;
use containerdump::link::NamespaceHandle;
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::session::{
    self, CaptureSession, ChangeSender, Limits, Member, OutputFiles, SessionChange, Source,
};
use containerdump::stop::Stop;
use tempfile::TempDir;

use super::lab::{Container, end_of, folder, output, signal};
use super::unprivileged::copy;

/// The argument that makes this test program a session.
pub(crate) const LOCAL_SESSION: &str = "session-joining";

/// The kernel ring of added containers.
const RING_MIB: u32 = 16;

/// Runs a session without containers into `path`; the broker of `program` opens those added later.
pub(crate) fn session(program: &str, path: &str, limits: &[&str]) -> ExitCode {
    match run(Path::new(program), path, limits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &Path, path: &str, limits: &[&str]) -> Result<(), Error> {
    let privilege = Privilege::confine()?;
    let stop = Stop::watch(false)?;
    let broker = Broker::start(program)?;
    let limits: Vec<_> = limits.iter().map(|limit| limit.parse().expect("a limit")).collect();
    let each: Option<Limits> = (!limits.is_empty()).then(|| limits.into_iter().collect());
    let fifo = fs::metadata(path).is_ok_and(|about| !about.is_file());
    let (output, files) = if fifo {
        (session::Output::fifo(Path::new(path), &stop).expect("a reader")?, None)
    } else {
        let mut files = OutputFiles::new(PathBuf::from(path), false, each);
        (files.open_next(&stop).expect("no reason to stop")?, Some(files))
    };
    let proof = privilege.give_up()?;
    let (joining, changes) = session::change_channel().expect("a descriptor");
    // Ends with this process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let answer = apply(&line.expect("a line"), &broker, &joining);
            println!(
                "{}",
                answer.map_or_else(|trouble| trouble.message().to_string(), |()| "done".to_owned())
            );
        }
    });
    let session = CaptureSession {
        changes: Some(changes),
        files,
        ..CaptureSession::new(Vec::new(), Duration::from_millis(4), output)
    };
    session.run(&stop, &proof, None).map(|_| ())
}

/// Executes a command line.
fn apply(line: &str, broker: &Broker, joining: &ChangeSender) -> Result<(), Error> {
    let words: Vec<&str> = line.split(' ').collect();
    let seen = |pid: &str, namespace: &str| {
        NamespaceRef::Process(NamespaceProcessRef {
            pid: pid.parse().expect("a pid"),
            namespace: namespace.parse().expect("an inode"),
        })
    };
    let (label, place, process) = match words.as_slice() {
        ["name", address, name] => {
            let name = (address.parse().expect("an address"), SafeText::new(name));
            joining.send(SessionChange::AddNames(vec![name])).expect("a session");
            return Ok(());
        }
        ["veth", label, name, index, pid, namespace] => {
            let index = index.parse().expect("an index");
            let process = seen(pid, namespace);
            (
                label,
                TapLocation::HostVeth {
                    name: (*name).to_owned(),
                    index,
                    expected_holder: Some(process.clone()),
                },
                process,
            )
        }
        ["early", label, name, index] => {
            let index = index.parse().expect("an index");
            let place = TapLocation::HostVeth { name: (*name).to_owned(), index, expected_holder: None };
            let request = TapRequest::new(place, &CaptureSettings::default(), RING_MIB);
            // It does not belong to a selected container.
            return broker
                .request_tap(&request, &SafeText::new(label))?
                .wait(&SafeText::new(label))
                .map(|_| ());
        }
        ["inside", label, interface, pid, namespace] => {
            let process = seen(pid, namespace);
            (
                label,
                TapLocation::Inside { holder: process.clone(), interfaces: vec![(*interface).to_owned()] },
                process,
            )
        }
        _ => panic!("{line}"),
    };
    let label = SafeText::new(label);
    let settings = CaptureSettings { filter: Some("tcp or udp".to_owned()), ..CaptureSettings::default() };
    let (mut interfaces, remote) =
        broker.request_tap(&TapRequest::new(place, &settings, RING_MIB), &label)?.wait(&label)?;
    interfaces[0].name = label.clone();
    let sources = vec![Source::Remote { interfaces, remote, outlives_holders: false }];
    let holders = vec![NamespaceHandle::reopen(&label, &process)?];
    joining
        .send(SessionChange::AddMember(Member { sources, holders, ..Member::default() }))
        .expect("a session");
    Ok(())
}

/// A running session.
pub(crate) struct Capture {
    pub(crate) child: Child,
    input: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
    path: PathBuf,
    folder: TempDir,
}

impl Capture {
    /// Starts a session by the command prefix `become_user`, whose program may capture.
    pub(crate) fn begin(become_user: Option<&[&str]>, limits: &[&str]) -> Self {
        let folder = folder();
        let path = folder.path().join("out.pcapng");
        Self::into(folder, path, become_user, limits)
    }

    pub(crate) fn into(
        folder: TempDir,
        path: PathBuf,
        become_user: Option<&[&str]>,
        limits: &[&str],
    ) -> Self {
        let mut program = PathBuf::from(env!("CARGO_BIN_EXE_containerdump"));
        let mut session = std::env::current_exe().expect("this program");
        let mut command = if let Some(words) = become_user {
            program = copy(folder.path(), true);
            let own = folder.path().join("session");
            fs::copy(&session, &own).expect("a copy");
            output(Command::new("setcap").arg("cap_net_raw=ep").arg(&own));
            session = own;
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).arg(&session);
            command
        } else {
            Command::new(&session)
        };
        command.args([LOCAL_SESSION.as_ref(), program.as_os_str(), path.as_os_str()]).args(limits);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("this program starts");
        let input = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, answers, path, folder }
    }

    /// Sends a command and returns the reply.
    pub(crate) fn tell(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").expect("it listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        answer.trim_end().to_owned()
    }

    pub(crate) fn join(&mut self, label: &str, container: &Container) {
        assert_eq!(self.tell(&veth(label, container)), "done");
    }

    pub(crate) fn stop(self) -> (PathBuf, TempDir) {
        signal(&self.child, "TERM");
        let ended = end_of(self.child);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!((ended.status.code(), said.as_str()), (Some(0), ""));
        (self.path, self.folder)
    }
}

/// The command that adds a container at its host veth, as shown by `ip`.
pub(crate) fn veth(label: &str, container: &Container) -> String {
    let name = container.host_veth("eth0");
    let index = output(Command::new("cat").arg(format!("/sys/class/net/{name}/ifindex")));
    format!("veth {label} {name} {index} {}", process(container))
}

pub(crate) fn process(container: &Container) -> String {
    let about = fs::metadata(format!("/proc/{}/net/dev", container.pid)).expect("its process");
    format!("{} {}", container.pid, about.ino())
}
