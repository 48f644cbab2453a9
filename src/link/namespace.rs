//! Namespaces of a process, held open by descriptors, and entering them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{NamespaceId, Process, netlink};
use crate::privilege;

/// Attempts and pause while the kernel still counts a thread that has been joined.
const SINGLE_THREAD_RETRIES: (u32, Duration) = (50, Duration::from_millis(2));

/// An open network namespace.
#[derive(Debug)]
pub struct Namespace(File);

/// The open user and network namespace of a rootless container. The owner of a user namespace has all capabilities in
/// it (user_namespaces(7)).
#[derive(Debug)]
pub struct RootlessNamespaces {
    user: File,
    network: Namespace,
}

impl Namespace {
    /// Opens that of `process`. Needs `CAP_SYS_PTRACE` where the process has capabilities that this one lacks.
    ///
    /// Fails without that capability, or when the process has exited.
    pub fn of_process(process: &Process) -> io::Result<Self> {
        open(process, "net").map(Self)
    }

    /// Whether it is the namespace in which this process was started.
    ///
    /// Fails when the kernel cannot be queried.
    pub fn is_own(&self) -> io::Result<bool> {
        let (its, own) = (self.0.metadata()?, fs::metadata("/proc/self/ns/net")?);
        Ok((its.dev(), its.ino()) == (own.dev(), own.ino()))
    }

    /// Moves the calling thread into the namespace. Needs `CAP_SYS_ADMIN`.
    ///
    /// Fails without that capability.
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

impl RootlessNamespaces {
    /// Opens those of `process`; `None` if it is in the user namespace of this process, or may not be inspected.
    pub fn of_process(process: &Process) -> Option<Self> {
        let user = open(process, "user").ok()?;
        if user.metadata().ok()?.ino() == own_user_namespace()? {
            return None;
        }
        let network = Namespace::of_process(process).ok()?;
        Some(Self { user, network })
    }

    /// The network namespace.
    pub fn network(&self) -> &Namespace {
        &self.network
    }

    /// Moves this process, which must be single-threaded, into both namespaces, permanently, with all capabilities
    /// in them.
    ///
    /// Fails when they belong to another user, or there is another thread.
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
        // Before root of that namespace can see the new capabilities.
        privilege::clear_dumpable()?;
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
    // The PID may have been reused before the open.
    if process.is_alive() { Ok(namespace) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// ID of a process's network namespace as seen from this one, if it has one.
///
/// Fails when the process has exited or the kernel cannot be queried.
pub fn id_of_process(pid: i32) -> io::Result<Option<NamespaceId>> {
    netlink::namespace_of(pid)
}

/// ID of a file's network namespace as seen from this one, if it has one.
///
/// Fails when the file cannot be opened or the kernel cannot be queried.
pub fn id_of_file(path: &Path) -> io::Result<Option<NamespaceId>> {
    netlink::namespace_behind(File::open(path)?.as_fd())
}

fn own_user_namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/user").ok()?.ino())
}
