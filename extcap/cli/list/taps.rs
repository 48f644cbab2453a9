//! Which taps there are for each attachment, and why.

use std::fmt::Write as _;

use containerdump::safe_text::SafeText;
use containerdump::tap::{TapCandidate, TapKind};

use super::{AttachmentTaps, ContainerTaps};

/// What is shown of another host's: lines, characters of each, spaces before them.
const MOST_LINES: usize = 100_000;
const LONGEST_LINE: usize = 500;
const MOST_INDENT: usize = 8;

/// The choice of taps, for all containers.
pub(super) fn explained(found: &[ContainerTaps]) -> String {
    let containers: Vec<String> = found.iter().map(container).collect();
    containers.join("\n")
}

fn container(found: &ContainerTaps) -> String {
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
fn head(passes: &AttachmentTaps) -> String {
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
fn line(offer: &TapCandidate, best: Option<&TapCandidate>) -> String {
    let star = if best == Some(offer) { '*' } else { ' ' };
    let word = TapKind::from_tap(&offer.tap).as_str();
    let rest = match &offer.unavailable {
        None => offer.tap.to_string(),
        Some(lack) => format!("{lack}"),
    };
    format!("{star} {word:7} {rest}")
}

/// The list of taps that another host printed, made safe to show; `host` is added to each container where it is one of several.
pub(super) fn of_host(host: Option<&SafeText>, text: &str) -> String {
    let host = host.map(|host| format!("@{host}")).unwrap_or_default();
    let line = |line: &str| {
        let words = line.trim_start_matches(' ');
        let label = SafeText::with_limit(words, LONGEST_LINE);
        match line.len() - words.len() {
            _ if words.is_empty() => "\n".to_owned(),
            0 => match label.as_str().split_once(' ') {
                Some((name, rest)) => format!("{name}{host} {rest}\n"),
                None => format!("{label}{host}\n"),
            },
            indent => format!("{:indent$}{label}\n", "", indent = indent.min(MOST_INDENT)),
        }
    };
    text.lines().take(MOST_LINES).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_tells_is_shown_as_its_own_and_harmless() {
        let text = "web (docker-web, nginx)\n  eth0, network bridge\n    * host     host veth x\u{1b}[2J\n\ndb\r(x)\n";
        assert_eq!(
            of_host(Some(&SafeText::new("build1")), text),
            "web@build1 (docker-web, nginx)\n  eth0, network bridge\n    * host     host veth x\u{FFFD}[2J\n\n\
             db@build1 (x)\n"
        );
        assert!(of_host(None, text).starts_with("web (docker-web, nginx)\n"));
    }
}
