//! The Wireshark of this machine: its version and its folders.

use std::path::{Path, PathBuf};
use std::time::Duration;

use containerdump::error::Error;

use crate::command::{self, Environment};
use crate::folders::{self, WiresharkFolders, WiresharkVersion};
use crate::layout;

/// How long a tshark may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// This machine's Wireshark.
#[derive(Default)]
pub(crate) struct Wireshark {
    /// Its tshark.
    pub(crate) tshark: Option<PathBuf>,
    /// Its version.
    pub(crate) version: Option<WiresharkVersion>,
    /// Global extcap folders.
    pub(crate) global: Vec<PathBuf>,
    /// Personal extcap folder of the current user.
    pub(crate) personal: Option<PathBuf>,
    /// Folder of dumpcap.
    pub(crate) program: Option<PathBuf>,
    /// Global folders of profiles.
    pub(crate) profiles: Vec<PathBuf>,
    /// Personal folder of profiles.
    pub(crate) personal_profiles: Option<PathBuf>,
    /// What failed during detection.
    pub(crate) errors: Vec<Error>,
}

impl Wireshark {
    /// Runs each tshark of this machine, and falls back on the known folders of each version.
    pub(crate) fn detect(environment: Environment) -> Self {
        let mut found = Self::default();
        for tshark in command::find_all("tshark") {
            found.add_tshark(&tshark, environment);
        }
        if found.version.is_none() {
            // Without tshark: dumpcap has the same version, and needs no display.
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
            found.personal_profiles.get_or_insert_with(|| folders::personal_profiles(&configuration));
        }
        found
    }

    fn add_tshark(&mut self, tshark: &Path, environment: Environment) {
        match version(tshark, environment) {
            Ok(version) => self.version = self.version.or(version),
            Err(error) => return self.errors.push(error),
        }
        self.tshark.get_or_insert_with(|| tshark.to_owned());
        match command::run(tshark, &["-G", "folders"], environment, TIMEOUT) {
            Ok(answer) => {
                let WiresharkFolders { global, personal, program, profiles, personal_profiles } =
                    WiresharkFolders::parse(&answer.stdout);
                self.global.extend(global);
                self.profiles.extend(profiles);
                self.personal_profiles = self.personal_profiles.take().or(personal_profiles);
                self.personal = self.personal.take().or(personal);
                self.program = self.program.take().or(program);
            }
            Err(error) => self.errors.push(error),
        }
    }
}

fn version(program: &Path, environment: Environment) -> Result<Option<WiresharkVersion>, Error> {
    let answer = command::run(program, &["--version"], environment, TIMEOUT)?;
    Ok(WiresharkVersion::parse(&answer.stdout))
}

/// The known folders that exist; else, if Wireshark is installed, the likeliest one.
fn known_global(version: Option<WiresharkVersion>) -> Vec<PathBuf> {
    let known = folders::global(version);
    let existing: Vec<PathBuf> = known.iter().filter(|folder| folder.is_dir()).cloned().collect();
    if existing.is_empty() && version.is_some() {
        return known.into_iter().take(1).collect();
    }
    existing
}

/// Each folder once, without symbolic links: `/usr/lib64` is often a link to `/usr/lib`.
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
