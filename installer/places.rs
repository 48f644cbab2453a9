//! The Wireshark of this machine: its version, and the folders it looks in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use containerdump::error::Error;

use crate::command::{self, Environment};
use crate::folders::{self, Folders, Version};
use crate::layout;

/// Longest a question to Wireshark may take.
const LONGEST: Duration = Duration::from_secs(10);

/// What is known of this machine's Wireshark.
#[derive(Default)]
pub(crate) struct Wireshark {
    /// Its command-line program.
    pub(crate) tshark: Option<PathBuf>,
    /// Its version.
    pub(crate) version: Option<Version>,
    /// The folders everybody's Wireshark looks in.
    pub(crate) global: Vec<PathBuf>,
    /// The folder this user's Wireshark looks in.
    pub(crate) personal: Option<PathBuf>,
    /// Where it starts dumpcap from.
    pub(crate) program: Option<PathBuf>,
    /// The folders of everybody's profiles.
    pub(crate) profiles: Vec<PathBuf>,
    /// The folder of this user's own profiles.
    pub(crate) own_profiles: Option<PathBuf>,
    /// What went wrong while asking.
    pub(crate) troubles: Vec<Error>,
}

impl Wireshark {
    /// Asks every tshark of this machine, and falls back on what is known of each version.
    pub(crate) fn ask(environment: Environment) -> Self {
        let mut found = Self::default();
        for tshark in command::find_all("tshark") {
            found.ask_one(&tshark, environment);
        }
        if found.version.is_none() {
            // Wireshark without tshark: dumpcap is of the same version, and needs no display.
            found.version =
                command::find("dumpcap").and_then(|dumpcap| version(&dumpcap, environment).ok()?);
        }
        if found.global.is_empty() {
            found.global = known_global(found.version);
        }
        found.global = resolved(&found.global);
        if found.profiles.is_empty() && found.version.is_some() {
            found.profiles = folders::profiles();
        }
        found.profiles = resolved(&found.profiles);
        if let Some(configuration) = layout::folder_of("XDG_CONFIG_HOME", ".config")
            && let Some(home) = layout::folder_of("HOME", "")
        {
            let personal = || folders::personal(found.version, &configuration, &home);
            found.personal.get_or_insert_with(personal);
            found.own_profiles.get_or_insert_with(|| folders::own_profiles(&configuration));
        }
        found
    }

    fn ask_one(&mut self, tshark: &Path, environment: Environment) {
        match version(tshark, environment) {
            Ok(version) => self.version = self.version.or(version),
            Err(trouble) => return self.troubles.push(trouble),
        }
        self.tshark.get_or_insert_with(|| tshark.to_owned());
        match command::run(tshark, &["-G", "folders"], environment, LONGEST) {
            Ok(answer) => {
                let Folders { global, personal, program, profiles, own_profiles } =
                    Folders::parse(&answer.stdout);
                self.global.extend(global);
                self.profiles.extend(profiles);
                self.own_profiles = self.own_profiles.take().or(own_profiles);
                self.personal = self.personal.take().or(personal);
                self.program = self.program.take().or(program);
            }
            Err(trouble) => self.troubles.push(trouble),
        }
    }
}

fn version(program: &Path, environment: Environment) -> Result<Option<Version>, Error> {
    let answer = command::run(program, &["--version"], environment, LONGEST)?;
    Ok(Version::parse(&answer.stdout))
}

/// Those folders of the table that exist; else, where a Wireshark does, the likeliest one.
fn known_global(version: Option<Version>) -> Vec<PathBuf> {
    let known = folders::global(version);
    let existing: Vec<PathBuf> = known.iter().filter(|folder| folder.is_dir()).cloned().collect();
    if existing.is_empty() && version.is_some() {
        return known.into_iter().take(1).collect();
    }
    existing
}

/// Each folder once, by the path without links: `/usr/lib64` is often another name of `/usr/lib`.
fn resolved(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut resolved: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        if !resolved.contains(&folder) {
            resolved.push(folder);
        }
    }
    resolved
}
