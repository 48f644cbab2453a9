//! The list as a table.

use std::fmt::Write as _;

use super::listed::{Attachment, Listed, Text};

const HEAD: [&str; 7] = ["HOST", "NAME", "ENGINE", "IMAGE", "NETWORKS", "ADDRESSES", "TAPS"];

/// The table; `has_hosts` shows the column of hosts.
pub(super) fn table(listed: &[Listed], has_hosts: bool) -> String {
    let rows: Vec<[String; 7]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(listed.iter().map(row)).collect();
    let columns = usize::from(!has_hosts)..HEAD.len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = columns.clone().map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row[columns.clone()].iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    let captured = |one: &Listed| one.attachments.iter().any(|one| one.default && one.tap.is_none());
    if listed.iter().any(captured) {
        text.push_str("\n(none): no tap can be used here; what each would need: containerdump list -v\n");
    }
    for one in listed {
        if let Some(trouble) = &one.trouble {
            let host = if has_hosts { format!("@{}", one.host.as_str()) } else { String::new() };
            let _ = writeln!(text, "\n{}{host}: {trouble}", one.name.as_str());
        }
    }
    text
}

fn row(listed: &Listed) -> [String; 7] {
    let joined = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
    [
        listed.host.as_str().to_owned(),
        listed.name.as_str().to_owned(),
        listed.engine.as_str().to_owned(),
        listed.image.as_str().to_owned(),
        joined(listed.networks.iter().map(|network| network.name.as_str().to_owned()).collect()),
        joined(listed.addresses.iter().map(ToString::to_string).collect()),
        joined(listed.attachments.iter().filter(|one| one.default).map(in_words).collect()),
    ]
}

/// `veth01f0f9d`, `eth0 (host network)`, `eth0 (inside)`, `eth0 (engine)`, or `eth0 (none)`.
fn in_words(attachment: &Attachment) -> String {
    let name = match attachment.interface.as_str() {
        "" => attachment.network.as_str(),
        name => name,
    };
    let place = match (attachment.tap.as_ref().map(Text::as_str), &attachment.host_veth) {
        (Some("host"), Some(veth)) => return veth.as_str().to_owned(),
        (Some("host"), None) => "host network",
        (Some(other), _) => other,
        (None, _) => "none",
    };
    format!("{name} ({place})").trim_start().to_owned()
}
