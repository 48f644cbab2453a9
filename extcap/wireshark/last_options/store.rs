//! The file of the last options of an interface, in the user's cache directory.
//!
//! ```text
//! ~/.cache/containerdump/options/docker-web.json   {"version":2,"options":[["--filter","tcp port 80"]]}
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use containerdump::{settings_file, user_dirs};
use serde::{Deserialize, Serialize};

/// The version of the file format.
const VERSION: u32 = 2;
/// Bytes of a file.
const MAX_FILE_LEN: usize = 16 * 1024;
/// Files kept; of more, the oldest are removed.
const MAX_FILES: usize = 200;
/// How long the options of an interface are kept after its last capture.
const MAX_AGE: Duration = Duration::from_hours(90 * 24);
/// Bytes of an interface value that is used as a file name.
const MAX_OPTION_NAME_LEN: usize = 200;

/// Options by name, each with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::wireshark) struct LastOptions(Vec<(String, String)>);

#[derive(Serialize, Deserialize)]
struct StoredOptions {
    version: u32,
    options: Vec<(String, String)>,
}

impl LastOptions {
    pub(in crate::wireshark) const NONE: Self = Self(Vec::new());

    pub(super) fn new(options: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(options.into_iter().collect())
    }

    /// Reads the options of `interface`; none if there is no valid file, or it is too old.
    pub(in crate::wireshark) fn read(interface: &str) -> Self {
        let read = || -> Option<StoredOptions> {
            let path = path(interface)?;
            if is_old(&path) {
                return None;
            }
            let bytes =
                settings_file::read_optional(&path).ok()?.filter(|bytes| bytes.len() <= MAX_FILE_LEN)?;
            serde_json::from_slice(&bytes).ok()
        };
        let stored = read().filter(|stored| stored.version == VERSION);
        stored.map_or(Self::NONE, |stored| Self(stored.options))
    }

    /// Writes the options of `interface`; removes the file if there are none.
    ///
    /// # Errors
    ///
    /// If the options are too long, or the file cannot be written.
    pub(super) fn write(&self, interface: &str) -> io::Result<()> {
        let path = path(interface).ok_or(io::ErrorKind::NotFound)?;
        if self.0.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let bytes = serde_json::to_vec(&StoredOptions { version: VERSION, options: self.0.clone() })?;
        if bytes.len() > MAX_FILE_LEN {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let _lock = settings_file::lock(&path)?;
        remove_old_files(&path);
        settings_file::write(&path, &bytes)
    }

    /// The value of an option.
    pub(in crate::wireshark) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(in crate::wireshark) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The file of an interface; `None` if its value is not a file name, or the user has no home directory.
fn path(interface: &str) -> Option<PathBuf> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_name =
        !interface.is_empty() && interface.len() <= MAX_OPTION_NAME_LEN && interface.bytes().all(is_valid);
    is_name.then_some(user_dirs::cache_dir()?.join("options").join(format!("{interface}.json")))
}

/// Whether a file is older than [`MAX_AGE`]; not if the clock was set back.
fn is_old(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > MAX_AGE)
}

/// Removes files that are old or too many, except `path`.
fn remove_old_files(path: &Path) {
    let entries = path.parent().and_then(|folder| fs::read_dir(folder).ok());
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path() != path && entry.path().extension().is_some_and(|end| end == "json"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let excess = (files.len() + 1).saturating_sub(MAX_FILES);
    for (index, (_, file)) in files.iter().enumerate() {
        if index < excess || is_old(file) {
            // What cannot be removed now is tried again with the next capture.
            let _ = fs::remove_file(file);
        }
    }
}
