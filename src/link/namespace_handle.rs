//! A network namespace of a container: by a process in it, or by a bind-mounted file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::namespace_file::{NamedNamespaces, NamespaceFile};
use super::tables::InterfaceTables;
use super::{Namespace, NamespaceId, Process, netlink};
use crate::container::Container;
use crate::container::endpoint::{NamespaceInfo, NamespaceRef};
use crate::error::Error;
use crate::safe_text::SafeText;

/// A network namespace, watched for its end.
#[derive(Debug)]
pub enum NamespaceHandle {
    /// By a process in it.
    Process(Process),
    /// By a file as `ip netns add` creates it.
    File(NamespaceFile),
}

impl NamespaceHandle {
    /// Opens the network namespace of a `container` found by the kernel engine; `entered` has the interfaces of
    /// namespaces without a process.
    ///
    /// Fails when it no longer exists, or is another one by now.
    pub fn open_container(
        container: &Container,
        seen: &NamespaceInfo,
        entered: &NamedNamespaces,
    ) -> Result<Self, Error> {
        match (&seen.file, seen.process) {
            (Some(file), process) => {
                NamespaceFile::watch(&container.name, file, process, entered).map(Self::File)
            }
            (None, Some(process)) => Process::of_namespace(&container.name, process).map(Self::Process),
            (None, None) => Err(super::process::container_ended(&container.name)),
        }
    }

    /// Opens what another process of ours has found (see [`Self::to_seen`]).
    ///
    /// Fails when it no longer exists, or is another network namespace by now.
    pub fn reopen(container: &SafeText, seen: &NamespaceRef) -> Result<Self, Error> {
        match seen {
            NamespaceRef::Process(process) => Process::of_namespace(container, *process).map(Self::Process),
            NamespaceRef::File(file) => {
                NamespaceFile::watch(container, file, None, &NamedNamespaces::default()).map(Self::File)
            }
        }
    }

    /// What another process opens it by; `None` once it no longer exists.
    pub fn to_seen(&self) -> Option<NamespaceRef> {
        match self {
            Self::Process(process) => process.seen().map(NamespaceRef::Process),
            Self::File(file) => Some(NamespaceRef::File(file.seen())),
        }
    }

    /// Whether it still exists.
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Process(process) => process.is_alive(),
            Self::File(file) => file.exists(),
        }
    }

    /// Whether it has ended, when its descriptor is readable.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Process(_) => true,
            Self::File(file) => file.was_removed(),
        }
    }

    /// Identifies its network namespace while it exists; `None` afterwards.
    pub fn network_identity(&self) -> Option<u64> {
        match self {
            Self::Process(process) => process.network_identity(),
            Self::File(file) => Some(file.inode()),
        }
    }

    /// Its process, if it is known by one.
    pub fn process(&self) -> Option<&Process> {
        match self {
            Self::Process(process) => Some(process),
            Self::File(_) => None,
        }
    }

    /// The namespace, to be entered. Needs `CAP_SYS_PTRACE` where the process has capabilities that this one lacks.
    ///
    /// Fails without that capability, or when the namespace has ended.
    pub fn namespace(&self) -> io::Result<Namespace> {
        match self {
            Self::Process(process) => Namespace::of_process(process),
            Self::File(file) => file.open().map(Namespace::from),
        }
    }

    /// Its ID as seen from this network namespace, if it has one.
    ///
    /// Fails when it has ended or the kernel cannot be queried.
    pub fn namespace_id(&self) -> io::Result<Option<NamespaceId>> {
        match self {
            Self::Process(process) => netlink::namespace_of(process.pid()),
            Self::File(file) => netlink::namespace_behind(file.open()?.as_fd()),
        }
    }

    /// Whether it is the network namespace of this process.
    pub(super) fn is_own_namespace(&self) -> bool {
        match self {
            Self::Process(process) => process.is_in_own_namespace(),
            Self::File(file) => file.is_own_namespace(),
        }
    }

    /// The interfaces in it.
    pub(super) fn tables(&self) -> InterfaceTables {
        match self {
            Self::Process(process) => process.tables(),
            Self::File(file) => file.tables(),
        }
    }
}

/// Readable when it may have ended: see [`NamespaceHandle::has_ended`].
impl AsFd for NamespaceHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Process(process) => process.as_fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}
