//! What sources elsewhere tell beside packets: further interfaces, and names.

use std::net::IpAddr;

use super::far::Far;
use super::merge::Merge;
use crate::pcapng::InterfaceDescription;
use crate::safe_text::SafeText;

impl Merge {
    /// Has `number` number the interfaces that sources elsewhere told as they went on. True when there were any.
    pub(super) fn grow(&mut self, mut number: impl FnMut(InterfaceDescription, Option<u32>) -> u32) -> bool {
        let mut has_grown = false;
        for far in self.far() {
            has_grown |= far.grow(&mut number);
        }
        has_grown
    }

    /// Has `tell` tell the names that sources elsewhere have told. True when there were any.
    pub(super) fn name(&mut self, mut tell: impl FnMut(Vec<(IpAddr, SafeText)>)) -> bool {
        let told: Vec<_> = self.far().filter_map(Far::take_names).collect();
        let any = !told.is_empty();
        for (host, names) in told {
            tell(self.called.add(&host, names));
        }
        any
    }
}
