//! `--extcap-interfaces`: running containers, other network namespaces, saved hosts and groups of containers. Groups come
//! first, where they are found in a long list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use containerdump::container::selection;
use containerdump::container::{self, Container, EngineKind};
use containerdump::engine::{EngineListing, EngineStatus};
use containerdump::own_program;
use containerdump::safe_text::SafeText;

use super::line::ExtcapLine;
use super::options::SSH_INTERFACE;
use super::saved_hosts::SavedInterface;
use super::toolbar;

/// Interfaces listed. Wireshark starts this program two or three times for each of them before its window opens.
const MAX_LISTED_INTERFACES: usize = 1000;
/// Characters of the reason why an engine is unavailable.
const MAX_REASON_LEN: usize = 60;

/// The interface that explains why there are no containers.
pub(super) const NO_CONTAINERS: &str = "containerdump-none";

/// The interface that explains why an engine is unavailable.
pub(super) const fn unavailable_engine(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Docker => "containerdump-docker",
        EngineKind::Podman => "containerdump-podman",
        EngineKind::Kernel => "containerdump-netns",
    }
}

/// The lines for all interfaces and the toolbar.
pub(super) fn lines(listings: &[EngineListing], saved: &[SavedInterface]) -> Vec<ExtcapLine> {
    let (mut containers, mut explanations) = (Vec::new(), BTreeMap::new());
    for listing in listings {
        match &listing.status {
            EngineStatus::Absent => {}
            EngineStatus::Available { containers: listed, .. } => containers.extend(listed.iter().cloned()),
            // `containerdump list` reports it; there may be no such namespace.
            EngineStatus::Unavailable(_) if listing.engine == EngineKind::Kernel => {}
            EngineStatus::Unavailable(error) => {
                let message = error.message().as_str();
                let reason = message.rsplit_once(": ").map_or(message, |(_, reason)| reason);
                let display = SafeText::with_limit(
                    &format!("{}: {reason}", listing.engine.display_name()),
                    MAX_REASON_LEN,
                );
                let display = format!("{display}, double-click for help");
                explanations.entry(unavailable_engine(listing.engine)).or_insert(display);
            }
        }
    }
    containers.sort_by(|a: &Container, b| a.sort_key().cmp(&b.sort_key()));
    let groups = selection::groups(&containers);
    let max_containers = MAX_LISTED_INTERFACES - groups.len();
    if let Some(first_omitted) = containers.get(max_containers) {
        let omitted = containers.len() - max_containers;
        let display = format!("{omitted} more containers, not listed: containerdump capture NAME");
        explanations.entry(unavailable_engine(first_omitted.engine)).or_insert(display);
    }
    if containers.is_empty() && explanations.is_empty() && saved.is_empty() {
        explanations.insert(NO_CONTAINERS, explain_no_containers(listings).to_owned());
    }
    let listed = groups.len() + containers.len().min(max_containers) + explanations.len();

    let mut lines = vec![program()];
    lines.extend(groups.iter().map(|group| interface(&group.value, group.display.as_str())));
    lines.extend(containers.iter().take(max_containers).map(|container| {
        debug_assert!(!container::preference_key(&container.value).starts_with("extcap"));
        interface(&container.value, container.display().as_str())
    }));
    let saved = saved.iter().take(MAX_LISTED_INTERFACES.saturating_sub(listed));
    lines.extend(saved.map(|saved| interface(&saved.value, saved.display.as_str())));
    lines.extend(explanations.iter().map(|(value, display)| interface(value, display)));
    lines.push(interface(SSH_INTERFACE, "Containers on another host (SSH)"));
    lines.extend(toolbar::lines());
    lines
}

fn explain_no_containers(listings: &[EngineListing]) -> &'static str {
    let is_available = |listing: &EngineListing| {
        listing.engine != EngineKind::Kernel && matches!(listing.status, EngineStatus::Available { .. })
    };
    if listings.iter().any(is_available) {
        "No container is running, double-click for help"
    } else {
        "No container engine is running, double-click for help"
    }
}

fn program() -> ExtcapLine {
    let line =
        ExtcapLine::new("extcap").with("version", env!("CARGO_PKG_VERSION")).with("display", "containerdump");
    match help_page() {
        Some(page) => line.with("help", format_args!("file://{}", page.display())),
        None => line,
    }
}

/// The page of the Help button in dialogs, where the program is installed.
fn help_page() -> Option<PathBuf> {
    let program = own_program::path().ok()?;
    let libexec = program.parent()?.parent().filter(|folder| folder.ends_with("libexec"))?;
    let page = libexec.parent()?.join("share/doc/containerdump/wireshark.html");
    page.is_file().then_some(page)
}

fn interface(value: &str, display: &str) -> ExtcapLine {
    ExtcapLine::new("interface").with("value", value).with("display", display)
}
