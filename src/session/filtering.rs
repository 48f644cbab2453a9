//! A capture filter that is changed while packets come.
//!
//! The kernel changes it between two packets at each ring, and at none if at one it cannot. What came before
//! passed the filter of then and stays, also what is still to be read. Taps elsewhere are told, and say whether
//! they did.

use std::collections::BTreeSet;

use log::info;

use super::Member;
use super::merge::Merge;
use super::source::Source;
use super::stream::Stream;
use crate::capture::CompiledFilter;
use crate::error::Error;
use crate::safe_text::SafeText;

/// What came of a filter that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is in force wherever packets are taken here, and was told to taps elsewhere.
    InForce,
    /// All taps elsewhere have it in force as well.
    Everywhere,
    /// It is in force nowhere, and all is as it was.
    Refused(Error),
    /// What is captured elsewhere on this interface and those beside it keeps the filter it had, and why.
    Kept(SafeText, SafeText),
}

/// The filter that was asked for last, and who wants to know what comes of it.
#[derive(Default)]
pub(super) struct Filtering {
    filter: Option<CompiledFilter>,
    tell: Option<Box<dyn FnMut(Answer) + Send>>,
    /// Counts them, to tell answers apart.
    number: u32,
    /// Those elsewhere that have not answered yet, by their first interface.
    awaited: BTreeSet<u32>,
    /// Whether one of them keeps the filter it had.
    is_kept: bool,
}

impl Filtering {
    /// Puts `filter` in force. True when it is.
    pub(super) fn change(
        &mut self,
        filter: CompiledFilter,
        mut tell: Box<dyn FnMut(Answer) + Send>,
        merge: &mut Merge,
        stream: &Stream,
    ) -> bool {
        if let Err(trouble) = merge.filter(&filter) {
            tell(Answer::Refused(trouble));
            return false;
        }
        info!("the capture filter is now: {}", filter.text().unwrap_or_default());
        self.number = self.number.wrapping_add(1);
        tell(Answer::InForce);
        (self.awaited, self.is_kept) = (BTreeSet::new(), false);
        for far in merge.far() {
            match far.filter(self.number, filter.whole()) {
                // One without an interface yet has none to answer beside.
                Ok(()) => self.awaited.extend(far.first()),
                Err(why) => {
                    self.is_kept = true;
                    tell(Answer::Kept(stream.name(far.first()), why));
                }
            }
        }
        (self.filter, self.tell) = (Some(filter), Some(tell));
        true
    }

    /// The filter in force, where it was changed.
    pub(super) fn filter(&self) -> Option<&CompiledFilter> {
        self.filter.as_ref()
    }

    /// Has a member that joins, opened a moment ago, come with the filter in force.
    pub(super) fn welcome(&self, member: &mut Member) {
        let Some(filter) = &self.filter else { return };
        let text = filter.text().map(str::to_owned);
        for source in &mut member.sources {
            let outcome = match source {
                Source::Rings(interface, rings) => {
                    interface.filter.clone_from(&text);
                    rings
                        .iter_mut()
                        .try_for_each(|ring| ring.filter(filter))
                        .map_err(|why| why.message().clone())
                }
                Source::Remote { interfaces, remote, .. } => {
                    let has_it = interfaces.iter().all(|interface| interface.filter == text);
                    for interface in interfaces.iter_mut() {
                        interface.filter.clone_from(&text);
                    }
                    if has_it { Ok(()) } else { remote.filter(self.number, filter.whole()) }
                }
            };
            if let Err(why) = outcome {
                info!("what joins has another filter: {why}");
            }
        }
    }

    /// Passes on what taps elsewhere have said.
    pub(super) fn hear(&mut self, merge: &mut Merge, stream: &Stream) {
        let Some(tell) = &mut self.tell else { return };
        let mut silent = BTreeSet::new();
        for far in merge.far() {
            match far.answer() {
                Some((number, outcome)) if number == self.number => {
                    if let Err(why) = outcome {
                        self.is_kept = true;
                        tell(Answer::Kept(stream.name(far.first()), why));
                    }
                }
                _ => silent.extend(far.first()),
            }
        }
        let were_awaited = !self.awaited.is_empty();
        // Who has left will not answer.
        self.awaited.retain(|first| silent.contains(first));
        if were_awaited && self.awaited.is_empty() && !self.is_kept {
            tell(Answer::Everywhere);
        }
    }
}
