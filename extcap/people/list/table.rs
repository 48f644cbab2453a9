//! The list as a table.

use std::fmt::Write as _;

use containerdump::link::Tap;

use super::{Found, Passes};

const HEAD: [&str; 6] = ["NAME", "ENGINE", "IMAGE", "NETWORKS", "ADDRESSES", "TAPS"];

pub(super) fn table(found: &[Found]) -> String {
    let rows: Vec<[String; 6]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(found.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    if found.iter().flat_map(Found::captured).any(|one| one.best().is_none()) {
        text.push_str("\n(none): no tap can be used here; what each would need: containerdump list -v\n");
    }
    for one in found {
        if let Some(trouble) = &one.trouble {
            let _ = writeln!(text, "\n{}: {trouble}", one.container.name);
        }
    }
    text
}

fn row(found: &Found) -> [String; 6] {
    let joined = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
    let container = &found.container;
    let networks = &container.networks;
    [
        container.name.to_string(),
        container.engine.word().to_owned(),
        container.image.to_string(),
        joined(networks.iter().map(|network| network.name.to_string()).collect()),
        joined(container.addresses().map(ToString::to_string).collect()),
        joined(found.captured().map(in_words).collect()),
    ]
}

/// `veth01f0f9d`, `eth0 (host network)`, `eth0 (inside)`, `eth0 (engine)`, or `eth0 (none)`.
fn in_words(passes: &Passes) -> String {
    let attachment = &passes.attachment;
    let name = if attachment.interface.is_empty() { &attachment.network } else { &attachment.interface };
    let place = match passes.best().map(|offer| &offer.tap) {
        Some(Tap::HostVeth { name, .. }) => return name.clone(),
        Some(Tap::Host { .. }) => "host network",
        Some(Tap::Inside { .. }) => "inside",
        Some(Tap::ThroughEngine { .. }) => "engine",
        None => "none",
    };
    format!("{name} ({place})").trim_start().to_owned()
}
