//! Notices at the start of a capture: interfaces that are not captured, and mixed link types.

use std::collections::BTreeSet;

use containerdump::safe_text::SafeText;
use containerdump::session::Source;
use containerdump::tap::{Target, Targets, UncapturedNetwork};

/// Interfaces named in a notice.
const MAX_NAMED: usize = 8;

/// What of the targets is not captured, and containers whose packets are those of the host.
pub(crate) fn omissions(found: &Targets) -> Vec<String> {
    let mut lines = Vec::new();
    for target in &found.targets {
        if target.uses_host_network() {
            let name = &target.container.name;
            lines.push(format!(
                "{name} uses the network of the host: the capture contains the traffic of the host"
            ));
        }
        for UncapturedNetwork { network, why } in &target.left_out {
            lines.push(format!("not captured: {network} of {} ({why})", target.container.name));
        }
    }
    lines.extend(found.targets.iter().filter_map(omitted_interfaces));
    let awaited = |name| format!("{name} is being restarted: it is captured from its next start");
    lines.extend(found.awaited.iter().map(awaited));
    let left_out = found.left_out.iter();
    lines.extend(left_out.map(|(name, error)| format!("not captured: {name} ({})", error.message())));
    lines
}

/// Names the interfaces of a container that are captured only on request: tunnels, VLANs and bridges, whose packets also
/// pass the other interfaces.
fn omitted_interfaces(target: &Target) -> Option<String> {
    let first = target.unnamed.first()?;
    let names: Vec<&str> = target.unnamed.iter().take(MAX_NAMED).map(SafeText::as_str).collect();
    let more = match target.unnamed.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let name = target.container.name.shortened();
    Some(format!(
        "not captured: {}{more} of {name} (not part of a container network; to capture it, use -i {first})",
        names.join(", ")
    ))
}

/// Warns of `sources` with different link types.
pub(crate) fn mixed_link_types<'a>(sources: impl Iterator<Item = &'a Source>) -> Option<String> {
    let types = sources.flat_map(|source| match source {
        Source::Ring(interface, _) => vec![interface.link_type],
        Source::Remote { interfaces, .. } => interfaces.iter().map(|one| one.link_type).collect(),
    });
    describe_mixed(types.collect())
}

fn describe_mixed(types: BTreeSet<u32>) -> Option<String> {
    if types.len() < 2 {
        return None;
    }
    let names: Vec<String> = types.into_iter().map(link_type_name).collect();
    Some(format!(
        "the captured interfaces have different link types ({}): Wireshark reads such a capture; tcpdump, Zeek and \
         editcap refuse it. For those, capture each interface separately with -i",
        names.join(", ")
    ))
}

/// The name of a link type, see <https://www.tcpdump.org/linktypes.html>.
fn link_type_name(link_type: u32) -> String {
    match link_type {
        1 => "Ethernet".to_owned(),
        // DLT_RAW, as libpcap has it, and LINKTYPE_RAW.
        12 | 101 => "raw IP".to_owned(),
        113 | 276 => "Linux cooked".to_owned(),
        other => format!("type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_link_types_are_reported() {
        assert_eq!(describe_mixed(BTreeSet::from([1])), None);
        let line = describe_mixed(BTreeSet::from([12, 1])).expect("a line");
        assert!(
            line.starts_with("the captured interfaces have different link types (Ethernet, raw IP): "),
            "{line}"
        );
    }
}
