//! Saved hosts in Wireshark's list: made of what they told last, and waiting for none of them.

use std::collections::HashSet;
use std::process::{Command, Stdio};

use containerdump::container::selection::{self, Selection};
use containerdump::container::{self, Container};
use containerdump::error::Error;
use containerdump::own_program;
use containerdump::privilege::Privilege;
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts::{self, ALL_CONTAINERS, CachedHost, SavedHostName, SavedHosts};
use containerdump::ssh::{Elevation, PromptMode};

use super::config;
use super::line::ExtcapLine;
use crate::cli::{BACKGROUND_FLAG, RemoteTarget, containers_of};

/// The longest that people read of a container, its host's name included.
const LONGEST: usize = 120;

/// An interface: its value, and what people read.
pub(super) type Interface = (String, SafeText);

/// The interfaces of saved hosts; and whether some of what they are made of is old, and nobody asks for it already.
pub(super) fn interfaces() -> (Vec<Interface>, bool) {
    // Where the file makes no sense, every command says so.
    let saved = SavedHosts::read().unwrap_or_default();
    let (mut interfaces, mut is_stale) = (Vec::new(), false);
    let mut taken = HashSet::new();
    for (name, saved) in saved.iter() {
        let known = CachedHost::load(name, saved);
        is_stale |= known.as_ref().is_none_or(CachedHost::is_stale);
        for (value, display) in of_host(name, known.as_ref()) {
            let value = format!("{name}-{value}");
            // A host's name and what is behind it may together be what another host's are.
            if taken.insert(container::preference_key(&value)) {
                interfaces.push((value, SafeText::with_limit(&format!("{name}: {display}"), LONGEST)));
            }
        }
    }
    (interfaces, is_stale && saved_hosts::lock_refresh().is_ok())
}

/// Those of one host, without its name: itself first, then projects and containers.
fn of_host(name: &SavedHostName, known: Option<&CachedHost>) -> Vec<(String, String)> {
    let itself = match known {
        None => "containers not loaded yet, press F5".to_owned(),
        Some(CachedHost { error: None, .. }) => "All containers".to_owned(),
        Some(CachedHost { error: Some(error), .. }) => {
            let why = error.as_str();
            let why = why.rsplit_once(": ").map_or(why, |(_, why)| why);
            format!("{}, double-click for help", SafeText::with_limit(why, 60))
        }
    };
    let mut all = vec![(ALL_CONTAINERS.to_owned(), itself)];
    let lines = known.map_or("", |known| known.containers.as_str());
    let mut containers = containers_of(&SafeText::new(name.as_str()), lines);
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    // All of an engine's are nearly always all there are.
    let projects =
        selection::groups(&containers).into_iter().filter(|group| !group.criteria.projects.is_empty());
    all.extend(projects.map(|group| (group.value, group.display.to_string())));
    all.extend(containers.iter().map(|one| (one.value.clone(), one.display().to_string())));
    all
}

/// Has hosts asked anew, by a program of its own that nobody waits for and that ends by itself.
pub(super) fn refresh() {
    let mut program = Command::new(own_program::EXECUTABLE);
    program.args(["host", "refresh", BACKGROUND_FLAG]).current_dir("/");
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // This program ends at once, and leaves its end to whoever is there for all that are left behind.
    let _ = program.spawn();
}

/// The saved host that `interface` is of, and what it is called there; `None` where it is of this host.
///
/// Fails when saved hosts cannot be read, or the one cannot be used.
pub(super) fn meant(interface: &str) -> Result<Option<(RemoteTarget, String)>, Error> {
    if interface.is_empty() || saved_hosts::is_local_interface(interface) {
        return Ok(None);
    }
    let saved = SavedHosts::read()?;
    let Some((name, saved, rest)) = saved.find_by_interface(interface) else { return Ok(None) };
    let there = RemoteTarget { host: saved.to_host(name)?, elevation: Elevation::default() };
    Ok(Some((there, rest.to_owned())))
}

/// The networks of what `rest` is on a host, as they are now, in a dialog whose numbers count from `first`; nothing
/// where they cannot be had.
pub(super) fn networks(
    (there, rest): (&RemoteTarget, &str),
    first: usize,
    privilege: Result<Privilege, Error>,
) -> Vec<ExtcapLine> {
    let told = privilege.and_then(|privilege| there.containers(PromptMode::DesktopBlocking, privilege));
    let Ok(containers) = told else { return Vec::new() };
    let selection = Selection { names: vec![rest.to_owned()], prefer_values: true, ..Selection::default() };
    let chosen: Vec<&Container> = if rest == ALL_CONTAINERS {
        containers.iter().collect()
    } else {
        selection.resolve(&containers).0.into_iter().map(|chosen| chosen.container).collect()
    };
    if chosen.is_empty() { Vec::new() } else { config::networks_of(first, chosen.into_iter()) }
}
