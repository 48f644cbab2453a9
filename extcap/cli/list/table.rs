//! The list as a table.

use std::fmt::Write as _;

use containerdump::container::shortened_image;
use containerdump::safe_text::SafeText;

use super::record::{AttachmentRecord, BoundedText, ContainerRecord};

const HEAD: [&str; 7] = ["HOST", "NAME", "ENGINE", "IMAGE", "NETWORKS", "ADDRESSES", "TAPS"];

const IMAGE: usize = 3;
/// Columns that are shortened where a terminal is too narrow, in this order, each to so many characters at least.
const SHORTENED: [(usize, usize); 6] = [(IMAGE, 12), (6, 14), (4, 10), (5, 15), (1, 12), (0, 8)];
const GAP: &str = "  ";

/// The table, in `width` columns of a terminal where it has to fit; `has_hosts` shows the column of hosts.
pub(super) fn table(listed: &[ContainerRecord], has_hosts: bool, width: Option<usize>) -> String {
    let rows: Vec<[String; 7]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(listed.iter().map(row)).collect();
    let first = usize::from(!has_hosts);
    let longest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut widths: [usize; 7] = std::array::from_fn(longest);
    let is_cut = width.is_some_and(|width| fit(&mut widths[..], first, width));
    let mut text = String::new();
    for row in &rows {
        let cell = |(column, cell): (usize, &String)| {
            let width = widths[column];
            format!("{:width$}", shortened(column, cell, width))
        };
        let cells: Vec<String> = row.iter().enumerate().skip(first).map(cell).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells.join(GAP).trim_end());
    }
    if is_cut {
        text.push_str("\n…: shortened to the width of the terminal; whole: containerdump list --wide\n");
    }
    let captured = |one: &ContainerRecord| one.attachments.iter().any(|one| one.default && one.tap.is_none());
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

/// Narrows columns from `first` on until a line has `width` characters, if possible. Returns whether any was narrowed.
fn fit(widths: &mut [usize], first: usize, width: usize) -> bool {
    let gaps = GAP.len() * (widths.len() - first - 1);
    let mut too_many = (widths[first..].iter().sum::<usize>() + gaps).saturating_sub(width);
    let is_too_wide = too_many > 0;
    for (column, least) in SHORTENED.into_iter().filter(|(column, _)| *column >= first) {
        let less = too_many.min(widths[column].saturating_sub(least));
        widths[column] -= less;
        too_many -= less;
    }
    is_too_wide
}

fn shortened(column: usize, cell: &str, width: usize) -> String {
    if column == IMAGE { shortened_image(cell, width) } else { SafeText::with_limit(cell, width).to_string() }
}

fn row(listed: &ContainerRecord) -> [String; 7] {
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
fn in_words(attachment: &AttachmentRecord) -> String {
    let name = match attachment.interface.as_str() {
        "" => attachment.network.as_str(),
        name => name,
    };
    let place = match (attachment.tap.as_ref().map(BoundedText::as_str), &attachment.host_veth) {
        (Some("host"), Some(veth)) => return veth.as_str().to_owned(),
        (Some("host"), None) => "host network",
        (Some(other), _) => other,
        (None, _) => "none",
    };
    format!("{name} ({place})").trim_start().to_owned()
}
