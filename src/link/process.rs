//! A container's first process, by a pidfd, and the interfaces in its network namespace.
//!
//! Unlike `/proc/PID/ns/net`, `/proc/PID/net` is readable without ptrace access (fs/proc/proc_net.c,
//! `get_proc_task_net`).

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::tables::InterfaceTables;
use crate::container::Container;
use crate::container::endpoint::NamespaceProcessRef;
use crate::error::Error;
use crate::safe_text::SafeText;

/// A verified process. Reuse of its PID is detected by [`Process::is_alive`].
#[derive(Debug)]
pub struct Process {
    pid: i32,
    handle: OwnedFd,
}

impl Process {
    /// Opens process `pid`, which must belong to `container` by its control group or, since rootless engines may run
    /// without control groups, by the monitor that started it.
    ///
    /// Fails when it has exited, or is another process: an engine on another host or in a virtual machine has PIDs of
    /// its own.
    pub fn of_container(container: &Container, pid: i32) -> Result<Self, Error> {
        let ended = || container_ended(&container.name);
        let process = Self::open(&container.name, pid)?;
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|_| ended())?;
        let is_of_container = groups.contains(container.id.as_str()) || is_monitored(pid, container);
        if !process.is_alive() {
            return Err(ended());
        }
        if !is_of_container {
            return Err(Error::new(
                format!("process {pid} on this host is not container {}", container.name),
                "its engine runs on another host or in a virtual machine: capture there",
            ));
        }
        Ok(process)
    }

    fn open(container: &SafeText, pid: i32) -> Result<Self, Error> {
        let ended = || container_ended(container);
        let raw = Pid::from_raw(pid).ok_or_else(ended)?;
        let handle = pidfd_open(raw, PidfdFlags::empty()).map_err(|errno| match errno {
            Errno::SRCH => ended(),
            other => Error::new(
                format!("cannot open process {pid} of container {container}: {other}"),
                "check the limit of file descriptors (ulimit -n) and that the kernel is Linux 5.4 or later",
            ),
        })?;
        Ok(Self { pid, handle })
    }

    /// Opens a process found by the kernel engine, which must still be in that network namespace.
    ///
    /// Fails when it has exited, or is another process.
    pub(super) fn of_namespace(container: &SafeText, seen: NamespaceProcessRef) -> Result<Self, Error> {
        let process = Self::open(container, seen.pid)?;
        let is_same = process.network_identity() == Some(seen.namespace);
        if is_same && process.is_alive() { Ok(process) } else { Err(container_ended(container)) }
    }

    /// Whether the process is still running, so that its PID is still valid.
    pub fn is_alive(&self) -> bool {
        let mut handle = [PollFd::new(self.handle.as_fd(), PollFlags::POLLIN)];
        // A pidfd is readable when the process has exited (pidfd_open(2)).
        matches!(poll(&mut handle, PollTimeout::ZERO), Ok(0))
    }

    /// Identifies its network namespace; `None` once the process has exited.
    pub fn network_identity(&self) -> Option<u64> {
        network_identity(&self.pid.to_string())
    }

    /// Whether it is in the network namespace of this process.
    pub(super) fn is_in_own_namespace(&self) -> bool {
        self.network_identity().is_some_and(|its| network_identity("self") == Some(its))
    }

    /// What another process opens it by; `None` once it has exited.
    pub fn seen(&self) -> Option<NamespaceProcessRef> {
        Some(NamespaceProcessRef { pid: self.pid, namespace: self.network_identity()? })
    }

    /// Its PID.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// The interfaces in its network namespace.
    pub(super) fn tables(&self) -> InterfaceTables {
        InterfaceTables::read(&format!("/proc/{}/net", self.pid))
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Identifies the network namespace of `process`, a PID or `self`, while it exists: the inode of its `/proc/PID/net/dev`
/// (fs/proc/proc_net.c), which is readable by all users, unlike `/proc/PID/ns/net`. `None` where there is no such
/// process.
pub fn network_identity(process: &str) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{process}/net/dev")).ok()?.ino())
}

/// Container monitors of Podman and containerd, and their flag with the container's ID.
const MONITORS: [(&[u8], &[u8]); 2] = [(b"conmon", b"-c"), (b"containerd-shim-runc-v2", b"-id")];

/// Whether the parent of process `pid` is `conmon … -c ID …` or `containerd-shim-runc-v2 … -id ID …`.
fn is_monitored(pid: i32, container: &Container) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default().trim();
    let command = fs::read(format!("/proc/{parent}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = command.split(|&byte| byte == 0).collect();
    MONITORS.iter().any(|(program, flag)| {
        words.first().is_some_and(|first| first.ends_with(program))
            && words.windows(2).any(|pair| pair == [*flag, container.id.as_str().as_bytes()])
    })
}

/// The error of a container that stopped during the look-up.
pub(super) fn container_ended(container: &SafeText) -> Error {
    Error::new(format!("container {container} stopped during the look-up"), "start it, then capture again")
}
