//! `--extcap-interfaces`: every running container is an interface, every further network namespace,
//! and groups of containers, which come first: there are few, and they are what is looked for where
//! containers are many.

use std::collections::BTreeMap;
use std::path::PathBuf;

use containerdump::container::selection;
use containerdump::container::{self, Container, EngineKind};
use containerdump::engine::{EngineListing, EngineStatus};
use containerdump::own_program;
use containerdump::safe_text::SafeText;

use super::line::ExtcapLine;
use super::saved::Interface;
use super::ssh;
use super::toolbar;

/// Interfaces shown at most. Wireshark starts this program two or three times for each of them
/// before its window opens.
const MOST_INTERFACES: usize = 1000;

/// The interface that stands for an engine that is there but cannot be used.
pub(super) const fn troubled(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Docker => "containerdump-docker",
        EngineKind::Podman => "containerdump-podman",
        EngineKind::Kernel => "containerdump-netns",
    }
}

/// The interface that explains why there is no other.
pub(super) const NOTHING: &str = "containerdump-none";

/// Why there is no container in `listings`, for the list.
fn nothing(listings: &[EngineListing]) -> &'static str {
    let answered = |listing: &EngineListing| {
        listing.engine != EngineKind::Kernel && matches!(listing.status, EngineStatus::Available { .. })
    };
    if listings.iter().any(answered) {
        "No container is running, double-click for help"
    } else {
        "No container engine is running, double-click for help"
    }
}

/// All of them: those of this host, of which `listings` tell, and as many of the `saved` hosts as there is room for.
pub(super) fn sentences(listings: &[EngineListing], saved: &[Interface]) -> Vec<ExtcapLine> {
    let mut containers: Vec<Container> = Vec::new();
    // One for each engine, though it may be at several places.
    let mut notes: BTreeMap<&str, String> = BTreeMap::new();
    for listing in listings {
        match &listing.status {
            // What the kernel hides is told by `containerdump list`, where it is no interface.
            EngineStatus::Unavailable(_) if listing.engine == EngineKind::Kernel => {}
            EngineStatus::Absent => {}
            EngineStatus::Available { containers: listed, .. } => containers.extend(listed.iter().cloned()),
            EngineStatus::Unavailable(trouble) => {
                let reason = trouble.message().as_str();
                let reason = reason.rsplit_once(": ").map_or(reason, |(_, reason)| reason);
                let display =
                    SafeText::with_limit(&format!("{}: {reason}", listing.engine.display_name()), 60);
                let note = format!("{display}, double-click for help");
                notes.entry(troubled(listing.engine)).or_insert(note);
            }
        }
    }
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let groups = selection::groups(&containers);
    let most = MOST_INTERFACES - groups.len();
    if let Some(first_left_out) = containers.get(most) {
        let more = containers.len() - most;
        let note = format!("{more} more containers, not listed: containerdump capture NAME");
        notes.entry(troubled(first_left_out.engine)).or_insert(note);
    }
    if containers.is_empty() && notes.is_empty() && saved.is_empty() {
        notes.insert(NOTHING, nothing(listings).to_owned());
    }
    let program =
        ExtcapLine::new("extcap").with("version", env!("CARGO_PKG_VERSION")).with("display", "containerdump");
    let program = match help() {
        Some(page) => program.with("help", format_args!("file://{}", page.display())),
        None => program,
    };
    let grouped = groups.iter().map(|group| sentence(&group.value, group.display.as_str()));
    let interfaces = containers.iter().take(most).map(interface);
    let of_ssh = sentence(ssh::INTERFACE, "Containers on another host (SSH)");
    let shown = groups.len() + containers.len().min(most) + notes.len();
    let hosts = saved
        .iter()
        .take(MOST_INTERFACES.saturating_sub(shown))
        .map(|(value, display)| sentence(value, display.as_str()));
    let notes = notes.iter().map(|(value, note)| sentence(value, note));
    let all = std::iter::once(program).chain(grouped).chain(interfaces).chain(hosts).chain(notes);
    all.chain([of_ssh]).chain(toolbar::lines()).collect()
}

/// The page for the Help button of dialogs, where the program is installed.
fn help() -> Option<PathBuf> {
    let program = own_program::path().ok()?;
    let folder = program.parent()?.parent().filter(|folder| folder.ends_with("libexec"))?;
    let page = folder.parent()?.join("share/doc/containerdump/wireshark.html");
    page.is_file().then_some(page)
}

fn interface(container: &Container) -> ExtcapLine {
    debug_assert!(!container::preference_key(&container.value).starts_with("extcap"));
    sentence(&container.value, container.display().as_str())
}

fn sentence(value: &str, display: &str) -> ExtcapLine {
    ExtcapLine::new("interface").with("value", value).with("display", display)
}
