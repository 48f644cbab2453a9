//! `containerdump host refresh`: asks saved hosts for their containers, for Wireshark's list.

use std::fs;
use std::io::{self, Write as _};

use clap::Args;
use containerdump::error::Error;
use containerdump::saved_hosts::{self, CachedHost, SavedHost, SavedHostName, SavedHosts};
use containerdump::ssh::{Elevation, PromptMode};

use crate::cli::{RemoteTarget, list};

/// The option with which Wireshark's list starts this command.
pub(crate) const BACKGROUND_FLAG: &str = "--background";

/// Ask saved hosts for their containers now; Wireshark's list does it in the background
#[derive(Args)]
pub(in crate::cli) struct RefreshHosts {
    /// Name of a saved host [default: all]
    name: Option<String>,

    /// Ask only hosts whose answer is old, without output and prompts
    #[arg(long, hide = true, conflicts_with = "name")]
    background: bool,
}

impl RefreshHosts {
    /// In the background: leaves the session and closes inherited descriptors. Wireshark waits until all copies of its
    /// pipes are closed.
    pub(super) fn detach(&self) {
        if !self.background {
            return;
        }
        // Fails for the leader of a process group, which a shell has started.
        let _ = nix::unistd::setsid();
        let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let descriptors: Vec<i32> =
            entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        for descriptor in descriptors.into_iter().filter(|descriptor| *descriptor > 2) {
            // Fails for the descriptor of the listing itself.
            let _ = nix::unistd::close(descriptor);
        }
    }

    pub(super) fn run(self) -> Result<(), Error> {
        let saved = SavedHosts::read()?;
        if self.background {
            refresh_stale(&saved);
            return Ok(());
        }
        let hosts: Vec<(&SavedHostName, &SavedHost)> = match &self.name {
            Some(name) => vec![saved.get(name)?],
            None => saved.iter().collect(),
        };
        let mut last_error = None;
        for (name, host) in hosts {
            match refresh(name, host, PromptMode::Terminal) {
                Ok(count) => {
                    let plural = if count == 1 { "" } else { "s" };
                    // A closed pipe is a normal end.
                    let _ = writeln!(io::stdout(), "{name}: {count} container{plural}");
                }
                Err(error) => {
                    if let Some(previous) = last_error.replace(error) {
                        let _ = writeln!(io::stderr(), "containerdump: {previous}");
                    }
                }
            }
        }
        last_error.map_or(Ok(()), Err)
    }
}

/// Asks all hosts whose answer is old, at the same time. The cache keeps their errors.
fn refresh_stale(saved: &SavedHosts) {
    // Fails if another process refreshes, or nothing can be cached.
    let Ok(_lock) = saved_hosts::lock_refresh() else { return };
    std::thread::scope(|scope| {
        let is_stale = |(name, host): &(&SavedHostName, &SavedHost)| {
            CachedHost::load(name, host).is_none_or(|cached| cached.is_stale())
        };
        for (name, host) in saved.iter().filter(is_stale) {
            let ask = move || drop(refresh(name, host, PromptMode::Background));
            // Without a thread, the next refresh asks this host.
            let _ = std::thread::Builder::new().spawn_scoped(scope, ask);
        }
    });
}

/// Asks a host and caches its answer or error. Returns the number of its containers.
fn refresh(name: &SavedHostName, saved: &SavedHost, prompt_mode: PromptMode) -> Result<usize, Error> {
    let cannot_cache = |error: io::Error| {
        Error::new(
            format!("cannot cache the containers of {name}: {error}"),
            "check that ~/.cache/containerdump belongs to you and has free space",
        )
    };
    let host = saved.to_host(name)?;
    let label = host.label();
    match (RemoteTarget { host, elevation: Elevation::default() }).list(prompt_mode) {
        Ok(lines) => {
            let containers = list::to_cache(&label, &lines);
            CachedHost::store(name, saved, Ok(&containers)).map_err(cannot_cache)?;
            Ok(containers.lines().count())
        }
        Err(error) => {
            CachedHost::store(name, saved, Err(error.message())).map_err(cannot_cache)?;
            Err(error)
        }
    }
}
