//! The list as a table.

use std::fmt::Write as _;

use containerdump::container::shortened_image;
use containerdump::safe_text::SafeText;

use super::record::{AttachmentRecord, BoundedText, ContainerRecord};
use crate::cli::table::{Column, MAX_CELL_WIDTH, Narrowing, render};

const COLUMNS: [Column<ContainerRecord>; 7] = [
    Column::new("HOST", |one: &ContainerRecord| one.host.to_string()).narrowed(narrowing(1, 8)),
    Column::new("NAME", |one: &ContainerRecord| one.name.to_string()).narrowed(narrowing(2, 12)),
    Column::new("ENGINE", |one: &ContainerRecord| one.engine.to_string()),
    Column::new("IMAGE", |one: &ContainerRecord| one.image.to_string()).narrowed(Narrowing {
        priority: 6,
        min_width: 12,
        shorten: shortened_image,
    }),
    Column::new("NETWORKS", networks).narrowed(narrowing(4, 10)),
    Column::new("ADDRESSES", |one: &ContainerRecord| joined(&one.addresses)).narrowed(narrowing(3, 15)),
    Column::new("TAPS", taps).narrowed(narrowing(5, 14)),
];

const fn narrowing(priority: u8, min_width: usize) -> Narrowing {
    Narrowing { priority, min_width, shorten: |cell, width| SafeText::with_limit(cell, width).to_string() }
}

/// The table, in `width` columns of a terminal if given; `has_hosts` shows the column of hosts.
pub(super) fn table(containers: &[ContainerRecord], has_hosts: bool, width: Option<usize>) -> String {
    let table = render(if has_hosts { &COLUMNS } else { &COLUMNS[1..] }, containers, width);
    let mut text = table.text;
    if table.is_shortened {
        text.push_str("\n…: shortened to the width of the terminal; whole: containerdump list --wide\n");
    } else if table.is_cut {
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "\n…: cut after {MAX_CELL_WIDTH} characters; whole: containerdump list --json");
    }
    let lacks_tap =
        |one: &ContainerRecord| one.attachments.iter().any(|one| one.default && one.tap.is_none());
    if containers.iter().any(lacks_tap) {
        text.push_str("\n(none): no tap can be used; what each needs: containerdump list -v\n");
    }
    for one in containers {
        if let Some(error) = &one.error {
            let host = if has_hosts { format!("@{}", one.host) } else { String::new() };
            let error = error.to_text(!one.host.as_str().is_empty());
            let _ = writeln!(text, "\n{}{host}: {error}", one.name);
        }
    }
    text
}

fn networks(container: &ContainerRecord) -> String {
    joined(&container.networks.iter().map(|network| &network.name).collect::<Vec<_>>())
}

fn taps(container: &ContainerRecord) -> String {
    joined(&container.attachments.iter().filter(|one| one.default).map(tap).collect::<Vec<_>>())
}

fn joined(words: &[impl ToString]) -> String {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// `veth01f0f9d`, `eth0 (host network)`, `eth0 (inside)`, `eth0 (engine)`, or `eth0 (none)`.
fn tap(attachment: &AttachmentRecord) -> String {
    let name = match attachment.interface.as_str() {
        "" => attachment.network.as_str(),
        name => name,
    };
    let place = match (attachment.tap.as_ref().map(BoundedText::as_str), &attachment.host_veth) {
        (Some("host"), Some(veth)) => return veth.to_string(),
        (Some("host"), None) => "host network",
        (Some(other), _) => other,
        (None, _) => "none",
    };
    format!("{name} ({place})").trim_start().to_owned()
}
