//! The names of addresses in a stream.

use std::collections::HashSet;
use std::net::IpAddr;

use super::name_repetition::{NameRepetition, record_len};
use crate::pcapng::BlockWriter;
use crate::safe_text::SafeText;

/// Names kept, as many as one containerdump sends; beyond, the oldest are forgotten.
const MAX_NAMES: usize = 30_000;
/// Bytes of their records.
const MAX_NAMES_LEN: usize = 4 * 1024 * 1024;

/// The names written to a stream, which later files and readers that cut the stream into files need again.
pub(super) struct StreamNames {
    names: Vec<(IpAddr, SafeText)>,
    /// The blocks of all names, once they have been repeated.
    blocks: Option<Vec<u8>>,
    /// Set if the reader may cut the stream into files. Our own files begin with names.
    repetition: Option<NameRepetition>,
}

impl StreamNames {
    pub(super) fn new(names: Vec<(IpAddr, SafeText)>, may_be_cut: bool) -> Self {
        Self { names, blocks: None, repetition: may_be_cut.then(NameRepetition::new) }
    }

    /// Adds names. They replace names of the same addresses.
    pub(super) fn add(&mut self, names: Vec<(IpAddr, SafeText)>) {
        let replaced: HashSet<IpAddr> = names.iter().map(|(address, _)| *address).collect();
        self.names.retain(|(address, _)| !replaced.contains(address));
        self.names.extend(names);
        let kept = self.newest(MAX_NAMES_LEN).len().min(MAX_NAMES);
        self.names.drain(..self.names.len() - kept);
        self.blocks = None;
    }

    pub(super) fn all(&self) -> &[(IpAddr, SafeText)] {
        &self.names
    }

    /// The newest names, whose records have at most so many bytes.
    pub(super) fn newest(&self, max_len: usize) -> &[(IpAddr, SafeText)] {
        let mut left = max_len;
        let fits = |name: &&(IpAddr, SafeText)| {
            let rest = left.checked_sub(record_len(name));
            left = rest.unwrap_or(left);
            rest.is_some()
        };
        let count = self.names.iter().rev().take_while(fits).count();
        &self.names[self.names.len() - count..]
    }

    /// The blocks of all names, to repeat them.
    pub(super) fn blocks(&mut self) -> &[u8] {
        self.blocks.get_or_insert_with(|| BlockWriter::only_names(&self.names))
    }

    /// Records that all names have been written.
    pub(super) fn record_written(&mut self) {
        if let Some(repetition) = &mut self.repetition {
            repetition.record(&self.names);
        }
    }

    /// Adds written bytes of packets. Returns whether to repeat the names.
    pub(super) fn are_due(&mut self, bytes: u64) -> bool {
        self.repetition.as_mut().is_some_and(|repetition| repetition.is_due(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<u32>, name: &str) -> Vec<(IpAddr, SafeText)> {
        range.map(|number| (IpAddr::V4(number.into()), SafeText::with_limit(name, 250))).collect()
    }

    #[test]
    fn the_newest_names_are_kept() {
        let mut kept = StreamNames::new(Vec::new(), false);
        kept.add(names(0..20_000, "x"));
        kept.add(names(10_000..40_000, "y"));
        assert_eq!(kept.all(), names(10_000..40_000, "y"));
        kept.add(names(0..1, "z"));
        assert_eq!((kept.all().len(), kept.all().last()), (MAX_NAMES, names(0..1, "z").last()));
    }

    #[test]
    fn the_names_of_a_stream_are_bounded_in_bytes() {
        let mut kept = StreamNames::new(Vec::new(), false);
        let long = "x".repeat(250);
        kept.add(names(0..30_000, &long));
        let max_names = MAX_NAMES_LEN / record_len(&names(0..1, &long)[0]);
        assert_eq!(kept.all(), &names(0..30_000, &long)[30_000 - max_names..]);
        assert_eq!(kept.newest(1000), &names(29_997..30_000, &long));
    }
}
