//! Which taps there are for each attachment, and why.

use std::fmt::Write as _;

use containerdump::tap::{Kind, Offer};

use super::{Found, Passes};

/// The choice of taps, for all containers.
pub(super) fn explained(found: &[Found]) -> String {
    let containers: Vec<String> = found.iter().map(container).collect();
    containers.join("\n")
}

fn container(found: &Found) -> String {
    let about = &found.container;
    let mut text = format!("{} ({}, {})\n", about.name, about.value, about.image);
    // Writing to a string cannot fail.
    if let Some(trouble) = &found.trouble {
        let _ = writeln!(text, "  {}", trouble.to_string().replace('\n', "\n  "));
    }
    for passes in &found.passes {
        let _ = writeln!(text, "  {}", head(passes));
        for offer in &passes.offers {
            let _ = writeln!(text, "    {}", line(offer, passes.best()));
        }
    }
    text
}

/// `eth0, network bridge`, and whether it is captured where nothing is asked for.
fn head(passes: &Passes) -> String {
    let attachment = &passes.attachment;
    let mut parts = Vec::new();
    if !attachment.interface.is_empty() {
        parts.push(attachment.interface.to_string());
    }
    if !attachment.network.is_empty() {
        parts.push(format!("network {}", attachment.network));
    }
    if parts.is_empty() {
        parts.push("all interfaces".to_owned());
    }
    if !passes.is_default {
        parts.push(format!("captured when asked for: -i {}", attachment.interface));
    }
    parts.join(", ")
}

/// `* host     host veth veth01f0f9d`; the star is at the one that is taken.
fn line(offer: &Offer, best: Option<&Offer>) -> String {
    let star = if best == Some(offer) { '*' } else { ' ' };
    let word = Kind::of(&offer.tap).word();
    let rest = match &offer.lack {
        None => offer.tap.to_string(),
        Some(lack) => format!("{lack}"),
    };
    format!("{star} {word:7} {rest}")
}
