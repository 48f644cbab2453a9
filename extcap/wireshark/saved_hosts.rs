//! Interfaces of saved hosts, from their cached lists of containers: listing interfaces waits for no host.

use std::collections::HashSet;
use std::process::{Command, Stdio};

use containerdump::child;
use containerdump::container::{self, selection};
use containerdump::error::Error;
use containerdump::own_program;
use containerdump::safe_text::SafeText;
use containerdump::saved_hosts::{self, ALL_CONTAINERS, CachedHost, SavedHostName, SavedHosts};
use containerdump::ssh::Elevation;

use crate::cli::{BACKGROUND_FLAG, RemoteTarget, containers_from_json};

/// Characters of a display text, including the name of the host.
const MAX_DISPLAY_LEN: usize = 120;
/// Characters of a reason in a display text.
const MAX_REASON_LEN: usize = 60;

/// An interface of a saved host.
pub(super) struct SavedInterface {
    pub(super) value: String,
    pub(super) display: SafeText,
}

/// What an interface of a saved host captures.
pub(super) struct RemoteInterface {
    pub(super) target: RemoteTarget,
    /// The interface value on that host, or [`ALL_CONTAINERS`].
    pub(super) container: String,
}

/// The interfaces of saved hosts, and whether a cached list has to be refreshed and no process does so yet.
pub(super) fn interfaces() -> (Vec<SavedInterface>, bool) {
    // An invalid file is reported by every command that reads it.
    let saved = SavedHosts::read().unwrap_or_default();
    let (mut interfaces, mut is_stale) = (Vec::new(), false);
    let mut values = HashSet::new();
    for (name, host) in saved.iter() {
        let cached = CachedHost::load(name, host);
        is_stale |= cached.as_ref().is_none_or(CachedHost::is_stale);
        for (value, display) in interfaces_of_host(name, cached.as_ref()) {
            let value = format!("{name}-{value}");
            // Two hosts may have interfaces whose values are equal to Wireshark.
            if values.insert(container::preference_key(&value)) {
                let display = SafeText::with_limit(&format!("{name}: {display}"), MAX_DISPLAY_LEN);
                interfaces.push(SavedInterface { value, display });
            }
        }
    }
    (interfaces, is_stale && saved_hosts::lock_refresh().is_ok())
}

/// Values and display texts without the name of the host: all containers first, then projects and containers.
fn interfaces_of_host(name: &SavedHostName, cached: Option<&CachedHost>) -> Vec<(String, String)> {
    let all = match cached {
        None => "containers not loaded yet, press F5".to_owned(),
        Some(CachedHost { error: None, .. }) => "All containers".to_owned(),
        Some(CachedHost { error: Some(error), .. }) => {
            let message = error.as_str();
            let reason = message.rsplit_once(": ").map_or(message, |(_, reason)| reason);
            format!("{}, double-click for help", SafeText::with_limit(reason, MAX_REASON_LEN))
        }
    };
    let mut interfaces = vec![(ALL_CONTAINERS.to_owned(), all)];
    let lines = cached.map_or("", |cached| cached.containers.as_str());
    let mut containers = containers_from_json(&SafeText::new(name.as_str()), lines);
    containers.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    // The groups of an engine are left out: most hosts have one engine.
    let groups = selection::groups(&containers).into_iter();
    let projects = groups.filter(|group| !group.criteria.projects.is_empty());
    interfaces.extend(projects.map(|group| (group.value, group.display.to_string())));
    interfaces.extend(
        containers.iter().map(|container| (container.value.clone(), container.display().to_string())),
    );
    interfaces
}

/// Starts a background process that refreshes the cached lists.
pub(super) fn start_refresh() {
    let mut program = Command::new(own_program::EXECUTABLE);
    program.args(["host", "refresh", BACKGROUND_FLAG]).current_dir("/");
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // This process ends at once, and init reaps its child.
    let _ = child::spawn_unprivileged(&mut program);
}

/// The saved host of an interface, and what to capture on it; `None` for an interface of this host.
///
/// # Errors
///
/// If the saved hosts cannot be read, or the host cannot be used.
pub(super) fn resolve(interface: &str) -> Result<Option<RemoteInterface>, Error> {
    if interface.is_empty() || saved_hosts::is_local_interface(interface) {
        return Ok(None);
    }
    let saved = SavedHosts::read()?;
    let Some((name, host, container)) = saved.find_by_interface(interface) else { return Ok(None) };
    let target = RemoteTarget { host: host.to_host(name)?, elevation: Elevation::default() };
    Ok(Some(RemoteInterface { target, container: container.to_owned() }))
}
