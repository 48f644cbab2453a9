//! What a capture says of interfaces that are not like the others.

use std::collections::BTreeSet;

use containerdump::safe_text::SafeText;
use containerdump::session::Source;
use containerdump::tap::Target;

/// Interfaces that are named in one line.
const MAX_NAMED: usize = 8;

/// Which interfaces of a container are captured only when they are named: a tunnel, whose packets are encrypted on the
/// others, or a VLAN or bridge, whose packets are on the others, too.
pub(crate) fn unnamed_in_words(target: &Target) -> Option<String> {
    let first = target.unnamed.first()?;
    let names: Vec<&str> = target.unnamed.iter().take(MAX_NAMED).map(SafeText::as_str).collect();
    let more = match target.unnamed.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let name = target.container.name.shortened();
    Some(format!(
        "not captured: {}{more} of {name} (outside its networks; captured when named: -i {first})",
        names.join(", ")
    ))
}

/// That the interfaces of `sources` have different link types, where they do.
pub(crate) fn link_types_in_words<'a>(sources: impl Iterator<Item = &'a Source>) -> Option<String> {
    let types = sources.flat_map(|source| match source {
        Source::Rings(interface, _) => vec![interface.link_type],
        Source::Remote { interfaces, .. } => interfaces.iter().map(|one| one.link_type).collect(),
    });
    differing(types.collect())
}

fn differing(types: BTreeSet<u32>) -> Option<String> {
    if types.len() < 2 {
        return None;
    }
    let names: Vec<String> = types.into_iter().map(name).collect();
    Some(format!(
        "interfaces have different link types ({}): Wireshark reads such a capture; tcpdump, Zeek and editcap refuse it. \
         For these, capture each with -i",
        names.join(", ")
    ))
}

/// A number of <https://www.tcpdump.org/linktypes.html> in words.
fn name(link_type: u32) -> String {
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
    fn one_link_type_is_not_worth_a_line() {
        assert_eq!(differing(BTreeSet::from([1])), None);
        let line = differing(BTreeSet::from([12, 1])).expect("a line");
        assert!(line.starts_with("interfaces have different link types (Ethernet, raw IP): "), "{line}");
    }
}
