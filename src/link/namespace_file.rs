//! Bind-mounted files that keep network namespaces alive, as `ip netns add` creates them in `/run/netns` (ip-netns(8)).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::Namespace;
use super::addresses::addresses;
use super::process::{self, Process};
use super::tables::InterfaceTables;
use crate::container::endpoint::{NamespaceFileRef, NamespaceProcessRef};
use crate::error::Error;
use crate::safe_text::SafeText;

/// Folder of named network namespaces (ip-netns(8)).
pub const NETNS_DIR: &str = "/run/netns";

/// A file of a network namespace. It is not kept open: that would keep the namespace alive.
#[derive(Debug)]
pub struct NamespaceFile {
    path: PathBuf,
    inode: u64,
    /// On its folder: inotify does not report the removal of a mount point itself.
    watch: Inotify,
    tables: InterfaceTables,
}

impl NamespaceFile {
    /// Watches `file`. The interfaces are read by `process`, if one is in the namespace, else taken from `entered`.
    ///
    /// Fails when the file was removed, is another namespace by now, or cannot be watched.
    pub(super) fn watch(
        name: &SafeText,
        file: &NamespaceFileRef,
        process: Option<NamespaceProcessRef>,
        entered: &NamedNamespaces,
    ) -> Result<Self, Error> {
        let watch = || -> nix::Result<Inotify> {
            let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let folder = file.path.parent().unwrap_or(Path::new("/"));
            watch.add_watch(folder, AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM)?;
            Ok(watch)
        };
        let watch = watch().map_err(|errno| {
            Error::new(
                format!("cannot watch network namespace {name}: {}", errno.desc()),
                "raise the limit of inotify instances: sysctl fs.inotify.max_user_instances",
            )
        })?;
        let of_process = process.and_then(|process| Process::of_namespace(name, process).ok());
        let tables = match of_process {
            Some(process) => process.tables(),
            None => entered.tables(file),
        };
        let file = Self { path: file.path.clone(), inode: file.inode, watch, tables };
        if file.exists() { Ok(file) } else { Err(process::container_ended(name)) }
    }

    pub(super) fn exists(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|about| about.ino() == self.inode)
    }

    /// Whether it was removed, after an event in its folder.
    pub(super) fn was_removed(&self) -> bool {
        // Events are about this file or others in the folder.
        while self.watch.read_events().is_ok_and(|events| !events.is_empty()) {}
        !self.exists()
    }

    pub(super) fn seen(&self) -> NamespaceFileRef {
        NamespaceFileRef { path: self.path.clone(), inode: self.inode }
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    pub(super) fn tables(&self) -> InterfaceTables {
        self.tables.clone()
    }

    pub(super) fn is_own_namespace(&self) -> bool {
        fs::metadata("/proc/self/ns/net").is_ok_and(|about| about.ino() == self.inode)
    }

    /// Opens the namespace.
    ///
    /// Fails when the file was removed, or is another namespace by now.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        if file.metadata()?.ino() == self.inode { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

impl AsFd for NamespaceFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

/// The contents of named network namespaces, by inode. Without a process in it, a namespace must be entered to read
/// them.
#[derive(Clone, Debug, Default)]
pub struct NamedNamespaces(BTreeMap<u64, NamespaceContents>);

#[derive(Clone, Debug)]
struct NamespaceContents {
    namespace: Option<u64>,
    tables: InterfaceTables,
    addresses: Vec<IpAddr>,
}

impl NamedNamespaces {
    /// Enters each namespace of `files`, where permitted, and reads its interfaces. The calling thread stays in the
    /// last one.
    pub fn scan<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let look = |path: &Path| -> io::Result<(u64, NamespaceContents)> {
            let file = File::open(path)?;
            let inode = file.metadata()?.ino();
            Namespace::from(file).enter()?;
            let folder = "/proc/thread-self/net";
            let inside = NamespaceContents {
                namespace: process::network_identity("thread-self"),
                tables: InterfaceTables::read(folder),
                addresses: addresses(folder),
            };
            Ok((inode, inside))
        };
        Self(files.into_iter().filter_map(|path| look(path).ok()).collect())
    }

    /// Identifies a namespace as its processes do: the inode of `/proc/PID/net/dev`.
    pub fn namespace(&self, file: &NamespaceFileRef) -> Option<u64> {
        self.0.get(&file.inode)?.namespace
    }

    /// Addresses of its interfaces.
    pub fn addresses(&self, file: &NamespaceFileRef) -> Vec<IpAddr> {
        self.0.get(&file.inode).map(|inside| inside.addresses.clone()).unwrap_or_default()
    }

    fn tables(&self, file: &NamespaceFileRef) -> InterfaceTables {
        self.0.get(&file.inode).map(|inside| inside.tables.clone()).unwrap_or_default()
    }
}
