//! The numbers of a capture, for reports and its summary.

use std::collections::BTreeMap;

use crate::capture::Direction;
use crate::error::Error;
use crate::safe_text::SafeText;

/// The numbers of a capture so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets written.
    pub packets: u64,
    /// Captured bytes of these packets.
    pub bytes: u64,
    /// Packets lost: in the kernel, when a ring was full, or at the end, when the reader took too long.
    pub drops: u64,
    /// Lost packets by interface, for those that lost any.
    pub drops_by_interface: Vec<(SafeText, u64)>,
    /// Packets skipped while the capture was paused, neither written nor lost.
    pub paused: u64,
    /// Files opened.
    pub files: usize,
    /// Whether the capture ended because all its sources did.
    pub sources_ended: bool,
    /// In a report: the captured interfaces.
    pub interfaces: Vec<InterfaceTotals>,
    /// In a report: interfaces that ended since the last one.
    pub ended_interfaces: Vec<InterfaceTotals>,
    /// Whether an interface was removed while its container ran.
    pub has_removed_interface: bool,
    /// In a report: such interfaces since the last one.
    pub removed_interfaces: Vec<SafeText>,
    /// In a report: interfaces that show TCP in this direction only, since the last one.
    pub one_way_interfaces: Vec<(SafeText, Direction)>,
    /// In a report: errors of sources since the last one.
    pub errors: Vec<Error>,
}

/// The numbers of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceTotals {
    /// Its name, `web:eth0`.
    pub name: SafeText,
    /// Packets written.
    pub packets: u64,
    /// Captured bytes of these packets.
    pub bytes: u64,
    /// Packets lost.
    pub drops: u64,
}

impl Totals {
    /// Why the capture ended by itself, as a message.
    pub fn end_message(&self) -> Option<&'static str> {
        self.sources_ended.then_some(if self.has_removed_interface {
            "the capture has ended: no captured interface is left"
        } else {
            "the capture has ended: every captured container has stopped"
        })
    }

    /// Messages about interfaces since the last report.
    pub fn notices(&self) -> impl Iterator<Item = String> {
        let removed = self.removed_interfaces.iter().map(|name| {
            format!(
                "{name} was removed while its container runs: the network was disconnected, or the interface deleted"
            )
        });
        let one_way = self.one_way_interfaces.iter().map(|(name, direction)| {
            let seen = if *direction == Direction::Inbound { "inbound" } else { "outbound" };
            format!(
                "{name} shows only {seen} TCP packets: the other direction takes another path, an asymmetric route or an \
                 eBPF program behind the veth (as with Cilium). To see both directions, capture inside the container: \
                 --tap inside, in Wireshark's options Where to capture"
            )
        });
        removed.chain(one_way)
    }
}

/// Sums the lost packets of each interface that lost any; one that was recreated counts once.
pub(super) fn drops_by_interface<'a>(
    lost: impl Iterator<Item = (&'a SafeText, u64)>,
) -> Vec<(SafeText, u64)> {
    let mut drops: BTreeMap<&SafeText, u64> = BTreeMap::new();
    for (name, count) in lost.filter(|(_, count)| *count > 0) {
        *drops.entry(name).or_default() += count;
    }
    drops.into_iter().map(|(name, lost)| (name.clone(), lost)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_a_recreated_interface_are_added_up() {
        let lost = [("web:eth0", 3), ("db:eth0", 0), ("web:eth0", 4)];
        let lost = lost.map(|(name, count)| (SafeText::new(name), count));
        let drops = drops_by_interface(lost.iter().map(|(name, count)| (name, *count)));
        assert_eq!(drops, [(SafeText::new("web:eth0"), 7)]);
    }
}
