//! The captured containers, and the end of each.

use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use log::debug;

use super::merger::SourceMerger;
use super::remote_source::RemoteSource;
use super::source::Source;
use super::source_reader::SourceKind;
use crate::link::NamespaceHandle;
use crate::pcapng::InterfaceDescription;

/// Sources that are added and removed together: the attachments of one container.
#[derive(Default)]
pub struct Member {
    /// Its sources, in the order of the numbers of their interfaces. Rings have the block timeout of the session.
    pub sources: Vec<Source>,
    /// What keeps the network namespace alive, such as the processes of all containers that share it. Once all have
    /// ended, the sources end when they have been read, except those that outlive them.
    pub holders: Vec<NamespaceHandle>,
    /// When its capture began, in nanoseconds since the epoch, if before it is added to the session.
    pub since: Option<u64>,
    /// Announcements of this member, which end when it is added.
    pub announcements: Vec<Announcement>,
}

/// While this exists, a member may be added that brings packets from a moment ago: the session holds the packets of
/// others back for them, as it does for a remote stream.
#[derive(Debug)]
pub struct Announcement {
    _counted: Option<Arc<()>>,
}

impl Announcement {
    /// One that is counted by `counter`, if that still exists.
    pub(in crate::session) fn new(counter: &Weak<()>) -> Self {
        Self { _counted: counter.upgrade() }
    }
}

/// The members whose holders are watched.
#[derive(Default)]
pub(in crate::session) struct WatchedMembers(Vec<WatchedMember>);

struct WatchedMember {
    holders: Vec<NamespaceHandle>,
    /// Numbers of the interfaces that end with the holders.
    interfaces: Range<u32>,
}

/// Adds an interface to the stream and returns its number. Its other parameters are the first interface of the same
/// member, if it has one already, and when its capture began.
pub(in crate::session) type AddInterface<'a> =
    &'a mut dyn FnMut(InterfaceDescription, Option<u32>, Option<u64>) -> u32;

impl WatchedMembers {
    /// Adds a member: its sources to `merger`, its interfaces by `add_interface`.
    pub(in crate::session) fn add(
        &mut self,
        member: Member,
        merger: &mut SourceMerger,
        add_interface: AddInterface<'_>,
    ) {
        let mut interfaces: Option<Range<u32>> = None;
        let mut add = |interface| {
            let first = interfaces.as_ref().map(|range| range.start);
            let number = add_interface(interface, first, member.since);
            interfaces = Some(first.unwrap_or(number)..number + 1);
            number
        };
        for source in member.sources {
            match source {
                Source::Ring(interface, ring) => {
                    let number = add(interface);
                    merger.add(SourceKind::Ring(ring, number));
                }
                Source::Remote { interfaces, remote, outlives_holders } => {
                    let numbers: Vec<u32> = interfaces.into_iter().map(&mut add).collect();
                    let source = RemoteSource::new(remote, numbers, outlives_holders);
                    merger.add(SourceKind::Remote(source));
                }
            }
        }
        if let Some(interfaces) = interfaces.filter(|_| !member.holders.is_empty()) {
            self.0.push(WatchedMember { holders: member.holders, interfaces });
        }
    }

    /// Adds a holder to the member in the same network namespace.
    pub(in crate::session) fn add_holder(&mut self, holder: NamespaceHandle) {
        let namespace = holder.network_identity();
        let has_namespace = |member: &&mut WatchedMember| {
            member.holders.iter().any(|one| namespace.is_some() && one.network_identity() == namespace)
        };
        if let Some(member) = self.0.iter_mut().find(has_namespace) {
            member.holders.push(holder);
        }
    }

    /// Descriptors that are readable when a holder has ended.
    pub(in crate::session) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().flat_map(|member| &member.holders).map(|holder| holder.as_fd())
    }

    /// Whether the container of `interface` is alive.
    pub(in crate::session) fn is_alive(&self, interface: u32) -> bool {
        let mut members = self.0.iter().filter(|member| member.interfaces.contains(&interface));
        members.any(|member| member.holders.iter().any(NamespaceHandle::is_alive))
    }

    /// Removes the holders that have ended, of those whose descriptor is `ready`, in the order of
    /// [`WatchedMembers::descriptors`], and lets the sources end of members without any.
    pub(in crate::session) fn remove_ended(
        &mut self,
        ready: &[bool],
        merger: &mut SourceMerger,
        kernel_delay: Duration,
    ) {
        let mut ready = ready.iter();
        self.0.retain_mut(|WatchedMember { holders, interfaces }| {
            holders.retain(|holder| ready.next() != Some(&true) || !holder.has_ended());
            if holders.is_empty() {
                merger.end_with_container(interfaces, kernel_delay, || {
                    debug!("the container of the interfaces {interfaces:?} has ended");
                });
            }
            !holders.is_empty()
        });
    }
}
