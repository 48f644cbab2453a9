//! Namespaces of a process, held on to by descriptors, and how they are entered.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{NamespaceId, Process, netlink};

/// How often and how long to wait for a thread that has ended to be gone for the kernel, too.
const SINGLE_THREAD_RETRIES: (u32, Duration) = (50, Duration::from_millis(2));

/// A network namespace, held on to: it can be entered as long as this is there.
#[derive(Debug)]
pub struct Namespace(File);

/// The namespaces of a container that an ordinary user's engine runs, held on to. Whoever a user
/// namespace belongs to has every right inside it, and none outside (user_namespaces(7)).
#[derive(Debug)]
pub struct RootlessNamespaces {
    user: File,
    network: Namespace,
}

impl Namespace {
    /// That of `process`. Needs `CAP_SYS_PTRACE` where the process has rights we do not have.
    ///
    /// Fails when that is missing, or the process is gone.
    pub fn of_process(process: &Process) -> io::Result<Self> {
        open(process, "net").map(Self)
    }

    /// Takes the calling thread into the namespace, for good; other threads stay where they are.
    /// Needs `CAP_SYS_ADMIN`.
    ///
    /// Fails when that is missing.
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

impl RootlessNamespaces {
    /// Those of `process`, if it is in another user namespace than this program and may be looked
    /// into without any capability.
    pub fn of_process(process: &Process) -> Option<Self> {
        let user = open(process, "user").ok()?;
        let network = Namespace::of_process(process).ok()?;
        let another = user.metadata().ok()?.ino() != own_user_namespace()?;
        another.then_some(Self { user, network })
    }

    /// Takes the program, which must have no other thread, into both namespaces, for good. It has
    /// every capability there afterwards.
    ///
    /// Fails when they are another user's, or there is another thread.
    pub fn enter(&self) -> io::Result<()> {
        let (attempts, pause) = SINGLE_THREAD_RETRIES;
        // A namespace cannot be entered from within itself.
        let inside = Some(self.user.metadata()?.ino()) == own_user_namespace();
        for attempt in (0..attempts).rev().take_while(|_| !inside) {
            match move_into_link_name_space(self.user.as_fd(), Some(LinkNameSpaceType::User)) {
                // There is more than one thread (kernel/user_namespace.c, userns_install).
                Err(Errno::INVAL) if attempt > 0 => std::thread::sleep(pause),
                outcome => {
                    outcome?;
                    break;
                }
            }
        }
        self.network.enter()
    }
}

impl From<File> for Namespace {
    fn from(file: File) -> Self {
        Self(file)
    }
}

fn open(process: &Process, kind: &str) -> io::Result<File> {
    let namespace = File::open(format!("/proc/{}/ns/{kind}", process.pid()))?;
    // Its pid may have gone to another before that.
    if process.is_alive() { Ok(namespace) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The id by which this network namespace knows the one that a process is in, if it has one.
///
/// Fails when the process is gone or the kernel cannot be asked.
pub fn id_of_process(pid: i32) -> io::Result<Option<NamespaceId>> {
    netlink::namespace_of(pid)
}

/// The id by which this network namespace knows the one that a file stands for, if it has one.
///
/// Fails when the file cannot be opened or the kernel cannot be asked.
pub fn id_of_file(path: &Path) -> io::Result<Option<NamespaceId>> {
    netlink::namespace_behind(File::open(path)?.as_fd())
}

fn own_user_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/user").ok()?.ino())
}
