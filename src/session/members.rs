//! Who is in a capture, and how they come and go.

use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use log::debug;

use super::far::Far;
use super::merge::Merge;
use super::stage::Reader;
use super::stream::Stream;
use super::{Member, Source};
use crate::link::Holder;

/// Those who are watched for their end.
#[derive(Default)]
pub(super) struct Members(Vec<Watched>);

/// All that keeps a namespace there, and the numbers of the interfaces that end with it.
struct Watched {
    holders: Vec<Holder>,
    interfaces: Range<u32>,
}

impl Members {
    /// Takes a member in.
    pub(super) fn add(&mut self, member: Member, merge: &mut Merge, stream: &mut Stream) {
        let mut interfaces: Option<Range<u32>> = None;
        let mut number = |interface, readers| {
            let first = interfaces.as_ref().map(|range| range.start);
            let number = stream.add(interface, first, readers, member.since);
            interfaces = Some(first.unwrap_or(number)..number + 1);
            number
        };
        for source in member.sources {
            match source {
                Source::Rings(interface, rings) => {
                    let number = number(interface, rings.len());
                    for ring in rings {
                        merge.add(Reader::Ring(ring, number));
                    }
                }
                Source::Remote { interfaces: theirs, remote, unwatched } => {
                    let numbers: Vec<u32> =
                        theirs.into_iter().map(|interface| number(interface, 1)).collect();
                    merge.add(Reader::Far(Far::new(remote, numbers, unwatched)));
                }
            }
        }
        if let Some(interfaces) = interfaces.filter(|_| !member.holders.is_empty()) {
            self.0.push(Watched { holders: member.holders, interfaces });
        }
    }

    /// Has those who are in the namespace of `holder` end no sooner than that.
    pub(super) fn stay(&mut self, holder: Holder) {
        let namespace = holder.network_identity();
        let is_there = |watched: &&mut Watched| {
            watched.holders.iter().any(|one| namespace.is_some() && one.network_identity() == namespace)
        };
        if let Some(watched) = self.0.iter_mut().find(is_there) {
            watched.holders.push(holder);
        }
    }

    /// What tells of their ends.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().flat_map(|watched| &watched.holders).map(|holder| holder.as_fd())
    }

    /// Whether what keeps `interface` there is alive.
    pub(super) fn keep(&self, interface: u32) -> bool {
        let mut of_it = self.0.iter().filter(|watched| watched.interfaces.contains(&interface));
        of_it.any(|watched| watched.holders.iter().any(Holder::is_alive))
    }

    /// Lets those leave whose descriptor is `ready`, in the order of [`Members::descriptors`], and who have ended.
    /// `keeps` is how long the kernel may keep a packet back.
    pub(super) fn leave(&mut self, ready: &[bool], merge: &mut Merge, keeps: Duration) {
        let mut ready = ready.iter();
        self.0.retain_mut(|Watched { holders, interfaces }| {
            holders.retain(|holder| ready.next() != Some(&true) || !holder.has_ended());
            if holders.is_empty() {
                for stage in merge.stages.iter_mut().filter(|stage| stage.ends_with(interfaces)) {
                    stage.leave_with_container(keeps, || {
                        debug!("what keeps interfaces {interfaces:?} there has ended");
                    });
                }
            }
            !holders.is_empty()
        });
    }
}
