//! Changes the capture filter of a running session.
//!
//! Each ring switches between two packets; if one cannot, all keep their filter. Packets that passed the previous filter
//! are still written. Remote taps receive a request, and answer whether they switched.

use std::collections::BTreeSet;
use std::sync::Arc;

use log::info;

use crate::capture::CompiledFilter;
use crate::error::Error;
use crate::safe_text::SafeText;
use crate::session::input::{Member, Source, SourceMerger};

/// The outcome of a requested filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterOutcome {
    /// All rings of this process use it, and it was requested from remote taps.
    Applied,
    /// All remote taps use it, too.
    AppliedEverywhere,
    /// It was refused, and every tap keeps its filter.
    Refused(Error),
    /// A remote tap, given by its first interface, keeps its previous filter, for this reason.
    RemoteRefused(SafeText, SafeText),
}

/// The last requested filter, and the remote taps that have not answered.
#[derive(Default)]
pub(in crate::session) struct FilterControl {
    filter: Option<CompiledFilter>,
    notify: Option<Box<dyn FnMut(FilterOutcome) + Send>>,
    /// Number of the request, to match answers.
    number: u32,
    /// First interfaces of remote taps that have not answered.
    unanswered: BTreeSet<u32>,
    /// Whether a remote tap refused it.
    is_refused_remotely: bool,
}

impl FilterControl {
    /// Sets the filter of all taps. Returns whether the rings accepted it. `name` returns the name of an interface.
    pub(in crate::session) fn set(
        &mut self,
        filter: CompiledFilter,
        mut notify: Box<dyn FnMut(FilterOutcome) + Send>,
        merger: &mut SourceMerger,
        name: impl Fn(Option<u32>) -> SafeText,
    ) -> bool {
        if let Err(error) = merger.set_filter(&filter) {
            notify(FilterOutcome::Refused(error));
            return false;
        }
        info!("the capture filter is now: {}", filter.text().unwrap_or_default());
        self.number = self.number.wrapping_add(1);
        notify(FilterOutcome::Applied);
        (self.unanswered, self.is_refused_remotely) = (BTreeSet::new(), false);
        for remote in merger.remote_sources() {
            match remote.request_filter(self.number, filter.combined()) {
                // Without an interface it cannot answer.
                Ok(()) => self.unanswered.extend(remote.first_interface()),
                Err(reason) => {
                    self.is_refused_remotely = true;
                    notify(FilterOutcome::RemoteRefused(name(remote.first_interface()), reason));
                }
            }
        }
        (self.filter, self.notify) = (Some(filter), Some(notify));
        true
    }

    /// The current filter, if it was changed.
    pub(in crate::session) fn filter(&self) -> Option<&CompiledFilter> {
        self.filter.as_ref()
    }

    /// Sets the current filter of a new member, which was opened before.
    pub(in crate::session) fn apply_to(&self, member: &mut Member) {
        let Some(filter) = &self.filter else { return };
        let text = filter.text().map(Arc::<str>::from);
        for source in &mut member.sources {
            let outcome = match source {
                Source::Ring(interface, ring) => {
                    interface.filter.clone_from(&text);
                    ring.set_filter(filter).map_err(|error| error.message().clone())
                }
                Source::Remote { interfaces, remote, .. } => {
                    let is_set = interfaces.iter().all(|interface| interface.filter == text);
                    for interface in interfaces.iter_mut() {
                        interface.filter.clone_from(&text);
                    }
                    if is_set { Ok(()) } else { remote.request_filter(self.number, filter.combined()) }
                }
            };
            if let Err(reason) = outcome {
                info!("a new member keeps another capture filter: {reason}");
            }
        }
    }

    /// Passes the answers of remote taps on.
    pub(in crate::session) fn collect_answers(
        &mut self,
        merger: &mut SourceMerger,
        name: impl Fn(Option<u32>) -> SafeText,
    ) {
        let Some(notify) = &mut self.notify else { return };
        let mut still_unanswered = BTreeSet::new();
        for remote in merger.remote_sources() {
            match remote.take_filter_answer() {
                Some((number, outcome)) if number == self.number => {
                    if let Err(reason) = outcome {
                        self.is_refused_remotely = true;
                        notify(FilterOutcome::RemoteRefused(name(remote.first_interface()), reason));
                    }
                }
                _ => still_unanswered.extend(remote.first_interface()),
            }
        }
        let was_unanswered = !self.unanswered.is_empty();
        // Remote taps that have ended are not waited for.
        self.unanswered.retain(|first| still_unanswered.contains(first));
        if was_unanswered && self.unanswered.is_empty() && !self.is_refused_remotely {
            notify(FilterOutcome::AppliedEverywhere);
        }
    }
}
