//! What keeps a network namespace there: a process in it, or a file that stands for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::namespace_file::{NamedNamespaces, NamespaceFile};
use super::tables::InterfaceTables;
use super::{Namespace, NamespaceId, Process, netlink};
use crate::container::Container;
use crate::container::endpoint::{NamespaceInfo, NamespaceRef};
use crate::error::Error;
use crate::safe_text::SafeText;

/// What keeps a network namespace there, watched for its end.
#[derive(Debug)]
pub enum NamespaceHandle {
    /// A process in it.
    Process(Process),
    /// A file, as `ip netns add` makes it.
    File(NamespaceFile),
}

impl NamespaceHandle {
    /// Holds what the kernel has shown of `container`; what is in a namespace without any process
    /// is told by `entered`.
    ///
    /// Fails when it went away, or means something else by now.
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
            (None, None) => Err(super::process::gone(&container.name)),
        }
    }

    /// Holds what another program has seen of `container`.
    ///
    /// Fails when it went away, or stands for another network namespace.
    pub fn reopen(container: &SafeText, seen: &NamespaceRef) -> Result<Self, Error> {
        match seen {
            NamespaceRef::Process(process) => Process::of_namespace(container, *process).map(Self::Process),
            NamespaceRef::File(file) => {
                NamespaceFile::watch(container, file, None, &NamedNamespaces::default()).map(Self::File)
            }
        }
    }

    /// What another program finds it by; `None` once it is gone.
    pub fn to_seen(&self) -> Option<NamespaceRef> {
        match self {
            Self::Process(process) => process.seen().map(NamespaceRef::Process),
            Self::File(file) => Some(NamespaceRef::File(file.seen())),
        }
    }

    /// Whether it is still there.
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Process(process) => process.is_alive(),
            Self::File(file) => file.exists(),
        }
    }

    /// Whether it is gone, now that its descriptor is readable.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Process(_) => true,
            Self::File(file) => file.was_removed(),
        }
    }

    /// What tells its network namespace from any other, for as long as it lives. `None` once it is
    /// gone.
    pub fn network_identity(&self) -> Option<u64> {
        match self {
            Self::Process(process) => process.network_identity(),
            Self::File(file) => Some(file.inode()),
        }
    }

    /// Its process, where that is what holds it.
    pub fn process(&self) -> Option<&Process> {
        match self {
            Self::Process(process) => Some(process),
            Self::File(_) => None,
        }
    }

    /// Its network namespace, to be entered. Of a process it needs `CAP_SYS_PTRACE` where that has
    /// rights we do not have.
    ///
    /// Fails when that is missing, or it is gone.
    pub fn namespace(&self) -> io::Result<Namespace> {
        match self {
            Self::Process(process) => Namespace::of_process(process),
            Self::File(file) => file.open().map(Namespace::from),
        }
    }

    /// The id by which this network namespace knows it, if it has one.
    ///
    /// Fails when it is gone or the kernel cannot be asked.
    pub fn namespace_id(&self) -> io::Result<Option<NamespaceId>> {
        match self {
            Self::Process(process) => netlink::namespace_of(process.pid()),
            Self::File(file) => netlink::namespace_behind(file.open()?.as_fd()),
        }
    }

    /// Whether its network namespace is the one this program runs in.
    pub(super) fn is_own_namespace(&self) -> bool {
        match self {
            Self::Process(process) => process.is_in_own_namespace(),
            Self::File(file) => file.is_own_namespace(),
        }
    }

    /// What is told of the interfaces there.
    pub(super) fn tables(&self) -> InterfaceTables {
        match self {
            Self::Process(process) => process.tables(),
            Self::File(file) => file.tables(),
        }
    }
}

/// Readable when something may have ended: see [`Holder::has_ended`].
impl AsFd for NamespaceHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Process(process) => process.as_fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}
